"""The doctor tells each cause once, and its verdict first."""

from __future__ import annotations

import os
import signal
import sys
import time
from collections.abc import Iterator
from contextlib import ExitStack, closing
from pathlib import Path

import pytest
import sqlalchemy as sa
from typer.testing import CliRunner, Result

from orders.cli import app
from orders.config import Settings
from orders.embedded import EmbeddedRedis, free_port
from orders.expiry import OrderExpiry
from orders.operate.doctor import Examination, Finding, Patient, Severity, about_database, examine
from orders.operate.doctor import examination as examining
from orders.operate.doctor.examination import Causes
from tests.conftest import Shop

TROUBLE = (Severity.ERROR, Severity.WARNING)


def wrong(found: Examination) -> dict[str, str]:
    return {finding.name: finding.found for finding in found.findings if finding.severity in TROUBLE}


def unknown(found: Examination) -> dict[str, str]:
    return {finding.name: finding.found for finding in found.findings if finding.severity is Severity.UNKNOWN}


def with_broker(url: str, stack: ExitStack) -> None:
    """Have the Celery app of this process use a broker."""
    from tasks.app import app as celery  # noqa: PLC0415 - reads the settings of the process

    stack.callback(setattr, celery.conf, "broker_url", celery.conf.broker_url)
    celery.conf.broker_url = url


@pytest.fixture
def stack() -> Iterator[ExitStack]:
    with ExitStack() as stack:
        yield stack


def elsewhere(shop: Shop, stack: ExitStack, **changes: object) -> OrderExpiry:
    """Return what a process with other settings has."""
    given = shop.settings.model_dump(include=shop.settings.model_fields_set)
    return stack.enter_context(closing(OrderExpiry.connect(Settings(**{**given, **changes}))))


@pytest.mark.parametrize("database_url", ["sqlite"], indirect=True)
class TestEachCauseOnce:
    def test_redis_is_down(self, shop: Shop, stack: ExitStack) -> None:
        shop.create("integer")
        url = f"redis://127.0.0.1:{free_port()}/0"
        with_broker(url, stack)
        found = examine(Patient(elsewhere(shop, stack, redis_url=url)))
        assert list(wrong(found)) == ["redis.clock"]
        assert wrong(found)["redis.clock"].startswith(f"Redis at ORDERS_REDIS_URL {url}: ")
        assert set(unknown(found).values()) == {"not checked, because of redis.clock"}
        assert {"schedule.sweeps", "schedule.drift", "celery.queues", "celery.workers", "celery.agreement"} < set(
            unknown(found)
        )
        assert not any("report it" in finding.advice for finding in found.findings)
        assert found.worst is Severity.ERROR

    def test_a_broker_of_its_own_is_down(self, shop: Shop, stack: ExitStack) -> None:
        shop.create("integer")
        shop.schedule.claim(1)
        broker = f"amqp://127.0.0.1:{free_port()}//"
        with_broker(broker, stack)
        found = examine(Patient(elsewhere(shop, stack, broker_url=broker)))
        assert list(wrong(found)) == ["celery.queues"]
        assert wrong(found)["celery.queues"].startswith("the broker at amqp://")
        assert unknown(found) == dict.fromkeys(
            ["celery.workers", "celery.agreement"], "not checked, because of celery.queues"
        )

    def test_a_table_is_missing(self, shop: Shop, stack: ExitStack) -> None:
        shop.create("integer")
        shop.schedule.claim(1)
        found = examine(Patient(elsewhere(shop, stack, table="nothing")))
        told = wrong(found)
        assert [name for name in told if not name.startswith("celery")] == ["database.table"]
        assert unknown(found)["database.index"] == "not checked, because of database.table"
        assert unknown(found)["schedule.coverage"] == "not checked, because of database.table"

    def test_the_database_is_down(self, shop: Shop, stack: ExitStack) -> None:
        shop.schedule.claim(1)
        url = f"postgresql://me:secret@127.0.0.1:{free_port()}/shop"
        found = examine(Patient(elsewhere(shop, stack, database_url=url)))
        assert [name for name in wrong(found) if not name.startswith("celery")] == ["database.table"]
        assert unknown(found)["schedule.coverage"] == "not checked, because of database.table"

    def test_two_causes_are_two(self, shop: Shop, stack: ExitStack) -> None:
        url = f"redis://127.0.0.1:{free_port()}/0"
        with_broker(url, stack)
        found = examine(Patient(elsewhere(shop, stack, redis_url=url, table="nothing")))
        assert list(wrong(found)) == ["redis.clock", "database.table"]


def test_a_redis_that_hangs_is_told_once(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(examining, "entry_points", lambda group: [])
    with EmbeddedRedis(tmp_path) as server, ExitStack() as stack:
        settings = Settings(redis_url=server.url, database_url=f"sqlite:///{tmp_path}/orders.db")
        expiry = stack.enter_context(closing(OrderExpiry.connect(settings)))
        os.kill(server.pid, signal.SIGSTOP)
        stack.callback(os.kill, server.pid, signal.SIGCONT)
        found = examine(Patient(expiry), seconds=1)
    assert list(wrong(found)) == ["redis.clock", "database.table"]
    assert unknown(found)["schedule.sweeps"] == "not checked, because of redis.clock"


def test_a_bug_in_a_check_is_to_be_reported() -> None:
    causes = Causes(1.0)
    found = causes.judge("schedule.pace", ZeroDivisionError("division by zero"))
    assert found.advice == "The check itself failed. Please report it."
    assert causes.judge("schedule.drift", ZeroDivisionError("of another kind")).severity is Severity.ERROR


class TestTheCommand:
    @pytest.fixture
    def database_url(self, tmp_path: Path) -> str:
        return f"sqlite:///{tmp_path / 'shop.db'}"

    @pytest.fixture(autouse=True)
    def _environment(self, shop: Shop, monkeypatch: pytest.MonkeyPatch) -> None:
        monkeypatch.setattr("orders.process._current", shop.expiry)
        monkeypatch.setattr(examining, "entry_points", lambda group: [])

    def run(self, *arguments: str) -> Result:
        return CliRunner().invoke(app, ["doctor", *arguments], catch_exceptions=False)

    def test_what_is_right_is_folded(self, shop: Shop) -> None:
        shop.create("integer")
        shop.schedule.claim(1)
        assert (self.run().exit_code, self.run().output) == (0, "Healthy\nok       28 checks; --verbose shows them\n")
        told = self.run("--verbose").output
        assert told.startswith("Healthy\nok       redis.clock: ")
        assert "database.index: reconcile reads overdue rows through an index" in told

    def test_the_verdict_comes_first_then_what_is_wrong_then_the_rest(self, shop: Shop) -> None:
        shop.create("integer")
        with shop.engine.begin() as connection:
            connection.execute(sa.text("DROP INDEX orders_overdue"))
        shop.place(*range(1, 200), enqueue=False)
        ran = self.run()
        lines = ran.output.splitlines()
        assert ran.exit_code == 2
        assert lines[0] == "Orders expire late or not at all, or work is done in vain: 2 errors"
        assert lines[1].startswith("error    database.index: reconcile reads the whole table")
        # a statement can be pasted, in one line
        assert lines[2] == (
            "         → CREATE INDEX orders_overdue ON orders (expires_at, id) WHERE status = 'pending'"
        )
        assert lines[3] == "error    schedule.sweeps: no sweep has run yet"
        assert lines[5:] == [
            "ok       26 checks; --verbose shows them",
            "2 errors. docs/how-to/troubleshoot.md explains each finding.",
        ]

    def test_what_is_unknown_is_told_by_reason(self, monkeypatch: pytest.MonkeyPatch) -> None:
        def found(*reasons: str) -> Examination:
            names = ("redis.version", "redis.memory", "schedule.owner")
            pairs = zip(names, reasons, strict=True)
            return Examination([Finding(name, Severity.UNKNOWN, reason) for name, reason in pairs])

        module = sys.modules["orders.cli.doctor"]  # the package has a function of that name
        monkeypatch.setattr(module, "examine", lambda *_, **__: found("no INFO", "no INFO", "no table"))
        assert (self.run().exit_code, self.run().output.splitlines()) == (
            0,
            [
                "Healthy, as far as it could be checked",
                "unknown  redis.version, redis.memory: no INFO",
                "unknown  schedule.owner: no table",
            ],
        )


@pytest.mark.parametrize("database_url", ["sqlite"], indirect=True)
def test_one_order_is_no_plural(shop: Shop) -> None:
    shop.create("integer")
    shop.schedule.enqueue([("1", time.time() - 100)])
    checks = {**examining.checks(), **about_database.CHECKS}
    found = [
        finding for name in ("schedule.overdue", "schedule.drift") for finding in checks[name](Patient(shop.expiry))
    ]
    assert found[0].found.startswith("1 order due and not claimed, the oldest for 100")
    assert found[1].found.startswith("of 1 scheduled id, 1 without a pending row")
