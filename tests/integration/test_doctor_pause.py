"""What the doctor and the metrics say of a pause and of the brake."""

from __future__ import annotations

import pytest
from prometheus_client import CollectorRegistry

from orders.expiry.pause import pause_schedule, resume_schedule
from orders.operate.doctor import Finding, Patient, Severity, about_pause, about_schedule
from orders.operate.metrics import OrdersCollector
from orders.schedule.counters import EXPIRED
from tests.conftest import Shop

ALL = {**about_pause.CHECKS, **about_schedule.CHECKS}


@pytest.fixture
def database_url(tmp_path: object) -> str:
    return f"sqlite:///{tmp_path}/orders.db"


def ask(shop: Shop, check: str) -> Finding:
    [finding] = ALL[check](Patient(shop.expiry))
    return finding


def test_it_says_since_when_by_whom_and_why(shop: Shop) -> None:
    shop.create()
    assert ask(shop, "schedule.pause").severity is Severity.OK
    begun = pause_schedule(shop.expiry, 600, reason="the gateway is down", by="anna")
    found = ask(shop, "schedule.pause")
    assert (found.severity, found.found) == (Severity.WARNING, f"the schedule is {begun}")
    assert "by anna, until" in found.found
    assert found.found.endswith(": the gateway is down")
    assert "orders resume" in found.advice
    resume_schedule(shop.expiry)
    assert ask(shop, "schedule.pause").severity is Severity.OK


def test_it_tells_a_pause_of_the_brake_and_one_that_only_redis_knows(shop: Shop) -> None:
    shop.create()
    braked = shop.configured(brake="2/1h")
    braked.schedule.settle(0.0, ["none"], {EXPIRED: 2})
    found = ask(braked, "schedule.pause")
    assert found.severity is Severity.ERROR
    assert "by brake" in found.found
    assert "orders list due" in found.advice
    resume_schedule(braked.expiry)
    pause_schedule(shop.expiry)
    shop.store.pauses.end()
    assert ask(shop, "schedule.pause").found == "Redis says that the schedule is paused, and the database does not"


def test_what_is_overdue_in_a_pause_is_nobodys_fault(shop: Shop) -> None:
    shop.create()
    shop.place("42", due=-600)
    assert ask(shop, "schedule.overdue").severity is Severity.ERROR
    pause_schedule(shop.expiry)
    assert ask(shop, "schedule.overdue").severity is Severity.OK


def test_it_recommends_a_brake_and_does_not_insist(shop: Shop) -> None:
    found = ask(shop, "settings.brake")
    assert found.severity is Severity.OK
    assert "Recommended: ORDERS_BRAKE=" in found.found
    assert "Recommended" not in ask(shop.configured(brake="5000/10m"), "settings.brake").found


def test_the_metrics_tell_both(shop: Shop) -> None:
    shop.create()
    registry = CollectorRegistry()
    registry.register(OrdersCollector(shop.expiry))

    def served() -> tuple[float | None, float | None]:
        names = ("order_expiry_paused", "order_expiry_braked_total")
        paused, braked = (registry.get_sample_value(name) for name in names)
        return paused, braked

    assert served() == (0, 0)
    shop.configured(brake="2/1h").schedule.settle(0.0, ["none"], {EXPIRED: 2})
    assert served() == (1, 1)
    resume_schedule(shop.expiry)
    assert served() == (0, 1)
