"""The documentation site: Sphinx reads the repository as it is, with every page where a code forge shows it."""

from __future__ import annotations

import sys
from pathlib import Path

from pygments.lexers.special import TextLexer
from sphinx.application import Sphinx

ROOT = Path(__file__).parents[1]
sys.path.insert(0, str(ROOT / "docs" / "_ext"))

project = "order-expiry"
root_doc = "docs/index"
source_suffix = {".md": "markdown"}
include_patterns = ["*.md", "docs/**", "examples/*/README.md", "benchmarks/README.md", "deploy/**/README.md"]
exclude_patterns = [".*", "build", "dist", "orders", "tasks", "tests", "requirements", "docs/_ext", "docs/_static"]
extensions = [
    "myst_parser",
    "sphinx.ext.autodoc",
    "sphinx_copybutton",
    "commands",
    "folders",
    "names",
    "scripts",
    "search",
    "settings",
    "tables",
    "written",
]

# Markdown
myst_enable_extensions = ["attrs_inline"]
myst_heading_anchors = 4
myst_links_external_new_tab = False
highlight_language = "text"  # blocks without a language are drawings and commands
copybutton_exclude = ".linenos, .gp, .go"
copybutton_prompt_text = "$ "

# Docstrings: Google's form, and a name between single backticks is a name of Python
default_role = "py:obj"
add_module_names = False
autodoc_member_order = "bysource"
autodoc_typehints = "signature"
autodoc_preserve_defaults = True
python_maximum_signature_line_length = 88
python_use_unqualified_type_names = True

nitpicky = True  # see names.py; references into other libraries lead nowhere here: a build needs no network

html_theme = "furo"
html_title = "order-expiry"
html_static_path = ["_static"]
html_css_files = ["site.css"]
html_favicon = "_static/icon.svg"
html_search_scorer = str(ROOT / "docs" / "_ext" / "search.js")
html_extra_path = ["_site"]
html_copy_source = False
html_show_sphinx = False
html_show_copyright = False
pygments_style = "a11y-light"
pygments_dark_style = "a11y-dark"


def setup(app: Sphinx) -> None:
    """Show code in languages that Pygments does not know as it is."""
    app.add_lexer("acl", TextLexer)  # Redis's
