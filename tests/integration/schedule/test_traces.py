"""The trace of who enqueued, which is kept beside the order in Redis."""

from __future__ import annotations

from collections.abc import Callable

import pytest
from opentelemetry.sdk.trace import TracerProvider
from opentelemetry.sdk.trace.sampling import ALWAYS_OFF
from redis import Redis

from orders.config.settings import Settings
from orders.schedule.aio import AsyncSchedule
from orders.schedule.records import Move
from orders.schedule.sorted_set import Schedule


def recorded(enqueue: Callable[[], object]) -> str:
    """Do something in a span that is recorded; return the id of its trace."""
    with TracerProvider().get_tracer("shop").start_as_current_span("checkout") as span:
        enqueue()
    return f"{span.get_span_context().trace_id:032x}"


def test_the_trace_of_who_enqueued_is_kept_as_long_as_the_order_is_scheduled(schedule: Schedule, redis: Redis) -> None:
    order_ids = ["settled", "buried", "removed", "anew"]
    trace = recorded(lambda: schedule.enqueue((order_id, 1.0) for order_id in [*order_ids, "later"]))
    schedule.enqueue([("other", 1.0)])  # which nobody records
    assert {found.split("-")[1] for found in schedule.traces([*order_ids, "other"])} == {trace}
    claim = schedule.claim(10)
    schedule.settle(claim.lease, ["settled", "other"])
    schedule.bury(claim.lease, [("buried", "{}")])
    schedule.remove(["removed"])
    schedule.enqueue([("anew", 1.0)])
    schedule.reschedule(claim.lease, [Move("later", 2.0)])
    assert redis.hkeys("{orders}:traces") == [b"later"]
    assert schedule.traces(["later", "unknown"]) != schedule.traces([]) == []


def test_outside_of_a_recorded_span_nothing_is_kept(schedule: Schedule, redis: Redis) -> None:
    with TracerProvider(sampler=ALWAYS_OFF).get_tracer("shop").start_as_current_span("checkout"):
        schedule.enqueue([("42", 1.0)])
    assert not redis.exists("{orders}:traces")


@pytest.mark.asyncio
async def test_an_event_loop_keeps_the_trace_too(settings: Settings, redis: Redis) -> None:
    schedule = AsyncSchedule.connect(settings)
    with TracerProvider().get_tracer("shop").start_as_current_span("checkout"):
        await schedule.enqueue([("42", 1.0), ("43", 2.0)])
    await schedule.close()
    assert redis.zrange("orders", 0, -1) == [b"42", b"43"]
    assert redis.hlen("{orders}:traces") == 2
