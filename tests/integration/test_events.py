"""The outbox: events in the transaction of what they tell of, delivered at least once, in order for each order."""

from __future__ import annotations

import json
import threading
from collections import defaultdict
from concurrent.futures import ThreadPoolExecutor
from datetime import UTC, datetime, timedelta
from typing import Any

import pytest
import sqlalchemy as sa
from typer.testing import CliRunner

from orders.cli import app
from orders.errors import DeliveryFailed
from orders.events import Event
from orders.expiry import deliver as delivery
from orders.store.outbox import Outbox
from tests.conftest import Shop

pytestmark = pytest.mark.every_adapter


def events_table(shop: Shop) -> sa.Table:
    return Outbox(shop.settings, shop.engine.dialect.name, None).table


def age(shop: Shop, seconds: float) -> None:
    """Let everything in the outbox be so much older: time passes."""
    table = events_table(shop)
    with shop.engine.begin() as connection:
        for row in connection.execute(sa.select(table)).all():
            by = timedelta(seconds=seconds)
            past = {name: value - by for name in ("at", "try_at", "delivered_at") if (value := getattr(row, name))}
            connection.execute(sa.update(table).where(table.c.id == row.id).values(**past))


def expire(shop: Shop, *order_ids: str) -> None:
    shop.place(*order_ids)
    assert shop.claim_and_expire()["expired"] == len(order_ids)


def test_every_event_is_delivered_once_to_every_handler(shop: Shop) -> None:
    shop.create()
    seen: list[tuple[str, str, str]] = []
    shop.hooks.on_event(lambda event: seen.append(("one", event.order_id, event.kind.value)))
    shop.hooks.on_event(lambda event: seen.append(("two", event.order_id, event.kind.value)))
    expire(shop, "42")
    shop.place("43")
    shop.expiry.extend("43", timeout=60)
    shop.expiry.pay("43")
    assert shop.expiry.deliver() == {"delivered": 3}
    assert shop.expiry.deliver() == {"delivered": 0}
    assert sorted(seen) == [
        (handler, order_id, kind)
        for handler in ("one", "two")
        for order_id, kind in (("42", "expired"), ("43", "extended"), ("43", "paid"))
    ]
    assert [kind for handler, order_id, kind in seen if (handler, order_id) == ("one", "43")] == ["extended", "paid"]


def test_what_is_rolled_back_was_no_event(shop: Shop) -> None:
    shop.create()
    shop.place("42")
    with pytest.raises(ZeroDivisionError), shop.adapter.transaction(shop.engine) as joined:  # noqa: PT012
        shop.expiry.pay("42", **joined)
        1 / 0  # noqa: B018
    assert shop.events("42") == []


def test_an_event_tells_what_happened(shop: Shop) -> None:
    shop.create()
    given: list[Event] = []
    shop.hooks.on_event(given.append)
    expire(shop, "42")
    shop.expiry.pay("42", reference="ch_ü")
    shop.expiry.deliver()
    expired, late = given
    assert expired.id < late.id
    assert (expired.kind, dict(expired.data)) == ("expired", {})
    assert (late.kind, late.data["reference"]) == ("late_payment", "ch_ü")
    assert late.at.tzinfo is UTC
    assert abs(late.at - datetime.now(UTC)) < timedelta(seconds=5)


def test_a_handler_that_refuses_holds_up_its_order_and_no_other(shop: Shop) -> None:
    # given a mail server that refuses what is for order 42
    shop.create()
    seen: list[tuple[str, str]] = []
    is_down = True

    def mail(event: Event) -> None:
        if is_down and event.order_id == "42":
            raise ConnectionError("no mail")
        seen.append((event.order_id, event.kind.value))

    shop.hooks.on_event(mail)
    expire(shop, "42", "43")
    shop.expiry.pay("42")
    shop.expiry.pay("43")
    # when everything is delivered
    with pytest.raises(DeliveryFailed, match=r"1 event failed, 2 delivered; .* 42: ConnectionError: no mail"):
        shop.expiry.deliver()
    # then only order 42 waits, and keeps its order
    assert seen == [("43", "expired"), ("43", "late_payment")]
    assert shop.expiry.deliver() == {"delivered": 0}
    [refused, waiting] = shop.events("42")
    assert (refused.refusals, refused.error) == (1, "ConnectionError: no mail")
    assert (waiting.refusals, waiting.delivered_at) == (0, None)
    is_down = False
    age(shop, 2)
    assert shop.expiry.deliver() == {"delivered": 2}
    assert seen[2:] == [("42", "expired"), ("42", "late_payment")]
    assert shop.events("42")[0].error is None


def test_a_refused_event_waits_longer_each_time_and_is_never_given_up(shop: Shop) -> None:
    shop.create()

    def refuse(event: Event) -> None:
        raise ConnectionError("no mail")

    shop.hooks.on_event(refuse)
    expire(shop, "42")
    for number in range(1, 13):
        began = datetime.now(UTC)
        with pytest.raises(DeliveryFailed):
            shop.expiry.deliver()
        ended = datetime.now(UTC)
        with shop.engine.connect() as connection:
            table = events_table(shop)
            try_at = connection.execute(sa.select(table.c.try_at).where(table.c.order_id == "42")).scalar_one()
        wait = timedelta(seconds=min(2 ** (number - 1), 300))
        assert began - timedelta(seconds=0.01) <= try_at - wait <= ended + timedelta(seconds=0.01)
        assert shop.events("42")[0].refusals == number
        age(shop, wait.total_seconds() + 2)


def test_a_process_that_dies_costs_a_lease_and_delivers_twice(shop: Shop) -> None:
    shop.create()
    expire(shop, "42")
    shop.expiry.pay("42")
    [event] = shop.store.claim_events(limit=10, lease=120)  # and dies
    seen: list[int] = []
    shop.hooks.on_event(lambda event: seen.append(event.id))
    assert shop.expiry.deliver() == {"delivered": 0}
    age(shop, 121)
    assert shop.expiry.deliver() == {"delivered": 2}
    assert seen[0] == event.id


def test_two_at_once_share_the_work_and_keep_each_orders_order(shop: Shop) -> None:
    shop.create()
    order_ids = [str(number) for number in range(60)]
    expire(shop, *order_ids)
    for order_id in order_ids:
        shop.expiry.pay(order_id)
    seen: dict[str, list[int]] = defaultdict(list)
    running: set[str] = set()
    guarded = threading.Lock()

    def handle(event: Event) -> None:
        with guarded:
            assert event.order_id not in running
            running.add(event.order_id)
            seen[event.order_id].append(event.id)
        with guarded:
            running.remove(event.order_id)

    shop.hooks.on_event(handle)
    many = shop.configured(events_parallel=4)
    with ThreadPoolExecutor(3) as pool:
        reports = [
            report.result() for report in [pool.submit(shop.adapter.tidy(many.expiry.deliver)) for _ in range(3)]
        ]
    # (one that comes while the others hold all that can be had finds nothing, so this is one more)
    reports.append(many.expiry.deliver())
    assert sum(report["delivered"] for report in reports) == 120
    assert all(ids == sorted(ids) and len(ids) == 2 for ids in seen.values())
    assert len(seen) == 60


def test_a_worker_that_stops_gives_back_what_it_has_not_delivered(shop: Shop) -> None:
    shop.create()
    expire(shop, "42", "43", "44")
    seen: list[int] = []
    shop.hooks.on_event(lambda event: seen.append(event.id))
    assert shop.expiry.deliver(is_over=lambda: len(seen) >= 1) == {"delivered": 1}
    assert shop.expiry.deliver() == {"delivered": 2}  # at once, not after a lease


def test_handlers_that_are_slow_give_back_what_a_lease_has_no_time_for(shop: Shop) -> None:
    shop.create()
    expire(shop, *map(str, range(5)))
    time, seen = [0.0], list[int]()

    def slow(event: Event) -> None:
        time[0] += 25
        seen.append(event.id)

    claimed: list[int] = []
    claim = shop.store.claim_events

    def count(**named: Any) -> Any:
        page = claim(**named)
        claimed.append(len(page))
        return page

    shop.store.claim_events = count  # type: ignore[method-assign]
    report = delivery.deliver(
        shop.store,
        [slow],
        shop.settings,
        is_over=lambda: False,
        sleep=shop.slept.append,
        jitter=lambda: 0.0,
        monotonic=lambda: time[0],
    )
    assert report == {"delivered": 5}
    assert claimed == [5, 2, 0]  # three in the first minute of a lease of two


def test_without_handlers_or_without_an_outbox_nothing_is_delivered(shop: Shop) -> None:
    shop.create(events=False)
    shop.place("42")
    shop.claim_and_expire()
    assert shop.expiry.deliver() == {"delivered": 0}
    shop.hooks.on_event(lambda event: pytest.fail("delivered"))
    assert shop.expiry.deliver() == {"delivered": 0}
    assert shop.expiry.prune() == 0
    assert shop.expiry.explain("42").events == []


def test_events_wait_for_a_process_that_has_handlers(shop: Shop) -> None:
    shop.create()
    expire(shop, "42")
    assert shop.expiry.deliver() == {"delivered": 0}
    shop.hooks.on_event(lambda event: None)
    assert shop.expiry.deliver() == {"delivered": 1}


def test_old_events_are_deleted_and_those_that_wait_are_not(shop: Shop, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(delivery, "PRUNED", 2)
    shop.create()
    expire(shop, *map(str, range(5)))
    shop.hooks.on_event(lambda event: None)
    shop.expiry.deliver()
    expire(shop, "waiting")
    age(shop, 91 * 86400)
    expire(shop, "new")
    assert shop.expiry.prune() == 5
    assert (shop.kinds("0"), shop.kinds("waiting"), shop.kinds("new")) == ([], ["expired"], ["expired"])
    # and where nobody listens they are an audit trail, which ends with the retention
    shop.hooks.event_hooks.clear()
    assert shop.expiry.prune() == 1
    assert (shop.kinds("waiting"), shop.kinds("new")) == ([], ["expired"])


def test_explain_tells_the_latest_events(shop: Shop, monkeypatch: pytest.MonkeyPatch) -> None:
    shop.create()
    expire(shop, "42")
    shop.expiry.pay("42", reference="ch_1")
    known = shop.expiry.explain("42")
    assert [event.kind.value for event in known.events] == ["expired", "late_payment"]
    told = json.loads(json.dumps(known.as_json()))["events"]
    assert told[1]["data"]["reference"] == "ch_1"
    assert datetime.fromisoformat(told[0]["at"]) == known.events[0].at
    monkeypatch.setattr("orders.process._current", shop.expiry)
    shown = CliRunner().invoke(app, ["explain", "42"], catch_exceptions=False, env={"COLUMNS": "200"}).output
    assert "Expired, unpaid (no handler is registered)" in shown
    key = known.events[1].data["refund_key"]
    assert f"A payment ch_1 came after it had expired: refund it with the idempotency key {key}" in shown


@pytest.mark.parametrize("database_url", ["postgresql"], indirect=True)
def test_an_outbox_in_another_schema(shop: Shop) -> None:
    with shop.engine.begin() as connection:
        connection.exec_driver_sql("CREATE SCHEMA audit")
    shop.create(events=False)
    other = shop.configured(events_table="audit.things")
    assert other.store.create_outbox()
    other.place("42")
    other.claim_and_expire()
    assert other.kinds("42") == ["expired"]
