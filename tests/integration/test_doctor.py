"""What the doctor says of servers, tables and schedules that are sick, one by one."""

from __future__ import annotations

import os
import signal
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from itertools import chain
from pathlib import Path
from typing import cast
from uuid import UUID

import pytest
import sqlalchemy as sa
from redis import Redis

from orders.config.settings import Settings
from orders.embedded import EmbeddedRedis
from orders.errors import ConfigError
from orders.expiry.use_cases import OrderExpiry
from orders.operate.doctor import Finding, Patient, Severity, about_database, about_redis, about_schedule, examine
from orders.operate.doctor import examination as examining
from orders.operate.doctor.about_redis import judge_clock
from orders.schedule.sorted_set import Schedule
from orders.store.orders_table import IdType
from tests.conftest import Shop

ALL = {**about_redis.CHECKS, **about_database.CHECKS, **about_schedule.CHECKS}
Ask = Callable[[str], dict[str, Finding]]


def ask(shop: Shop, check: str) -> dict[str, Finding]:
    """Return what a check finds, by name."""
    return {finding.name: finding for finding in ALL[check](Patient(shop.expiry))}


def severity(shop: Shop, check: str, name: str = "") -> Severity:
    return ask(shop, check)[name or check].severity


@contextmanager
def configured(redis: Redis, **options: str) -> Iterator[None]:
    named = {name.replace("_", "-"): value for name, value in options.items()}
    before: dict[str, str] = cast("dict[str, str]", redis.config_get(*named))
    redis.config_set(*chain.from_iterable(named.items()))
    yield
    redis.config_set(*chain.from_iterable(before.items()))


INDEX = {
    "postgresql": "CREATE INDEX orders_overdue ON orders (expires_at, id) WHERE status = 'pending'",
    "sqlite": "CREATE INDEX orders_overdue ON orders (expires_at, id) WHERE status = 'pending'",
    "mysql": "CREATE INDEX orders_overdue ON orders (status, expires_at, id)",
}


def on(shop: Shop, table: str) -> str:
    """Return what MySQL wants to know when it drops an index."""
    return f" ON {table}" if shop.engine.dialect.name == "mysql" else ""


def insert_many(shop: Shop, id_type: IdType) -> None:
    """Place 200 orders with ids of a type."""
    make: dict[IdType, Callable[[int], object]] = {"text": str, "integer": int, "uuid": lambda n: UUID(int=n)}
    shop.place(*(shop.stored(make[id_type](number)) for number in range(1, 201)))


def test_a_shop_in_order(shop: Shop) -> None:
    shop.create("integer")
    shop.place(*range(1, 200), due=600)
    shop.schedule.claim(1)
    found = [finding for check in ALL for finding in ask(shop, check).values()]
    assert {finding.name: finding for finding in found if finding.severity is not Severity.OK} == {}
    assert len(found) == len({finding.name for finding in found}) == 25


@pytest.mark.parametrize("database_url", ["sqlite"], indirect=True)
class TestRedis:
    def test_it_may_evict(self, shop: Shop, redis: Redis) -> None:
        with configured(redis, maxmemory_policy="allkeys-lru"):
            found = ask(shop, "redis.eviction")["redis.eviction"]
        assert found.severity is Severity.ERROR
        assert "allkeys-lru" in found.found
        assert "maxmemory-policy noeviction" in found.advice

    def test_it_is_almost_full(self, shop: Shop, redis: Redis) -> None:
        used = redis.info("memory")["used_memory"]
        with configured(redis, maxmemory=str(round(used * 1.1))):
            assert severity(shop, "redis.eviction", "redis.memory") is Severity.WARNING

    def test_it_keeps_nothing(self, shop: Shop, redis: Redis) -> None:
        with configured(redis, appendonly="no"):
            assert severity(shop, "redis.persistence") is Severity.WARNING

    def test_it_is_a_replica(self, shop: Shop, redis: Redis, redis_server: EmbeddedRedis) -> None:
        redis.replicaof("127.0.0.1", 1)
        try:
            assert severity(shop, "redis.replication") is Severity.ERROR
        finally:
            redis.replicaof("NO", "ONE")

    def test_it_may_not_be_asked(
        self, shop: Shop, redis: Redis, settings: Settings, redis_server: EmbeddedRedis
    ) -> None:
        redis.acl_setuser(
            "narrow", enabled=True, passwords=["+it"], keys=["*"], commands=["+evalsha", "+eval", "+time"]
        )
        url = redis_server.url.replace("redis://", "redis://narrow:it@")
        narrow = Schedule.connect(settings.model_copy(update={"redis_url": url}))
        expiry = OrderExpiry(settings, narrow, shop.store)
        [found] = about_redis.CHECKS["redis.version"](Patient(expiry))
        assert (found.severity, found.found) == (
            Severity.UNKNOWN,
            "the user of ORDERS_REDIS_URL may not run INFO",
        )
        narrow.close()
        redis.acl_deluser("narrow")


def test_another_clock() -> None:
    assert judge_clock("a.clock", "its clock", 0.4, 0.2).severity is Severity.OK
    assert judge_clock("a.clock", "its clock", -0.6, 0.2).severity is Severity.WARNING


class TestDatabase:
    @pytest.mark.parametrize("id_type", ["text", "integer", "uuid"])
    def test_the_index_is_missing(self, shop: Shop, id_type: IdType) -> None:
        shop.create(id_type)
        with shop.engine.begin() as connection:
            connection.execute(sa.text(f"DROP INDEX orders_overdue{on(shop, 'orders')}"))
        insert_many(shop, id_type)
        found = ask(shop, "database.index")["database.index"]
        assert found.severity is Severity.ERROR
        assert "reads the whole table" in found.found
        assert found.advice == INDEX[shop.engine.dialect.name]
        # and the advice is a statement that helps
        with shop.engine.begin() as connection:
            connection.execute(sa.text(found.advice))
        shop.store.close()  # SQLite's driver keeps a prepared EXPLAIN, which does not notice the index
        assert severity(shop, "database.index") is Severity.OK

    def test_the_index_of_a_table_with_names_and_words_that_need_quotes(self, shop: Shop) -> None:
        shop.create()
        table = sa.table("Sales Orders")
        with shop.engine.begin() as connection:
            name = connection.dialect.identifier_preparer.format_table(table)
            connection.execute(sa.text(f"ALTER TABLE orders RENAME TO {name}"))
            connection.execute(sa.text(f"DROP INDEX orders_overdue{on(shop, name)}"))
        there = shop.configured(table="Sales Orders", pending="it's open")
        advice = ask(there, "database.index")["database.index"].advice
        with shop.engine.begin() as connection:
            connection.execute(sa.text(advice))
        assert severity(there, "database.index") is Severity.OK

    def test_no_row_has_one_of_the_words(self, shop: Shop) -> None:
        shop.create()
        assert severity(shop, "database.words") is Severity.OK
        shop.place("1", status="OPEN")
        shop.place("2", status="Shipped")
        found = ask(shop, "database.words")["database.words"]
        assert found.severity is Severity.WARNING
        assert found.found == (
            "no row of orders has one of the words ORDERS_PENDING 'pending', ORDERS_PAID 'paid', ORDERS_EXPIRED "
            "'expired': it has 'OPEN', 'Shipped'"
        )
        shop.place("3", status="expired")
        assert severity(shop, "database.words") is Severity.OK

    @pytest.mark.parametrize("rows", [0, 1, 3000])
    def test_the_index_is_there(self, shop: Shop, rows: int) -> None:
        shop.create("integer")
        if rows:
            shop.place(*range(1, rows + 1), enqueue=False)
        assert severity(shop, "database.index") is Severity.OK

    def test_the_table_is_missing(self, shop: Shop, monkeypatch: pytest.MonkeyPatch) -> None:
        monkeypatch.setattr(examining, "entry_points", lambda group: [])
        found = {finding.name: finding for finding in examine(Patient(shop.expiry)).findings}
        assert found["database.table"].severity is Severity.ERROR
        assert "ORDERS_TABLE is 'orders', but the database has no such table" in found["database.table"].found

    @pytest.mark.parametrize("database_url", ["postgresql"], indirect=True)
    def test_it_takes_no_writes(self, shop: Shop) -> None:
        shop.create("integer")
        with shop.engine.connect().execution_options(isolation_level="AUTOCOMMIT") as connection:
            name = connection.scalar(sa.text("SELECT current_database()"))
            connection.execute(sa.text(f"ALTER DATABASE {name} SET default_transaction_read_only = on"))
        shop.store.close()  # so that it connects anew
        assert severity(shop, "database.table") is Severity.OK
        assert severity(shop, "database.writable") is Severity.ERROR

    @pytest.mark.parametrize("database_url", ["sqlite"], indirect=True)
    def test_there_is_no_table_of_events(self, shop: Shop) -> None:
        shop.create("integer", events=False)
        assert severity(shop, "database.events") is Severity.WARNING
        assert severity(shop.configured(remind="10m"), "database.events") is Severity.ERROR

    def test_events_wait(self, shop: Shop) -> None:
        shop.create("integer")
        shop.hooks.on_event(lambda event: None)
        shop.place(7)
        shop.expiry.pay(7)
        assert severity(shop, "database.events") is Severity.OK
        with shop.engine.begin() as connection:
            connection.execute(sa.text("UPDATE order_events SET at = '2026-01-01 00:00:00'"))
        found = ask(shop, "database.events")["database.events"]
        assert found.severity is Severity.ERROR
        assert found.found.startswith("waiting events: 1,")


@pytest.mark.parametrize("database_url", ["sqlite"], indirect=True)
class TestSchedule:
    def test_nobody_sweeps(self, shop: Shop) -> None:
        assert severity(shop, "schedule.sweeps") is Severity.ERROR
        shop.schedule.note("swept_at", time.time() - 31)
        assert severity(shop, "schedule.sweeps") is Severity.ERROR
        shop.schedule.note("swept_at", time.time() - 5)
        assert severity(shop, "schedule.sweeps") is Severity.OK

    def test_orders_wait(self, shop: Shop) -> None:
        shop.schedule.enqueue([("1", time.time() - 100), ("2", time.time() - 5)])
        found = ask(shop, "schedule.overdue")["schedule.overdue"]
        assert found.severity is Severity.ERROR
        assert found.found.startswith("2 orders due and not claimed, the oldest for 100")

    def test_orders_are_buried(self, shop: Shop) -> None:
        shop.schedule.enqueue([("1", 1.0)])
        shop.schedule.bury(shop.schedule.claim(1).lease, [("1", '{"reason": "a hook raised", "attempts": 3}')])
        found = ask(shop, "schedule.dead")["schedule.dead"]
        assert (found.severity, found.found) == (
            Severity.WARNING,
            "dead letters: 1; most common reason (1 of 1): a hook raised",
        )

    def test_the_schedule_lacks_rows(self, shop: Shop) -> None:
        shop.create("integer")
        shop.place(1, 2, 3, due=-500, enqueue=False)
        shop.schedule.enqueue([("2", 1.0)])
        found = ask(shop, "schedule.coverage")["schedule.coverage"]
        assert found.severity is Severity.ERROR
        assert found.found.startswith("2 of 3 rows")

    def test_the_schedule_has_what_is_paid(self, shop: Shop) -> None:
        shop.create("integer")
        shop.place(*range(1, 21), due=100)
        shop.place(21, 22, due=100, status="paid")
        shop.schedule.enqueue([("foreign", time.time() + 100)])
        found = ask(shop, "schedule.drift")["schedule.drift"]
        assert found.severity is Severity.WARNING
        assert found.found.startswith("of 23 scheduled ids, 3 without a pending row")

    def test_leases_end_before_the_work(self, shop: Shop) -> None:
        shop.schedule.enqueue((str(number), 1.0) for number in range(2000))
        shop.schedule.claim(1000)
        shop.schedule.claim(1000)
        found = ask(shop, "schedule.pace")["schedule.pace"]
        assert found.severity is Severity.ERROR
        assert "2,000 orders are leased, and workers finish 0 per second" in found.found

    def test_settings_do_not_go_together(self, shop: Shop) -> None:
        assert severity(shop.configured(lease=15), "settings.lease") is Severity.WARNING
        with pytest.raises(ConfigError):  # what cannot work at all is refused at the start
            shop.configured(lease=5)

    def test_settings_are_misspelt(self, shop: Shop, monkeypatch: pytest.MonkeyPatch) -> None:
        monkeypatch.setenv("ORDERS_API_KEY", "s3cret")
        assert ask(shop, "settings.names")["settings.names"].found == "no setting is misspelt; not ours: ORDERS_API_KEY"
        monkeypatch.setenv("ORDERS_TIMEOT", "900")
        found = ask(shop, "settings.names")["settings.names"]
        assert found.severity is Severity.WARNING
        assert found.found == "ORDERS_TIMEOT is not a setting: did you mean ORDERS_TIMEOUT?"


def test_a_redis_that_hangs_holds_up_nobody(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(examining, "entry_points", lambda group: [])
    with EmbeddedRedis(tmp_path) as server:
        settings = Settings(redis_url=server.url, database_url=f"sqlite:///{tmp_path}/orders.db")
        expiry = OrderExpiry.connect(settings)
        os.kill(server.pid, signal.SIGSTOP)
        began = time.monotonic()
        found = {finding.name: finding for finding in examine(Patient(expiry), seconds=1).findings}
        assert time.monotonic() - began < 4
        os.kill(server.pid, signal.SIGCONT)
    assert found["redis.clock"].found == "no answer within 1 s"
    assert found["redis.version"].found == "not checked, because of redis.clock"
    assert found["database.table"].severity is Severity.ERROR  # it has none, and says so
    expiry.close()
