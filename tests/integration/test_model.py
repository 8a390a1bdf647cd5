"""Random operations on a real Redis against a model of a few lines (Hypothesis, stateful)."""

from __future__ import annotations

import math
from typing import cast

import pytest
from hypothesis import HealthCheck
from hypothesis import settings as hypothesis_settings
from hypothesis import strategies as st
from hypothesis.stateful import RuleBasedStateMachine, invariant, precondition, rule, run_state_machine_as_test
from redis import Redis

from orders import ids
from orders.schedule.records import Move
from orders.schedule.sorted_set import FOREVER, PAUSED, Schedule

IDS = st.sampled_from(["1", "2", "3", "4", "ü", "\udcff"])
DUE = st.integers(-30, 40)
PICK = st.integers(0, 1000)


def exact(instant: float) -> float:
    """Return an instant as a score has it: with microseconds."""
    return float(f"{instant:.6f}")


class Model(RuleBasedStateMachine):
    """What the schedule must be: dictionaries, and the claims that workers hold."""

    def __init__(self, schedule: Schedule, redis: Redis) -> None:
        super().__init__()
        redis.flushall()
        self.real, self.redis = schedule, redis
        self.scores: dict[str, float] = {}
        self.attempts: dict[str, int] = {}
        self.dead: set[str] = set()
        self.claims: list[tuple[float, list[str]]] = []
        self.paused_until: float | None = None

    def held(self, pick: int) -> tuple[float, list[str], list[str]]:
        """Return a claim: its token, its ids, and those of them whose fence holds."""
        lease, order_ids = self.claims[pick % len(self.claims)]
        return lease, order_ids, [order_id for order_id in order_ids if self.scores.get(order_id) == lease]

    def forget(self, order_id: str) -> None:
        self.attempts.pop(order_id, None)

    @rule(order_id=IDS, due=DUE)
    def enqueue(self, order_id: str, due: int) -> None:
        instant = exact(self.real.now() + due)
        assert self.real.enqueue([(order_id, instant)]) == (order_id not in self.scores)
        self.scores[order_id] = instant
        self.dead.discard(order_id)
        self.forget(order_id)

    @rule(order_id=IDS, due=DUE)
    def adopt(self, order_id: str, due: int) -> None:
        instant = exact(self.real.now() + due)
        lacks = order_id not in self.scores and order_id not in self.dead
        assert self.real.uncovered([order_id]) == ([order_id] if lacks else [])
        assert self.real.adopt([(order_id, instant)]) == lacks
        if lacks:
            self.scores[order_id] = instant

    @rule(order_id=IDS)
    def remove(self, order_id: str) -> None:
        known = order_id in self.scores or order_id in self.dead
        assert self.real.remove([order_id]) == known
        self.scores.pop(order_id, None)
        self.dead.discard(order_id)
        self.forget(order_id)

    @rule(limit=st.integers(1, 4))
    def claim(self, limit: int) -> None:
        claim = self.real.claim(limit)
        horizon = -math.inf if self.is_paused(claim.now) else exact(claim.now + 11)
        due = sorted(
            (order_id for order_id, score in self.scores.items() if score <= horizon),
            key=lambda order_id: (self.scores[order_id], ids.encode(order_id)),
        )[:limit]
        assert [claimed.order_id for claimed in claim.claimed] == due
        assert [claimed.due for claimed in claim.claimed] == [self.scores[order_id] for order_id in due]
        assert [claimed.attempts for claimed in claim.claimed] == [self.attempts.get(order_id, 0) for order_id in due]
        assert claim.lease == exact(claim.now + 120)
        self.scores |= dict.fromkeys(due, claim.lease)
        if due:
            self.claims.append((claim.lease, due))

    @precondition(lambda self: self.claims)
    @rule(pick=PICK)
    def start(self, pick: int) -> None:
        lease, order_ids, held = self.held(pick)
        if self.is_paused(self.real.now()):
            refused = {order_id: PAUSED - self.attempts.get(order_id, 0) for order_id in held}
            assert self.real.start(lease, order_ids) == refused
            return
        for order_id in held:
            self.attempts[order_id] = self.attempts.get(order_id, 0) + 1
        assert self.real.start(lease, order_ids) == {order_id: self.attempts[order_id] for order_id in held}

    @precondition(lambda self: self.claims)
    @rule(pick=PICK)
    def settle(self, pick: int) -> None:
        lease, order_ids, held = self.held(pick)
        assert self.real.settle(lease, order_ids, {"expired": len(held)}) == len(held)
        for order_id in held:
            del self.scores[order_id]
            self.forget(order_id)

    @precondition(lambda self: self.claims)
    @rule(pick=PICK, due=DUE)
    def give_back(self, pick: int, due: int) -> None:
        """A worker gives back what it may not start: nothing else changes."""
        lease, order_ids, held = self.held(pick)
        instant = exact(self.real.now() + due)
        moves = [Move(each, instant, self.attempts.get(each, 0), keeps_failure=True) for each in order_ids]
        failures = self.real.failures(order_ids)
        assert self.real.reschedule(lease, moves) == len(held)
        assert self.real.failures(order_ids) == failures
        self.scores |= dict.fromkeys(held, instant)

    @rule(seconds=st.one_of(st.none(), st.integers(1, 300)))
    def pause(self, seconds: int | None) -> None:
        self.paused_until = FOREVER if seconds is None else self.real.now() + seconds
        self.real.pause(self.paused_until, 1.0)

    @rule()
    def resume(self) -> None:
        assert self.real.resume() is False
        self.paused_until = None

    def is_paused(self, now: float) -> bool:
        return self.paused_until is not None and self.paused_until > now

    @precondition(lambda self: self.claims)
    @rule(pick=PICK, due=DUE, attempts=st.integers(0, 3))
    def reschedule(self, pick: int, due: int, attempts: int) -> None:
        lease, order_ids, held = self.held(pick)
        instant = exact(self.real.now() + due)
        failure = {"error": "…"} if attempts else None
        moves = [Move(order_id, instant, attempts, failure) for order_id in order_ids]
        assert self.real.reschedule(lease, moves) == len(held)
        for order_id in held:
            self.scores[order_id] = instant
            self.forget(order_id)
            if attempts:
                self.attempts[order_id] = attempts

    @precondition(lambda self: self.claims)
    @rule(pick=PICK)
    def bury(self, pick: int) -> None:
        lease, order_ids, held = self.held(pick)
        assert self.real.bury(lease, [(order_id, "{}") for order_id in order_ids]) == len(held)
        for order_id in held:
            del self.scores[order_id]
            self.forget(order_id)
            self.dead.add(order_id)

    @precondition(lambda self: self.claims)
    @rule(pick=PICK)
    def crash(self, pick: int) -> None:
        """A worker dies: nobody has its token any more."""
        del self.claims[pick % len(self.claims)]

    @rule(seconds=st.integers(1, 130))
    def time_passes(self, seconds: int) -> None:
        """Redis's clock cannot be set, so everything else moves the other way."""
        self.scores = {order_id: exact(score - seconds) for order_id, score in self.scores.items()}
        self.claims = [(exact(lease - seconds), order_ids) for lease, order_ids in self.claims]
        for order_id, score in self.scores.items():
            self.redis.zadd("orders", {ids.encode(order_id): score})
        if self.paused_until not in {None, FOREVER}:
            self.paused_until -= seconds
            self.real.pause(self.paused_until, 1.0)

    @invariant()
    def the_schedule_is_what_the_model_says(self) -> None:
        entries = cast("list[tuple[bytes, float]]", self.redis.zrange("orders", 0, -1, withscores=True))
        attempts = cast("dict[bytes, bytes]", self.redis.hgetall("{orders}:attempts"))
        dead = cast("list[bytes]", self.redis.hkeys("{orders}:dead"))
        failures = cast("list[bytes]", self.redis.hkeys("{orders}:failures"))
        assert {ids.decode(member): score for member, score in entries} == self.scores
        assert {ids.decode(member): int(number) for member, number in attempts.items()} == self.attempts
        assert set(map(ids.decode, dead)) == self.dead
        assert set(map(ids.decode, failures)) <= set(self.attempts)

    @invariant()
    def nothing_is_both_scheduled_and_buried(self) -> None:
        assert not self.dead & set(self.scores)


@pytest.fixture
def database_url() -> str:
    return "sqlite://"  # nothing here asks the database


def test_the_schedule_behaves_as_its_model(schedule: Schedule, redis: Redis) -> None:
    run_state_machine_as_test(
        cast("type[Model]", lambda: Model(schedule, redis)),  # Hypothesis calls it, class or not
        settings=hypothesis_settings(
            max_examples=80,
            stateful_step_count=40,
            deadline=None,
            derandomize=True,
            suppress_health_check=list(HealthCheck),
        ),
    )
