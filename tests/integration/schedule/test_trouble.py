"""A Redis that is absent, hangs, holds something else or has forgotten the scripts."""

from __future__ import annotations

import socket
import time

import pytest
from redis import Redis

from orders.config.settings import Settings
from orders.embedded import free_port
from orders.errors import ScheduleError, ScheduleUnavailable
from orders.schedule.sorted_set import Schedule


def test_a_redis_that_is_absent_is_an_error_that_names_it(settings: Settings) -> None:
    url = f"redis://shop:s3cret@127.0.0.1:{free_port()}/0"
    schedule = Schedule.connect(settings.model_copy(update={"redis_url": url}))
    with pytest.raises(ScheduleUnavailable) as caught:
        schedule.enqueue([("42", 1.0)])
    assert "ORDERS_REDIS_URL redis://shop:***@127.0.0.1" in str(caught.value)
    assert "s3cret" not in str(caught.value)


def test_a_redis_that_hangs_is_an_error_after_the_time_out(settings: Settings) -> None:
    with socket.create_server(("127.0.0.1", 0)) as listener:  # accepts, and never answers
        url = f"redis://127.0.0.1:{listener.getsockname()[1]}/0?socket_timeout=0.2"
        schedule = Schedule.connect(settings.model_copy(update={"redis_url": url}))
        began = time.monotonic()
        with pytest.raises(ScheduleUnavailable, match=r"[Tt]imeout"):
            schedule.enqueue([("42", 1.0)])
        assert time.monotonic() - began < 5
        schedule.close()


def test_a_key_of_another_type_is_an_error_that_names_it(schedule: Schedule, redis: Redis) -> None:
    redis.set("orders", "something else")
    with pytest.raises(ScheduleError, match=r"key 'orders'.*WRONGTYPE"):
        schedule.enqueue([("42", 1.0)])


def test_scripts_come_back_after_redis_forgot_them(schedule: Schedule, redis: Redis) -> None:
    schedule.enqueue([("42", 1.0)])
    redis.script_flush()
    assert len(schedule.claim(1).claimed) == 1
