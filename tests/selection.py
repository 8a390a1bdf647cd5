"""Which tests run when, and what they tell at the end."""

from __future__ import annotations

from pathlib import Path

import pytest

TESTS = Path(__file__).parent

FAULTS = (
    "acceptance/second_name",
    "acceptance/test_acl.py",
    "acceptance/test_control.py",
    "acceptance/test_doctor.py",
    "acceptance/test_examples.py",
    "acceptance/test_hooks.py",
    "acceptance/test_metrics.py",
    "acceptance/test_packages.py",
    "acceptance/test_quickstart.py",
    "acceptance/test_recipes.py",
    "acceptance/test_sharing.py",
    "acceptance/test_system.py",
    "browser",
    "contrib/django/test_celery.py",
    "contrib/django/test_how_to.py",
    "contrib/django/test_tutorial.py",
    "contrib/fastapi/test_tutorial.py",
    "contrib/flask/test_tutorial.py",
    "contrib/flask/test_worker.py",
    "deployment/test_processes.py",
    "faults",
    "integration/test_races.py",
    "integration/test_start_errors.py",
    "security",
    "upgrade",
)
"""What breaks the processes of a deployment, plays with a whole one for a while, or races: for `make test-faults`."""

LONGEST = (
    "acceptance/test_commands.py",
    "acceptance/test_system.py",
    "faults/test_messages.py",
    "faults/test_redis.py",
    "faults/test_workers.py",
    "integration/test_audit.py",
    "integration/test_interleavings.py",
    "integration/test_payment.py",
    "integration/test_races.py",
    "shops",
)
"""Files that take longest, and so begin."""

QUICK = ("canaries", "integration", "unit")
"""What starts no workers, and so comes last: it fills the gaps. Without `SLOW` it is for `make test-quick`."""

DJANGO = (
    "faults",
    "integration/store",
    "integration/test_payment.py",
    "integration/test_races.py",
    "integration/test_reconcile.py",
)
"""What is tested through Django on every database; the rest is on PostgreSQL, and without Django on the others."""

SLOW = {"django", "mariadb", "postgresql"}
"""Parameters of tests that need a database server, or another framework's set-up."""


def pytest_configure(config: pytest.Config) -> None:
    config.addinivalue_line("markers", "every_adapter: holds whatever the shop's transactions are")
    config.addinivalue_line("markers", "sqlalchemy_only: among those, is about sessions and engines")


def pytest_generate_tests(metafunc: pytest.Metafunc) -> None:
    marks = {mark.name for mark in metafunc.definition.iter_markers()}
    if "adapter" in metafunc.fixturenames and "every_adapter" in marks and "sqlalchemy_only" not in marks:
        metafunc.parametrize("adapter", ["sqlalchemy", "django"], indirect=True)


def pytest_collection_modifyitems(config: pytest.Config, items: list[pytest.Item]) -> None:
    """Mark what is for `make test-faults`, begin with what takes longest, and leave out what tells little more."""
    for item in items:
        if _is_in(item, ("shops",)):
            item.add_marker("shops")
        elif _is_in(item, FAULTS):
            item.add_marker("faults")
        elif _is_in(item, QUICK) and not SLOW & _parameters(item):
            item.add_marker("quick")
    items.sort(key=lambda item: (not _is_in(item, LONGEST), _is_in(item, QUICK)))
    told = {_function(item) for item in items if {"django", "postgresql"} <= _parameters(item)}
    left_out = [item for item in items if _function(item) in told and not _tells_more(item)]
    config.hook.pytest_deselected(items=left_out)
    items[:] = [item for item in items if item not in set(left_out)]


def _tells_more(item: pytest.Item) -> bool:
    """Return whether a test tells more than the same one through Django on PostgreSQL."""
    parameters = _parameters(item)
    return "django" not in parameters or "postgresql" in parameters or _is_in(item, DJANGO)


def _function(item: pytest.Item) -> tuple[Path, str]:
    return item.path, getattr(item, "originalname", item.name)


def _is_in(item: pytest.Item, places: tuple[str, ...]) -> bool:
    return any(item.path.is_relative_to(TESTS / place) for place in places)


def _parameters(item: pytest.Item) -> set[str]:
    specification = getattr(item, "callspec", None)
    return {value for value in specification.params.values() if isinstance(value, str)} if specification else set()


def pytest_terminal_summary(terminalreporter: pytest.TerminalReporter) -> None:
    """Print what faults and races did, whichever process ran them."""
    ended = [test for name in ("passed", "failed") for test in terminalreporter.getreports(name)]
    told = [told for test in ended for told in test.user_properties]
    if faults := [fault for name, fault in told if name == "fault"]:
        terminalreporter.section("faults: orders, lost, doubled, seconds from the fault to the last expiry")
        for fault in faults:
            line = "{fault:<60} {orders:>6} {lost:>4} {doubled:>4} {recovery:>6.1f}"
            terminalreporter.line(line.format(**fault))
    if races := [race for name, race in told if name == "race"]:
        terminalreporter.section("races")
        for race in races:
            terminalreporter.line("  ".join(f"{name} {value}" for name, value in race.items()))
