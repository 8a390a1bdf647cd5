"""What the database keeps of webhooks: which event each endpoint gets, and when."""

from __future__ import annotations

from collections.abc import Callable
from datetime import timedelta

import pytest
import sqlalchemy as sa

from orders.store import Outbox, Progress, Rest, Unsent, Webhooks
from tests.conftest import Shop
from tests.integration.webhooks.conftest import expire


def events(shop: Shop) -> sa.Table:
    return Outbox(shop.settings, shop.engine.dialect.name, None).table


def webhooks(shop: Shop) -> sa.Table:
    return Webhooks(Outbox(shop.settings, shop.engine.dialect.name, None)).table


def known(shop: Shop, *endpoints: str) -> Shop:
    """Create the tables, and make endpoints known before the first event."""
    shop = shop.timed()
    shop.create()
    shop.expiry.ownership.check_once()
    for endpoint in endpoints:
        assert fan_out(shop, endpoint) == 0
    shop.clock.advance(1)
    return shop


def fan_out(shop: Shop, endpoint: str, *, look_back: float = 600, limit: int = 1000) -> int:
    return shop.store.deliveries.fan_out(endpoint, look_back=look_back, limit=limit)


def claim(shop: Shop, endpoint: str, *, lease: float = 60) -> list[tuple[str, str]]:
    found = shop.store.deliveries.claim(endpoint, limit=100, lease=lease)
    return [(each.event.order_id, each.event.kind.value) for each in found]


def ids(shop: Shop, order_id: str) -> list[int]:
    return [event.id for event in shop.events(order_id)]


@pytest.mark.every_adapter
def test_each_endpoint_gets_each_event_once(shop: Shop) -> None:
    shop = known(shop, "erp", "crm")
    expire(shop, "41", "42")
    assert [fan_out(shop, name) for name in ("erp", "crm", "erp")] == [2, 2, 0]
    assert claim(shop, "erp") == [("41", "expired"), ("42", "expired")]
    assert claim(shop, "erp") == []  # leased
    assert claim(shop, "crm") == [("41", "expired"), ("42", "expired")]
    shop.store.deliveries.settle("erp", ids(shop, "41"), [], None)
    shop.clock.advance(61)
    assert claim(shop, "erp") == [("42", "expired")]
    assert fan_out(shop, "erp") == 0


def test_an_event_has_the_same_message_id_in_each_try_and_for_each_endpoint(shop: Shop) -> None:
    shop = known(shop, "erp", "crm")
    expire(shop, "41", "42")
    found = []
    for name in ("erp", "crm", "erp"):
        fan_out(shop, name)
        claimed = shop.store.deliveries.claim(name, limit=10, lease=0.5)
        found.append([each.message_id for each in claimed])
        shop.clock.advance(1)
    assert found[0] == found[1] == found[2]
    assert len(set(found[0])) == 2
    assert all(name.startswith("evt_") and "." not in name and len(name) > 16 for name in found[0])


def test_a_new_endpoint_gets_events_from_now_on(shop: Shop) -> None:
    shop = known(shop)
    expire(shop, "41")
    fan_out(shop, "erp")
    shop.clock.advance(1)
    expire(shop, "42")
    assert fan_out(shop, "erp", look_back=7200) == 1
    assert claim(shop, "erp") == [("42", "expired")]


def test_an_event_that_became_visible_late_is_found(shop: Shop) -> None:
    # given an event whose transaction was open while a later one was fanned out
    shop = known(shop, "erp")
    expire(shop, "41", "42")
    fan_out(shop, "erp")
    [event_id], table = ids(shop, "41"), webhooks(shop)
    with shop.engine.begin() as connection:
        connection.execute(sa.delete(table).where(table.c.event_id == event_id))
    # when time passes, then it is found as long as transactions are given
    shop.clock.advance(500)
    assert fan_out(shop, "erp", look_back=0.5) == 0
    assert fan_out(shop, "erp", look_back=600) == 1
    assert claim(shop, "erp") == [("41", "expired"), ("42", "expired")]


def test_many_events_are_added_page_by_page(shop: Shop) -> None:
    shop = known(shop, "erp")
    expire(shop, *map(str, range(10, 15)))
    assert [fan_out(shop, "erp", limit=2) for _ in range(4)] == [2, 2, 1, 0]


def test_the_events_of_an_order_wait_for_each_other_at_each_endpoint(shop: Shop) -> None:
    shop = known(shop, "erp", "crm")
    expire(shop, "41", "42")
    shop.expiry.pay("42")
    shop.clock.advance(1)
    for name in ("erp", "crm"):
        fan_out(shop, name)
    deliveries, (first, second) = shop.store.deliveries, ids(shop, "42")
    # given an endpoint that took what is for 42, and one that did not
    for name in ("erp", "crm"):
        assert claim(shop, name) == [("41", "expired"), ("42", "expired")]
    deliveries.settle("erp", [*ids(shop, "41"), first], [], None)
    deliveries.settle("crm", ids(shop, "41"), [Unsent(first, 5, "500")], None)
    # then only the first gets the next event
    assert claim(shop, "erp") == [("42", "late_payment")]
    assert claim(shop, "crm") == []
    shop.clock.advance(6)
    assert claim(shop, "crm") == [("42", "expired")]
    # until it is a dead letter
    deliveries.settle("crm", [], [Unsent(first, None, "500")], None)
    assert claim(shop, "crm") == [("42", "late_payment")]
    deliveries.settle("crm", [second], [], None)
    shop.clock.advance(1000)
    assert claim(shop, "crm") == []


def test_an_endpoint_that_rests_gets_nothing(shop: Shop) -> None:
    shop = known(shop, "erp")
    expire(shop, "41", "42")
    fan_out(shop, "erp")
    [first], [second] = ids(shop, "41"), ids(shop, "42")
    claim(shop, "erp")
    waits: list[int] = []
    rest = Rest(lambda number: waits.append(number) or 10.0 * number, "no answer")  # type: ignore[func-returns-value]
    for _ in range(2):
        shop.store.deliveries.settle("erp", [], [Unsent(first, 1, "no answer"), Unsent(second, 0)], rest)
        assert claim(shop, "erp") == []
        shop.clock.advance(10)
        assert len(claim(shop, "erp")) == (2 if len(waits) == 1 else 0)
        shop.clock.advance(10)
    assert waits == [1, 2]
    # a success ends it: the next rest is as short as the first
    shop.store.deliveries.settle("erp", [second], [], rest)
    assert waits == [1, 2, 1]
    [progress] = shop.store.deliveries.progress()
    assert (progress.waiting, progress.error, round(progress.rests)) == (1, "no answer", 10)


def test_a_gone_endpoint_gets_nothing_until_something_is_replayed(shop: Shop) -> None:
    shop = known(shop, "erp")
    expire(shop, "41")
    fan_out(shop, "erp")
    claim(shop, "erp")
    shop.store.deliveries.settle("erp", [], [Unsent(ids(shop, "41")[0], 0)], Rest(None, "410 gone"))
    expire(shop, "42")
    shop.clock.advance(10_000)
    fan_out(shop, "erp")
    assert claim(shop, "erp") == []
    [progress] = shop.store.deliveries.progress()
    assert (progress.is_gone, progress.waiting, progress.error) == (True, 2, "410 gone")
    assert shop.store.deliveries.replay("erp", dead=True) == 0
    assert claim(shop, "erp") == [("41", "expired"), ("42", "expired")]


def test_the_progress_of_endpoints(shop: Shop) -> None:
    shop = known(shop, "crm", "erp")
    expire(shop, "41", "42", "43")
    fan_out(shop, "erp")
    claim(shop, "erp")
    [first], [second] = ids(shop, "41"), ids(shop, "42")
    shop.store.deliveries.settle("erp", [first], [Unsent(second, None, "400 bad")], None)
    shop.clock.advance(9)
    crm, erp = shop.store.deliveries.progress()
    assert crm == Progress("crm", 0, 0, 0.0, None, 0.0, is_gone=False)
    assert (erp.waiting, erp.dead, erp.error, erp.rests) == (1, 1, "400 bad", 0.0)
    assert 9 <= erp.oldest < 60
    assert shop.store.deliveries.delivered() == {"erp": 1}


@pytest.mark.parametrize("chosen", ["dead", "since", "event"])
def test_events_are_replayed(shop: Shop, chosen: str) -> None:
    # given one event before the endpoint, one that it got, and a dead letter
    shop = known(shop)
    expire(shop, "40")
    known_since = shop.clock.now()
    fan_out(shop, "erp")
    shop.clock.advance(1)
    expire(shop, "41", "42")
    fan_out(shop, "erp")
    claim(shop, "erp")
    [before], [got], [dead] = (ids(shop, order_id) for order_id in ("40", "41", "42"))
    shop.store.deliveries.settle("erp", [got], [Unsent(dead, None, "500")], None)
    assert claim(shop, "erp") == []
    # when
    replay: Callable[..., int] = shop.store.deliveries.replay
    if chosen == "dead":
        assert replay("erp", dead=True) == 1
        assert claim(shop, "erp") == [("42", "expired")]
    elif chosen == "since":
        assert replay("erp", since=known_since) == 2
        assert replay("erp", since=known_since - timedelta(hours=1)) == 3
        assert claim(shop, "erp") == [("40", "expired"), ("41", "expired"), ("42", "expired")]
    else:
        assert (replay("erp", event_id=before), replay("erp", event_id=99_999)) == (1, 0)
        assert claim(shop, "erp") == [("40", "expired")]


def test_old_events_are_pruned_with_their_deliveries_unless_an_endpoint_waits(shop: Shop) -> None:
    shop = known(shop, "erp")
    expire(shop, "41", "42")
    fan_out(shop, "erp")
    claim(shop, "erp")
    shop.store.deliveries.settle("erp", ids(shop, "41"), [], None)
    shop.clock.advance(100)

    def prune(*endpoints: str) -> int:
        return shop.store.prune_events(older_than=50, keep_undelivered=False, keep_for=endpoints, limit=10)

    def kept() -> list[int]:
        column = webhooks(shop).c.event_id
        with shop.engine.connect() as connection:
            return list(connection.execute(sa.select(column).where(column > 0)).scalars())

    left = ids(shop, "42")
    assert (prune("erp"), kept()) == (1, left)
    assert (prune("crm"), kept()) == (1, [])


def test_deliveries_of_deleted_events_go(shop: Shop) -> None:
    shop = known(shop, "erp")
    expire(shop, "41", "42")
    fan_out(shop, "erp")
    table = events(shop)
    with shop.engine.begin() as connection:
        connection.execute(sa.delete(table).where(table.c.order_id == "41"))
    assert claim(shop, "erp") == [("42", "expired")]
    assert shop.store.deliveries.progress()[0].waiting == 1
