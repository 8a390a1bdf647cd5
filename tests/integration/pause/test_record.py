"""What a pause says, how it ends, and that Redis only has a copy."""

from __future__ import annotations

from datetime import UTC, datetime, timedelta
from typing import Any

import pytest
import sqlalchemy as sa

from orders.errors import InvalidDeadline, ScheduleUnavailable, SchemaError
from orders.expiry.pause import correct_pause, pause_schedule, resume_schedule
from orders.schedule.shards import connect_schedule
from orders.store.outbox import Outbox
from orders.store.outcomes import Outcome
from orders.store.pauses import KIND
from tests.conftest import Shop

pytestmark = pytest.mark.every_adapter

on_sqlite = pytest.mark.parametrize("database_url", ["sqlite"], indirect=True)


def test_it_says_since_when_until_when_who_and_why(shop: Shop) -> None:
    shop = shop.timed()
    shop.create()
    assert shop.store.pauses.current() is None
    since, until = shop.clock.now(), shop.clock.now() + timedelta(minutes=30)
    begun = pause_schedule(shop.expiry, 1800, reason="the gateway is down", by="anna")
    assert shop.store.pauses.current() == begun
    assert (begun.since, begun.until, begun.by, begun.reason) == (since, until, "anna", "the gateway is down")
    # again: another end, the same begin
    shop.clock.advance(60)
    again = pause_schedule(shop.expiry, by="bert")
    assert (again.since, again.until, again.by, again.reason) == (since, None, "bert", None)
    assert resume_schedule(shop.expiry) == again
    assert resume_schedule(shop.expiry) is None
    assert shop.store.pauses.current() is None


def test_it_ends_by_itself(shop: Shop) -> None:
    shop = shop.timed()
    shop.create()
    shop.place("42")
    pause_schedule(shop.expiry, until=shop.clock.now() + timedelta(seconds=30))
    assert shop.store.expire(["42"])["42"].outcome is Outcome.PAUSED
    shop.clock.advance(30)
    assert shop.store.expire(["42"])["42"].outcome is Outcome.EXPIRED


@on_sqlite
@pytest.mark.parametrize(
    "given",
    [
        {"seconds": 0},
        {"seconds": -1},
        {"seconds": float("nan")},
        {"seconds": "30"},
        {"until": datetime.now(UTC) - timedelta(seconds=1)},
        {"until": datetime(2030, 1, 1)},  # noqa: DTZ001 - naive
        {"seconds": 60, "until": datetime.now(UTC) + timedelta(hours=1)},
    ],
)
def test_its_end_must_be_one_valid_time(shop: Shop, given: dict[str, Any]) -> None:
    shop.create()
    with pytest.raises(InvalidDeadline):
        pause_schedule(shop.expiry, **given)
    assert shop.store.pauses.current() is None


@on_sqlite
@pytest.mark.parametrize("text", ["", "x" * 256, 5])
def test_who_and_why_are_short_texts(shop: Shop, text: Any) -> None:
    shop.create()
    with pytest.raises(ValueError, match="it must be a text of 1 to 255 characters"):
        pause_schedule(shop.expiry, reason=text)


@on_sqlite
def test_it_needs_the_events_table(shop: Shop) -> None:
    shop.create(events=False)
    with pytest.raises(SchemaError, match="orders init-db"):
        pause_schedule(shop.expiry)
    assert resume_schedule(shop.expiry) is None


def test_it_is_no_event(shop: Shop) -> None:
    shop.create()
    heard: list[str] = []
    shop.hooks.on_event(lambda event: heard.append(event.order_id))
    shop.place("42")
    assert shop.claim_and_expire() == {"expired": 1}
    pause_schedule(shop.expiry)
    assert shop.expiry.deliver() == {"delivered": 1}  # events go on
    assert heard == ["42"]
    assert shop.store.prune_events(older_than=-60.0, keep_undelivered=False, keep_for=(), limit=10) == 1
    assert shop.store.pauses.current() is not None


# Redis has a copy


def test_if_redis_has_lost_its_copy_nothing_expires(shop: Shop) -> None:
    shop.create()
    shop.place("42")
    pause_schedule(shop.expiry, by="anna")
    shop.redis.flushall()
    shop.expiry.reconcile(everything=True)
    assert shop.claim_and_expire() == {"paused": 1}
    assert shop.status("42") == "pending"
    # and the next sweep restores it, so that nothing is claimed either
    correct_pause(shop.expiry)
    assert shop.claim_and_expire_all() == 0


def test_the_copy_of_a_pause_that_is_over_is_removed(shop: Shop) -> None:
    # given a pause whose end Redis has missed
    shop.create()
    shop.place("42")
    pause_schedule(shop.expiry)
    shop.store.pauses.end()
    assert shop.claim_and_expire_all() == 0
    correct_pause(shop.expiry)
    assert shop.claim_and_expire() == {"expired": 1}


@pytest.mark.parametrize("has_older", [False, True])
def test_a_row_that_a_restored_backup_lacks_is_written_again(shop: Shop, has_older: bool) -> None:
    # given a pause that is newer than what a backup has: nothing, or an earlier pause that is over
    shop = shop.timed()
    shop.create()
    shop.place("42")
    table = Outbox(shop.settings, shop.engine.dialect.name, None).table
    kept: list[Any] = []
    if has_older:
        pause_schedule(shop.expiry, by="bert")
        resume_schedule(shop.expiry)
        with shop.engine.begin() as connection:
            kept = [row._asdict() for row in connection.execute(sa.select(table).where(table.c.kind == KIND))]
        shop.clock.advance(60)
    begun = pause_schedule(shop.expiry, 3600, by="anna")
    # when it is restored
    with shop.engine.begin() as connection:
        connection.execute(sa.delete(table).where(table.c.kind == KIND))
        for row in kept:
            connection.execute(sa.insert(table).values(**row))
    assert shop.store.pauses.current() is None
    # then nothing is claimed, and the next sweep writes the pause again, with its begin and its end
    assert shop.claim_and_expire_all() == 0
    correct_pause(shop.expiry)
    found = shop.store.pauses.current()
    assert found
    assert found.since == begun.since
    assert found.until
    assert begun.until
    assert abs(found.until - begun.until) < timedelta(milliseconds=1)
    assert (found.by, found.reason) == (None, "the database has lost who paused it, and why")
    # and somebody can end it
    resume_schedule(shop.expiry)
    correct_pause(shop.expiry)
    assert shop.store.pauses.current() is None
    assert shop.claim_and_expire_all() == 1


@on_sqlite
def test_without_redis_the_pause_holds(shop: Shop, monkeypatch: pytest.MonkeyPatch) -> None:
    shop.create()
    shop.place("42")

    def fail(*_: Any) -> Any:
        raise ScheduleUnavailable("down")

    with monkeypatch.context() as patched:
        patched.setattr(shop.schedule, "_run", fail)
        assert pause_schedule(shop.expiry).by is None
    assert shop.claim_and_expire() == {"paused": 1}


@on_sqlite
@pytest.mark.parametrize("step", ["before the row", "between", "after Redis"])
def test_a_sweep_beside_a_resume_does_not_undo_it(shop: Shop, monkeypatch: pytest.MonkeyPatch, step: str) -> None:
    shop.create()
    shop.place("42")
    pause_schedule(shop.expiry)
    end, resume = shop.store.pauses.end, shop.schedule.resume

    def end_row() -> Any:
        if step == "before the row":
            correct_pause(shop.expiry)
        return end()

    def resume_redis(*given: Any, **options: Any) -> bool:
        if step == "between" and not given:
            correct_pause(shop.expiry)
        return resume(*given, **options)

    monkeypatch.setattr(shop.store.pauses, "end", end_row)
    monkeypatch.setattr(shop.schedule, "resume", resume_redis)
    assert resume_schedule(shop.expiry)
    correct_pause(shop.expiry)
    assert shop.store.pauses.current() is None
    assert shop.schedule.paused() == (None, None, None)
    assert shop.claim_and_expire() == {"expired": 1}


@on_sqlite
def test_a_sweep_that_claims_nothing_does_not_ask_the_database(shop: Shop, monkeypatch: pytest.MonkeyPatch) -> None:
    shop.create()
    shop.place("42", due=60)

    def never() -> Any:
        raise AssertionError

    monkeypatch.setattr(shop.store.pauses, "current", never)
    correct_pause(shop.expiry)
    shop.place("43", due=5)
    with pytest.raises(AssertionError):
        correct_pause(shop.expiry)


@on_sqlite
def test_a_late_sweep_does_not_end_a_newer_pause(shop: Shop) -> None:
    # given a sweep that knows of a pause that is over, when another one begins
    shop.create()
    first = pause_schedule(shop.expiry)
    resume_schedule(shop.expiry)
    second = pause_schedule(shop.expiry)
    # when it removes the copy of the first
    shop.schedule.resume(first.since.timestamp(), release=False)
    assert shop.schedule.paused().since == second.since.timestamp()


@on_sqlite
def test_all_shards_and_new_ones_are_paused(shop: Shop) -> None:
    shop.create()
    four, eight = (
        shop.adapter.expiry(settings, connect_schedule(settings), shop.store, hooks=shop.hooks)
        for settings in (shop.settings.model_copy(update={"shards": shards}) for shards in (4, 8))
    )
    pause_schedule(four)
    assert all(each.paused().until for each in four.schedule.sets())
    assert not all(each.paused().until for each in eight.schedule.sets())
    correct_pause(eight)
    assert all(each.paused().until for each in eight.schedule.sets())
    resume_schedule(eight)
    assert not any(each.paused().until for each in eight.schedule.sets())
    for expiry in (four, eight):
        expiry.schedule.close()
