"""The second name in the wheel: what it contains, what a process that uses both is told, and what hides the first."""

from __future__ import annotations

import ast
import re
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path
from zipfile import ZipFile

import pytest

from tests.acceptance.second_name.conftest import Installed, Project

ROOT = Path(__file__).parents[3]

TOPICS = {"orders.events"}
"""Names of queues that are names of modules too."""

MEANT = {"order_expiry/cli/up.py": ("tasks",)}
"""Files, and the modules of the first name that they mean: a Procfile may start those."""

IN_USE = (
    r"order-expiry is in use as `{used}`, imported by \S+, line \d+\. It cannot be imported as `{refused}` too, "
    r"because neither would have the hooks of the other\. Use one name in all imports, in INSTALLED_APPS and in "
    r"commands: `order_expiry` with order-expiry and celery --app=order_expiry\.tasks, or `orders` with orders and "
    r"celery --app=tasks"
)


def in_use(used: str, refused: str) -> re.Pattern[str]:
    return re.compile(IN_USE.format(used=used, refused=refused))


@pytest.fixture(scope="module")
def second(wheel: Path) -> dict[str, str]:
    """The files of the package `order_expiry`, with their texts."""
    with ZipFile(wheel) as archive:
        names = [name for name in archive.namelist() if name.startswith("order_expiry/")]
        return {name: archive.read(name).decode() for name in names}


def first() -> Iterator[str]:
    """Yield the files of the other packages, by the paths that they have in the second one."""
    for place in ("orders", "tasks"):
        for path in (ROOT / place).rglob("*"):
            if path.is_file() and path.suffix != ".pyc":
                yield str(path.relative_to(ROOT / "orders") if place == "orders" else path.relative_to(ROOT))
    yield "celeryconfig.py"


def texts(source: str) -> Iterator[str]:
    """Yield the texts of a module that are no docstrings."""
    tree = ast.parse(source)
    told = {id(node.value) for node in ast.walk(tree) if isinstance(node, ast.Expr)}
    for node in ast.walk(tree):
        if isinstance(node, ast.Constant) and isinstance(node.value, str) and id(node) not in told:
            yield node.value


def test_the_wheel_has_all_files_under_both_names(second: dict[str, str]) -> None:
    assert set(second) == {f"order_expiry/{name}" for name in first()}
    assert {name.rpartition(".")[2] for name in second} >= {"lua", "html", "css", "typed"}


def test_no_module_of_the_second_name_names_one_of_the_first(second: dict[str, str]) -> None:
    modules = {name[:-3].replace("/", ".").replace(".__init__", "") for name in second if name.endswith(".py")}
    names = {name.replace("order_expiry", "orders", 1) for name in modules}
    names |= {name.removeprefix("order_expiry.") for name in modules if ".tasks" in name} | {"celeryconfig"}
    for file, text in second.items():
        assert not re.search(r"^\s*(from|import) (orders|tasks|celeryconfig)\b", text, re.MULTILINE), file
        assert not re.search(r"`orders [a-z-]+|-A tasks\b", text), file
        if file.endswith(".py") and file != "order_expiry/names.py":
            found = {text.partition(":")[0] for text in texts(text)} & names - TOPICS
            # `orders` alone is the name of a table, a key, a command; the others are modules, and nothing else
            assert found <= {"orders", "orders.names", *MEANT.get(file, ())}, file


@pytest.mark.parametrize(("used", "refused"), [("orders", "order_expiry"), ("order_expiry", "orders")])
def test_a_process_that_imports_both_is_told_where_and_what_to_write(
    installed: Installed, tmp_path: Path, used: str, refused: str
) -> None:
    (tmp_path / "shop.py").write_text(f"import {used}.contrib.flask\n")
    for second_import in (f"import {refused}", f"from {refused}.tasks import app".replace("orders.tasks", "tasks")):
        ran = installed.run("python", "-c", f"import shop\n{second_import}", cwd=tmp_path)
        assert in_use(used, refused).search(ran.stderr), ran.stderr
        assert f"imported by {tmp_path / 'shop.py'}, line 1." in ran.stderr


@pytest.mark.parametrize("name", ["orders", "order_expiry"])
def test_a_name_is_in_use_by_all_that_is_ours(installed: Installed, tmp_path: Path, name: str) -> None:
    # given what the distribution tells about itself
    told = "import sys; from {0}.operate.doctor.examination import checks; print(sorted(checks())); "
    modules = "print([name for name in sys.modules if name.partition('.')[0] in ('orders', 'tasks', 'order_expiry')])"
    # when the doctor loads the checks of Celery
    ran = installed.run("python", "-c", told.format(name) + modules, cwd=tmp_path)
    # then they are those of the same name
    assert ran.returncode == 0, ran.stderr
    assert "celery.agreement" in ran.stdout
    other = r"'order_expiry" if name == "orders" else r"'(orders|tasks)\b"
    assert not re.search(other, ran.stdout.splitlines()[1])


def test_what_hides_our_package_is_named_with_what_to_write_instead(project: Project) -> None:
    # given a shop's folder on the path, with its package `orders`, and no `tasks` of its own
    (project.folder / "tasks.py").unlink()
    shops = f"<module 'orders' from '{project.folder}/orders/__init__.py'> hides the package of order-expiry."
    # when it starts what is named `orders` or `tasks`
    celery = project.fail("python", "-m", "celery", "-A", "tasks", "worker")
    command = project.fail("orders", "doctor", PYTHONPATH=str(project.folder))
    # then it learns why that fails
    assert f"{shops} Write `order_expiry` for `orders` in imports and in INSTALLED_APPS" in celery
    assert "start Celery with --app=order_expiry.tasks" in celery
    assert command == (
        f"error: {shops} Write `order_expiry` for `orders` in imports and in INSTALLED_APPS, and type order-expiry "
        "instead of this command\n"
    )


def test_a_command_of_the_other_name_tells_so(project: Project) -> None:
    # given a project that uses `order_expiry`
    error = project.fail("orders", "doctor")
    assert re.match(r"error: DJANGO_SETTINGS_MODULE is 'vases\.settings': order-expiry is in use as `orders`", error), (
        error
    )
    assert error.count("\n") == 1


def test_a_procfile_that_starts_the_shops_own_tasks_is_told(project: Project) -> None:
    (project.folder / "Procfile").write_text("worker: celery -A tasks worker\n")
    hidden = f"{project.folder}/tasks.py hides the package tasks of order-expiry"
    error = project.fail("order-expiry", "up")
    assert error.startswith(
        f"error: --procfile is Procfile, which starts celery --app=tasks, but {hidden} from processes"
    )
    assert error.endswith("or use order_expiry.tasks.\n")


@pytest.mark.parametrize(
    ("app", "told"),
    [
        ("tasks", "broker_url: 'memory:"),
        ("order_expiry.tasks", "worker_concurrency: 8"),
        ("workers", "worker_concurrency: 3"),
    ],
)
def test_each_celery_app_has_settings_of_its_own(project: Project, app: str, told: str) -> None:
    report = project.run("python", "-m", "celery", "-A", app, "report")
    assert told in report
    assert ("memory:" in report) == (app == "tasks")
    assert ("Queue orders.expire" in report) == (app != "tasks")


def test_a_checkout_that_is_installed_as_editable_says_how_to_get_the_name(tmp_path: Path) -> None:
    build = "import hatchling.build as build, sys; print(build.build_editable(sys.argv[1]))"
    ran = subprocess.run(
        [sys.executable, "-c", build, str(tmp_path)], cwd=ROOT, capture_output=True, text=True, check=True
    )
    with ZipFile(tmp_path / ran.stdout.strip()) as archive:
        assert [name for name in archive.namelist() if name.startswith("order_expiry/")] == ["order_expiry/__init__.py"]
        archive.extract("order_expiry/__init__.py", tmp_path)
    imported = [sys.executable, "-c", "import order_expiry"]
    failed = subprocess.run(imported, cwd=tmp_path, capture_output=True, text=True, check=False)
    assert "order-expiry is installed from a checkout with --editable" in failed.stderr


@pytest.mark.faults
def test_a_type_checker_finds_the_types_beside_a_package_orders(project: Project) -> None:
    # given the shop, one line of which is wrong and says so
    mypy = ["python", "-m", "mypy", "--strict", "--cache-dir", str(project.folder / ".mypy_cache")]
    # when it is checked in its own environment, then nothing but that line is found
    assert "Success: no issues found" in project.run(*mypy, ".")


PAGE = """
from werkzeug.test import Client
from {name}.operate.web.app import create_app
from {name}.operate.web.gate import Site
from {name} import current

page = Client(create_app(Site(current, user=lambda _: "ann", read_only=False)))
FILES = ("web.css", "history.js", "vendor/htmx/htmx.min.js", "vendor/uplot/LICENSE")
for url in ("/", *("/static/" + file for file in FILES)):
    with page.get(url) as answer:
        print(answer.status_code, len(answer.data) > 500)
"""


@pytest.mark.parametrize("name", ["orders", "order_expiry"])
def test_the_operators_page_is_complete_under_both_names(installed: Installed, tmp_path: Path, name: str) -> None:
    settings = {"ORDERS_REDIS_URL": "redis://127.0.0.1:1/0", "ORDERS_DATABASE_URL": f"sqlite:///{tmp_path / 'no.db'}"}
    ran = installed.run("python", "-c", PAGE.format(name=name), cwd=tmp_path, **settings)
    assert ran.stdout.splitlines() == ["503 True", *["200 True"] * 4], ran.stderr
