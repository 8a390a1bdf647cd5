"""The sweep on a real Redis, with a publisher that writes down what it is given."""

from __future__ import annotations

import logging
from collections.abc import Sequence
from datetime import UTC, datetime
from itertools import count

import pytest
from redis import Redis

from orders.config.settings import Settings
from orders.errors import ScheduleUnavailable
from orders.expiry.sweep import PATIENCE, PAUSE, Dispatch, run_sweep
from orders.schedule.scripts import CHUNK
from orders.schedule.sorted_set import Schedule


class Letterbox:
    """A publisher that keeps what it was given."""

    def __init__(self, *, waiting: int = 0, fails_after: int | None = None) -> None:
        self.sent: list[Dispatch] = []
        self.waiting = waiting
        self._fails_after = fails_after

    def backlog(self) -> int:
        return self.waiting + len(self.sent)

    def publish(self, dispatches: Sequence[Dispatch]) -> None:
        for dispatch in dispatches:
            if len(self.sent) == self._fails_after:
                raise ConnectionError("the broker went away")
            self.sent.append(dispatch)

    @property
    def ids(self) -> list[str]:
        return [order_id for dispatch in self.sent for order_id in dispatch.order_ids]


@pytest.fixture
def database_url() -> str:
    return "sqlite://"  # nothing here asks the database


def enqueue(schedule: Schedule, number: int, due: float = -10.0, step: float = 0.0) -> None:
    now = schedule.now()
    schedule.enqueue((str(order), now + due + order * step) for order in range(number))


def test_each_order_is_sent_alone_with_its_lease(schedule: Schedule, settings: Settings) -> None:
    enqueue(schedule, 3)
    box = Letterbox()
    swept = run_sweep(schedule, box, settings)
    assert (swept.claimed, swept.sent) == (3, 3)
    assert sorted(dispatch.order_ids for dispatch in box.sent) == [("0",), ("1",), ("2",)]
    assert {dispatch.eta for dispatch in box.sent} == {None}
    [lease] = {dispatch.lease for dispatch in box.sent}
    [expires] = {dispatch.expires for dispatch in box.sent}
    assert expires.timestamp() == pytest.approx(lease, abs=1e-5)
    assert run_sweep(schedule, box, settings).claimed == 0


def test_what_falls_due_before_the_next_sweep_is_sent_with_its_deadline(schedule: Schedule, settings: Settings) -> None:
    now = schedule.now()
    schedule.enqueue([("soon", now + 5.25), ("later", now + 30)])
    box = Letterbox()
    run_sweep(schedule, box, settings)
    [dispatch] = box.sent
    assert dispatch.order_ids == ("soon",)
    assert dispatch.eta == datetime.fromtimestamp(round(now + 5.25, 6), UTC)


def test_it_drains_more_than_one_claim_takes(schedule: Schedule, settings: Settings) -> None:
    enqueue(schedule, 2 * CHUNK + 5)
    box = Letterbox()
    assert run_sweep(schedule, box, settings).claimed == 2 * CHUNK + 5
    assert len(box.ids) == len(set(box.ids)) == 2 * CHUNK + 5


def test_a_flood_is_sent_in_batches(schedule: Schedule, settings: Settings) -> None:
    settings = settings.model_copy(update={"batch_threshold": 100, "batch_size": 40})
    enqueue(schedule, 100)
    box = Letterbox()
    run_sweep(schedule, box, settings)
    assert {len(dispatch.order_ids) for dispatch in box.sent} == {1}  # one hundred is no flood yet
    enqueue(schedule, 101)
    box = Letterbox()
    swept = run_sweep(schedule, box, settings)
    assert [len(dispatch.order_ids) for dispatch in box.sent] == [40, 40, 21]
    assert (swept.claimed, swept.sent) == (101, 3)


def test_a_batch_waits_for_its_last_deadline_and_makes_none_of_it_late(schedule: Schedule, settings: Settings) -> None:
    settings = settings.model_copy(update={"batch_threshold": 1, "batch_size": 500})
    before = schedule.now()
    enqueue(schedule, 100, due=5.0, step=0.01)  # over one second
    after = schedule.now()
    scores = {order: 5.0 + int(order) * 0.01 for order in map(str, range(100))}
    box = Letterbox()
    run_sweep(schedule, box, settings)
    assert len(box.ids) == 100
    for dispatch in box.sent:
        deadlines = [scores[order_id] for order_id in dispatch.order_ids]
        assert max(deadlines) - min(deadlines) <= 0.05 + 1e-6
        assert dispatch.eta
        assert before - 0.001 <= dispatch.eta.timestamp() - max(deadlines) <= after + 0.001


def test_an_order_that_was_tried_before_goes_alone(schedule: Schedule, settings: Settings, redis: Redis) -> None:
    settings = settings.model_copy(update={"batch_threshold": 1, "batch_size": 500})
    enqueue(schedule, 10)
    redis.hset("{orders}:attempts", "5", 1)
    box = Letterbox()
    run_sweep(schedule, box, settings)
    assert sorted(len(dispatch.order_ids) for dispatch in box.sent) == [1, 9]
    assert ("5",) in [dispatch.order_ids for dispatch in box.sent]


def test_it_sends_no_more_than_the_workers_may_be_behind(schedule: Schedule, settings: Settings, redis: Redis) -> None:
    settings = settings.model_copy(update={"max_backlog": 50})
    enqueue(schedule, 100)
    box = Letterbox(waiting=20)
    assert run_sweep(schedule, box, settings).sent == 30
    assert schedule.due() == 70  # and claims no more than it can send
    redis.hdel("{orders}:stats", "swept_at")
    assert run_sweep(schedule, box, settings).sent == 0
    assert schedule.swept_at() == pytest.approx(schedule.now(), abs=5)  # a full queue does not look like a dead beat
    box.waiting = -1000
    assert run_sweep(schedule, box, settings).sent == 70


def test_while_workers_make_room_it_keeps_the_queue_filled(schedule: Schedule, settings: Settings) -> None:
    settings = settings.model_copy(update={"max_backlog": 50})
    enqueue(schedule, 200)
    box, waits = Letterbox(), list[float]()

    def work_off(seconds: float) -> None:
        waits.append(seconds)
        box.waiting -= 10

    swept = run_sweep(schedule, box, settings, sleep=work_off)
    assert swept.sent == 200
    assert set(waits) == {PAUSE}
    assert len(waits) > 10  # claims are not made as small as the room is: all of one share a lease


def test_it_does_not_wait_for_long_for_room_that_nobody_makes(schedule: Schedule, settings: Settings) -> None:
    # (its own process may be the only one that could)
    settings = settings.model_copy(update={"max_backlog": 50})
    enqueue(schedule, 200)
    waits = list[float]()
    swept = run_sweep(schedule, Letterbox(), settings, sleep=waits.append, monotonic=lambda: sum(waits))
    assert swept.sent == 50
    assert PATIENCE <= sum(waits) <= PATIENCE + 2 * PAUSE


def test_a_flood_of_orders_that_go_alone_keeps_to_the_room_too(
    schedule: Schedule, settings: Settings, redis: Redis
) -> None:
    settings = settings.model_copy(update={"max_backlog": 50, "batch_threshold": 1, "batch_size": 500})
    enqueue(schedule, 200)
    redis.hset("{orders}:attempts", mapping={str(order): 1 for order in range(200)})  # each was tried before
    box = Letterbox()
    assert run_sweep(schedule, box, settings).sent == 50


def test_it_ends_when_the_next_one_begins(schedule: Schedule, settings: Settings) -> None:
    enqueue(schedule, 3 * CHUNK)
    ticks = count(0, 4)  # seconds: looked at when it begins, before each claim, and at the end
    swept = run_sweep(schedule, Letterbox(), settings, monotonic=lambda: float(next(ticks)))
    assert swept.claimed == 2 * CHUNK
    assert swept.seconds == 16


def test_what_could_not_be_published_is_due_again_at_once(
    schedule: Schedule, settings: Settings, redis: Redis, caplog: pytest.LogCaptureFixture
) -> None:
    enqueue(schedule, 10)
    redis.hset("{orders}:attempts", "7", 3)
    before = redis.zrange("orders", 0, -1, withscores=True)
    with caplog.at_level(logging.WARNING), pytest.raises(ConnectionError):
        run_sweep(schedule, Letterbox(fails_after=4), settings)
    assert redis.zrange("orders", 0, -1, withscores=True) == before
    assert redis.hgetall("{orders}:attempts") == {b"7": b"3"}
    assert "released 10 of 10" in caplog.text
    box = Letterbox()
    assert run_sweep(schedule, box, settings).claimed == 10


def test_what_went_out_before_a_failure_is_void(schedule: Schedule, settings: Settings) -> None:
    enqueue(schedule, 3)
    box = Letterbox(fails_after=2)
    with pytest.raises(ConnectionError):
        run_sweep(schedule, box, settings)
    for dispatch in box.sent:
        assert schedule.start(dispatch.lease, dispatch.order_ids) == {}


def test_when_redis_fails_too_the_publishers_error_is_not_lost(
    schedule: Schedule, settings: Settings, monkeypatch: pytest.MonkeyPatch
) -> None:
    enqueue(schedule, 3)

    def fail(*_: object) -> int:
        raise ScheduleUnavailable("gone too")

    monkeypatch.setattr(schedule, "reschedule", fail)
    with pytest.raises(ScheduleUnavailable) as caught:
        run_sweep(schedule, Letterbox(fails_after=0), settings)
    assert isinstance(caught.value.__context__, ConnectionError)
