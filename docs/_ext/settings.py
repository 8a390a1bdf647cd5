"""Directives ``settings``, ``settings-of-django`` and ``settings-of-flask``: all settings, read from the code."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any, get_origin

from generated import ROOT, Generated, table
from pydantic.fields import FieldInfo
from sphinx.application import Sphinx
from sphinx.pycode import ModuleAnalyzer
from sphinx.util.typing import ExtensionMetadata

from orders.config.settings import PREFIX, Derived, Settings
from orders.config.webhooks import WebhookSettings
from orders.contrib.django import conf
from orders.contrib.flask.settings import OF_MODEL


def _is_inherited(item: tuple[str, FieldInfo]) -> bool:
    return item[0] in WebhookSettings.model_fields


class OfEnvironment(Generated):
    """A table of `orders.config.Settings`: names, defaults, meanings, types and accepted values."""

    sources = tuple(ROOT / "orders" / "config" / name for name in ("settings.py", "webhooks.py"))

    def markdown(self) -> str:
        """Return the table."""
        meanings = {
            name: lines
            for kind in (WebhookSettings, Settings)
            for (_, name), lines in ModuleAnalyzer.for_module(kind.__module__).find_attr_docs().items()
        }
        defaults: dict[str, Any] = {}
        rows = []
        for name, field in sorted(Settings.model_fields.items(), key=_is_inherited):
            derived = field.default if isinstance(field.default, Derived) else None
            defaults[name] = derived.value(defaults[derived.name]) if derived else field.default
            meaning = " ".join(meanings.get(name, [])).strip()
            if not meaning or not field.description:
                self.complain(f"orders.config: {name} has no docstring below it, or no description")
            anchor = f"orders-{name.replace('_', '-')}"
            self.env.domains.standard_domain.note_object("envvar", f"{PREFIX}{name.upper()}", anchor)  # for the search
            rows.append(
                [
                    f"`{PREFIX}{name.upper()}`{{#{anchor}}}<br>{_default(field, defaults[name])}",
                    f"{meaning}<br>*{_type(field)}:* {_as_text(field.description or '')}",
                ]
            )
        return table(["setting, default", "meaning, type: accepted values"], rows)


class OfDjango(Generated):
    """A table of the keys that only Django's ``ORDERS`` has, and of the settings that the model replaces."""

    sources = (ROOT / "orders" / "contrib" / "django" / "conf.py",)

    def markdown(self) -> str:
        """Return the table."""
        fields: Mapping[str, str] = conf.FIELDS
        own = [
            [f"`{name}`", f"only in Django; by default `{fields[name]}`" if name in fields else "only in Django"]
            for name in conf.OWN
        ]
        return table(
            ["key", "in Django"],
            [*own, *([f"`{name}`", f"not accepted: give {instead}"] for name, instead in conf.REPLACED.items())],
        )


class OfFlask(Generated):
    """The settings that ``model=`` replaces in Flask."""

    sources = (ROOT / "orders" / "contrib" / "flask" / "settings.py",)

    def markdown(self) -> str:
        """Return a sentence."""
        return "With `model=`, these are not accepted: " + ", ".join(f"`{PREFIX}{name}`" for name in OF_MODEL) + "."


def _type(field: FieldInfo) -> str:
    kind = field.annotation
    if get_origin(kind) is tuple:
        return "list"
    return kind.__name__ if isinstance(kind, type) else "str"


def _default(field: FieldInfo, value: object) -> str:
    """Return a default as it is written in the environment, with its unit."""
    match value:
        case tuple():
            text = f"`{','.join(value)}`" if value else "none"
        case bool():
            text = f"`{str(value).lower()}`"
        case int() | float():
            text = f"`{value:g}`" if value < 1e6 else f"`{value:.0f}`"
            text += " s" if "seconds" in (field.description or "") else ""
        case _:
            text = f"`{value}`"
    return f"{text} (computed)" if isinstance(field.default, Derived) else text


def _as_text(text: str) -> str:
    """Escape Markdown characters in URL patterns, and allow line breaks in them."""
    plain = "".join(f"\\{character}" if character in "[]*_<>" else character for character in text)
    return plain.replace("],", "],<wbr>").replace("]/", "]/<wbr>")


def setup(app: Sphinx) -> ExtensionMetadata:
    """Register the extension."""
    app.add_directive("settings", OfEnvironment)
    app.add_directive("settings-of-django", OfDjango)
    app.add_directive("settings-of-flask", OfFlask)
    return {"parallel_read_safe": True}
