from __future__ import annotations

import traceback
from collections.abc import Callable, Iterator, Sequence
from concurrent.futures import Future, ThreadPoolExecutor
from threading import Event, Lock
from typing import Protocol, cast

import pytest

from orders.attempt import Attempt
from orders.entries import Lease
from orders.errors import ScheduleUnavailable
from orders.gathering import LANES, Gathering
from orders.scripting import CHUNK

WAIT = 20.0
"""Seconds after which a test has failed."""


class Recorded:
    """Stands in for attempts: each tells that it has begun, and ends when the test says so."""

    def __init__(self) -> None:
        self.runs: list[tuple[float, list[str], bool]] = []
        self.tried: frozenset[str] = frozenset()
        self.error: Exception | None = None
        self.holds: dict[str, Event] = {}
        self.begun: dict[str, Event] = {}
        self.most_at_a_time = self._now = 0
        self._lock = Lock()

    def hold(self, order_id: str) -> None:
        """Keep the attempt with this order from ending."""
        self.holds[order_id], self.begun[order_id] = Event(), Event()

    def make(self, lease: Lease) -> Attempt:
        return cast("Attempt", _Attempt(self, lease.token))

    def run(self, lease: float, order_ids: Sequence[str], only_new: bool) -> None:
        with self._lock:
            self.runs.append((lease, list(order_ids), only_new))
            self._now += 1
            self.most_at_a_time = max(self.most_at_a_time, self._now)
        for order_id in order_ids:
            if order_id in self.holds and (only_new or order_id in self.tried):
                self.begun[order_id].set()
                assert self.holds[order_id].wait(WAIT)
        with self._lock:
            self._now -= 1
        if self.error:
            raise self.error


class _Attempt:
    def __init__(self, recorded: Recorded, lease: float) -> None:
        self._recorded, self._lease = recorded, lease
        self.tried_before: frozenset[str] = frozenset()
        self.span = None

    def run(self, order_ids: Sequence[str], *, only_new: bool = False) -> None:
        if only_new:
            self.tried_before = self._recorded.tried & set(order_ids)
        self._recorded.run(self._lease, order_ids, only_new)

    def end(self, order_ids: Sequence[str]) -> dict[str, int]:
        return {"expired": len(order_ids)} if order_ids else {}


@pytest.fixture
def recorded() -> Recorded:
    return Recorded()


@pytest.fixture
def gathering(recorded: Recorded) -> Gathering:
    return Gathering(recorded.make)


class Start(Protocol):
    def __call__(self, gathering: Gathering, *order_ids: str, lease: float = 1.0) -> Future[dict[str, int]]: ...


@pytest.fixture
def start() -> Iterator[Start]:
    """Bring a message in a thread of its own."""
    with ThreadPoolExecutor(64) as pool:

        def submit(gathering: Gathering, *order_ids: str, lease: float = 1.0) -> Future[dict[str, int]]:
            return pool.submit(gathering.expire, order_ids, Lease(lease))

        yield submit


def wait_for(is_so: Callable[[], bool]) -> None:
    """Wait until threads have come where they are to be."""
    tick = Event()
    for _ in range(int(WAIT / 0.001)):
        if is_so():
            return
        tick.wait(0.001)
    raise AssertionError("it never was")


def test_messages_that_come_during_an_attempt_are_the_next_one(
    gathering: Gathering, recorded: Recorded, start: Start
) -> None:
    recorded.hold("first")
    first = start(gathering, "first")
    assert recorded.begun["first"].wait(WAIT)
    gathering._want_alone += 1  # nobody loses patience: this is about what is gathered
    others = [start(gathering, str(number)) for number in range(20)]
    wait_for(lambda: len(gathering._waiting) == 20)
    gathering._want_alone -= 1
    recorded.holds["first"].set()
    assert [future.result(WAIT) for future in [first, *others]] == [{"expired": 1}] * 21
    assert [len(order_ids) for _, order_ids, _ in recorded.runs] == [1, 20]


def test_an_attempt_has_one_lease_and_no_more_orders_than_a_script_takes(
    gathering: Gathering, recorded: Recorded, start: Start
) -> None:
    recorded.hold("first")
    start(gathering, "first")
    assert recorded.begun["first"].wait(WAIT)
    gathering._want_alone += 1
    ids = [f"{number}" for number in range(CHUNK)]
    others = [
        start(gathering, *ids[:600]),
        start(gathering, *ids[600:], "one more"),
        start(gathering, "other", lease=2),
    ]
    wait_for(lambda: len(gathering._waiting) == 3)
    gathering._want_alone -= 1
    recorded.holds["first"].set()
    for future in others:
        future.result(WAIT)
    assert all(len(order_ids) <= CHUNK for _, order_ids, _ in recorded.runs)
    assert [lease for lease, order_ids, _ in recorded.runs if "other" in order_ids] == [2]
    assert sorted(order for _, order_ids, _ in recorded.runs for order in order_ids) == sorted(
        ["first", "other", "one more", *ids]
    )


def test_one_that_waits_delays_no_others(gathering: Gathering, recorded: Recorded, start: Start) -> None:
    recorded.hold("held")
    held = start(gathering, "held")
    assert recorded.begun["held"].wait(WAIT)
    assert start(gathering, "next").result(WAIT) == {"expired": 1}
    assert not held.done()
    recorded.holds["held"].set()
    assert held.result(WAIT) == {"expired": 1}


def test_there_are_never_more_attempts_than_lanes(gathering: Gathering, recorded: Recorded, start: Start) -> None:
    names = [f"held {number}" for number in range(LANES + 3)]
    for name in names:
        recorded.hold(name)
    futures = [start(gathering, name, f"{name}, too") for name in names]
    wait_for(lambda: sum(recorded.begun[name].is_set() for name in names) == LANES)
    for name in names:
        recorded.holds[name].set()
    for future in futures:
        assert future.result(WAIT) == {"expired": 2}
    assert recorded.most_at_a_time == LANES


def test_what_was_tried_before_is_tried_while_nothing_else_is_under_way(
    gathering: Gathering, recorded: Recorded, start: Start
) -> None:
    recorded.tried = frozenset({"poison"})
    for name in ("before", "poison"):
        recorded.hold(name)
    recorded.holds["poison"].set()
    before = start(gathering, "before")
    assert recorded.begun["before"].wait(WAIT)
    poison = start(gathering, "poison")
    wait_for(lambda: gathering._want_alone == 1)
    recorded.holds["poison"].clear()
    recorded.begun["poison"].clear()
    after = start(gathering, "after")
    assert not any("poison" in order_ids and not only_new for _, order_ids, only_new in recorded.runs)
    recorded.holds["before"].set()
    assert recorded.begun["poison"].wait(WAIT)
    assert before.result(WAIT) == {"expired": 1}
    assert not any("after" in order_ids for _, order_ids, _ in recorded.runs)  # it waits until the poison is through
    recorded.holds["poison"].set()
    assert poison.result(WAIT) == after.result(WAIT) == {"expired": 1}
    assert recorded.runs[-1][1] == ["after"]


def test_of_a_batch_only_those_are_done_alone_that_were_tried_before(gathering: Gathering, recorded: Recorded) -> None:
    recorded.tried = frozenset({"b"})
    assert gathering.expire(["a", "b", "c"], Lease(1.0)) == {"expired": 3}
    assert recorded.runs == [(1.0, ["a", "b", "c"], True), (1.0, ["b"], False)]


def test_an_outage_is_raised_in_each_thread_and_does_not_grow(
    gathering: Gathering, recorded: Recorded, start: Start
) -> None:
    try:
        raise ScheduleUnavailable("Redis is away") from ConnectionError("refused")
    except ScheduleUnavailable as outage:
        recorded.error = outage
    recorded.hold("first")
    first = start(gathering, "first")
    assert recorded.begun["first"].wait(WAIT)
    others = [start(gathering, str(number)) for number in range(30)]
    recorded.holds["first"].set()
    for future in [first, *others]:
        error = future.exception(WAIT)
        assert isinstance(error, ScheduleUnavailable)
        assert (str(error), str(error.__cause__)) == ("Redis is away", "refused")
        assert len(list(traceback.walk_tb(error.__traceback__))) < 8
    recorded.error = None
    assert gathering.expire(["next"], Lease(1.0)) == {"expired": 1}


def test_a_bug_is_raised_in_each_thread_and_leaves_nothing_behind(
    gathering: Gathering, recorded: Recorded, start: Start
) -> None:
    recorded.error = ValueError("a bug")
    futures = [start(gathering, str(number)) for number in range(30)]
    for future in futures:
        assert future.exception(WAIT) is recorded.error
    assert gathering._under_way == 0
    recorded.error = None
    assert gathering.expire(["next"], Lease(1.0)) == {"expired": 1}


def test_many_threads_lose_nothing(gathering: Gathering, recorded: Recorded, start: Start) -> None:
    recorded.tried = frozenset(str(number) for number in range(0, 3000, 97))
    futures = [start(gathering, str(number), lease=float(number % 3)) for number in range(3000)]
    assert [future.result(WAIT) for future in futures] == [{"expired": 1}] * 3000
    done = [
        order for _, order_ids, only_new in recorded.runs for order in order_ids if only_new or order in recorded.tried
    ]
    assert set(done) == {str(number) for number in range(3000)}
    assert gathering._under_way == gathering._want_alone == 0
    assert not gathering._waiting


def test_one_waits_for_as_many_as_there_were_and_no_longer(
    gathering: Gathering, recorded: Recorded, start: Start, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("orders.gathering.DELAY", WAIT)  # so that who waits for more than there are fails the test
    for name in ("alone", "next"):
        assert gathering.expire([name], Lease(1.0)) == {"expired": 1}
    gathering._usual = 5
    futures = [start(gathering, str(number)) for number in range(5)]
    for future in futures:
        assert future.result(WAIT / 2) == {"expired": 1}
    assert sorted(recorded.runs[-1][1]) == ["0", "1", "2", "3", "4"]
    monkeypatch.setattr("orders.gathering.DELAY", 0.001)
    assert gathering.expire(["fewer"], Lease(1.0)) == {"expired": 1}
    assert gathering._usual == 1
