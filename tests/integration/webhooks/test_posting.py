"""Events on their way to endpoints: signed, again after a failure, and none held up by another."""

from __future__ import annotations

import threading
from collections.abc import Callable

import pytest
import sqlalchemy as sa

from orders.errors import ConfigError, DeliveryFailed, SchemaError
from orders.events import Event
from orders.expiry import webhooks
from orders.store import Outbox, Webhooks
from tests.conftest import Shop
from tests.integration.webhooks.conftest import expire, posting
from tests.integration.webhooks.receiver import OTHER, SECRET, Received, Receiver

pytestmark = pytest.mark.parametrize("database_url", ["sqlite"], indirect=True)


def test_an_event_is_posted_as_the_specification_says(shop: Shop, receiver: Receiver) -> None:
    shop.create()
    shop = posting(shop, receiver.url)
    expire(shop, "42")
    shop.expiry.pay("42", reference="ch_ü")
    assert shop.expiry.deliver() == {"delivered": 0, "posted": 2}
    # then the receiver, which verifies with the reference library, has both, in order
    assert receiver.orders == [("42", "order.expired"), ("42", "order.late_payment")]
    expired, late = receiver.got
    [event, _] = shop.events("42")
    assert expired.event == {
        "type": "order.expired",
        "timestamp": event.at.isoformat().replace("+00:00", "Z"),
        "data": {"order_id": "42"},
    }
    assert late.event["data"]["reference"] == "ch_ü"
    assert late.event["data"]["refund_key"]
    assert expired.headers["content-type"] == "application/json"
    assert expired.headers["user-agent"].startswith("order-expiry/")
    assert expired.headers["webhook-id"] != late.headers["webhook-id"]
    assert receiver.connections == 1  # it stays open
    assert shop.expiry.deliver() == {"delivered": 0, "posted": 0}


def test_all_secrets_of_an_endpoint_sign(shop: Shop, receivers: Callable[[], Receiver]) -> None:
    # given a receiver that knows the new secret, one that knows the old one, and one with a secret of its own
    new, old, third = receivers(), receivers(), receivers()
    new.secret, third.secret = OTHER, OTHER
    shop.create()
    urls = f"new={new.url}, old={old.url} own={third.url}"
    shop = posting(shop, urls, webhook_secret=f"{SECRET} {OTHER} own={OTHER}")
    expire(shop, "42")
    assert shop.expiry.deliver()["posted"] == 3
    assert new.orders == old.orders == third.orders == [("42", "order.expired")]
    signatures = [each.got[0].headers["webhook-signature"].split(" ") for each in (new, old, third)]
    assert [len(each) for each in signatures] == [2, 2, 1]
    assert all(signature.startswith("v1,") for each in signatures for signature in each)


def test_an_endpoint_that_hangs_holds_up_nobody(shop: Shop, receivers: Callable[[], Receiver]) -> None:
    # given an endpoint that does not answer before the other one and the handler have everything
    hanging, other = receivers(), receivers()
    others, handled = threading.Event(), threading.Event()

    def hang(_: Received) -> int:
        assert others.wait(20)
        assert handled.wait(20)
        return 200

    def answer(_: Received) -> int:
        if len(other.got) == 3:
            others.set()
        return 200

    hanging.answer, other.answer = hang, answer
    shop.create()
    seen: list[str] = []

    def handle(event: Event) -> None:
        seen.append(event.order_id)
        if len(seen) == 3:
            handled.set()

    shop = posting(shop, f"hanging={hanging.url} other={other.url}")
    shop.hooks.on_event(handle)
    expire(shop, "41", "42", "43")
    assert shop.expiry.deliver() == {"delivered": 3, "posted": 6}


def test_a_handler_that_fails_holds_up_no_webhook_nor_the_reverse(shop: Shop, receiver: Receiver) -> None:
    shop.create()
    shop = posting(shop, receiver.url)
    seen: list[str] = []

    def handle(event: Event) -> None:
        if event.order_id == "41":
            raise ConnectionError("no mail")
        seen.append(event.order_id)

    shop.hooks.on_event(handle)
    receiver.answer = lambda received: 500 if received.order_id == "42" else 200
    expire(shop, "41", "42")
    with pytest.raises(DeliveryFailed, match="no mail"):
        shop.expiry.deliver()
    assert receiver.orders == [("41", "order.expired")]
    assert seen == ["42"]


def test_a_failed_event_is_tried_for_days_with_one_id_and_then_is_a_dead_letter(
    shop: Shop, receiver: Receiver, caplog: pytest.LogCaptureFixture
) -> None:
    shop.create()
    shop = posting(shop, f"erp={receiver.url}")
    receiver.answer = lambda received: 400 if received.order_id == "41" else 200
    receiver.text = b"no such\n order " + SECRET.encode()
    expire(shop, "41", "42")
    table = Webhooks(Outbox(shop.settings, "sqlite", None)).table
    waits: list[float] = []
    while True:
        shop.expiry.deliver()
        with shop.engine.connect() as connection:
            failed = sa.select(table.c.try_at, table.c.dead_at, table.c.error).where(table.c.refusals > 0)
            [row] = connection.execute(failed).all()
        assert row.error == "400 no such order whsec_***"
        if row.dead_at:
            break
        waits.append((row.try_at - shop.clock.now()).total_seconds())
        shop.clock.time = row.try_at
    # then it was tried as the specification suggests, the other one was not held up, and the log has it
    assert waits == list(webhooks.WAITS)
    assert sum(waits) > 3 * 86_400
    tries = [each.headers["webhook-id"] for each in receiver.got if each.order_id == "41"]
    assert (len(tries), len(set(tries))) == (10, 1)
    assert receiver.orders == [("42", "order.expired")]
    assert "webhook erp: 1 of 2 events failed, 0 are dead letters now; the first is expired" in caplog.text
    assert "1 of 1 events failed, 1 are dead letters now" in caplog.text
    assert SECRET not in caplog.text
    # and it goes again if it is replayed
    receiver.answer = lambda _: 200
    assert shop.store.deliveries.replay("erp", dead=True) == 1
    assert shop.expiry.deliver()["posted"] == 1
    assert receiver.orders[-1] == ("41", "order.expired")


def test_jitter_spreads_tries(shop: Shop, receiver: Receiver) -> None:
    shop.create()
    shop = posting(shop, receiver.url)
    shop.expiry._jitter = lambda: 1.0
    receiver.answer = lambda _: 400
    expire(shop, "42")
    for waited, tries in ((0, 1), (7, 1), (1, 2)):  # half as long again as the 5 seconds of the first wait
        shop.clock.advance(waited)
        shop.expiry.deliver()
        assert len(receiver.got) == tries


@pytest.mark.parametrize(
    ("status", "headers", "waits"),
    [
        (503, {}, [5, 10, 20]),
        (429, {"Retry-After": "77"}, [77, 77, 77]),
        (504, {"Retry-After": "never"}, [5, 10, 20]),
        (502, {"Retry-After": "99999999"}, [86_400]),
    ],
)
def test_an_endpoint_that_gets_too_much_rests(
    shop: Shop, receiver: Receiver, status: int, headers: dict[str, str], waits: list[float]
) -> None:
    shop.create()
    shop = posting(shop, receiver.url)
    receiver.answer, receiver.headers = lambda _: status, headers
    expire(shop, *map(str, range(10, 20)))
    for number, wait in enumerate(waits, start=1):
        # when it refuses one event, then it gets no other one until it has rested
        shop.expiry.deliver()
        assert len(receiver.got) == number
        [progress] = shop.store.deliveries.progress()
        assert progress.rests == pytest.approx(wait, abs=0.01)
        shop.expiry.deliver()
        assert len(receiver.got) == number
        shop.clock.advance(wait + 1)
    receiver.answer = lambda _: 202
    shop.clock.advance(86_400)
    assert shop.expiry.deliver()["posted"] == 10


def test_an_endpoint_that_is_gone_gets_nothing_more(shop: Shop, receiver: Receiver) -> None:
    shop.create()
    shop = posting(shop, f"erp={receiver.url}")
    receiver.answer = lambda _: 410
    expire(shop, "41", "42")
    for _ in range(3):
        shop.expiry.deliver()
        shop.clock.advance(86_400)
    assert len(receiver.got) == 1
    assert shop.store.deliveries.progress()[0].is_gone
    receiver.answer = lambda _: 200
    shop.store.deliveries.replay("erp", dead=True)
    assert shop.expiry.deliver()["posted"] == 2
    assert not shop.store.deliveries.progress()[0].is_gone


def test_a_redirect_is_not_followed(shop: Shop, receivers: Callable[[], Receiver]) -> None:
    receiver, elsewhere = receivers(), receivers()
    shop.create()
    shop = posting(shop, receiver.url)
    receiver.answer, receiver.headers = lambda _: 307, {"Location": elsewhere.url}
    expire(shop, "42")
    assert shop.expiry.deliver()["posted"] == 0
    assert (len(receiver.got), len(elsewhere.got)) == (1, 0)


def test_what_was_posted_and_not_marked_is_posted_again_with_the_same_id(
    shop: Shop, receiver: Receiver, monkeypatch: pytest.MonkeyPatch
) -> None:
    shop.create()
    shop = posting(shop, receiver.url)
    expire(shop, "42")
    # given a process that dies after its request
    with monkeypatch.context() as patch:
        patch.setattr(type(shop.store.deliveries), "settle", lambda *_: 1 / 0)
        with pytest.raises(ZeroDivisionError):
            shop.expiry.deliver()
    # when its lease has ended
    assert shop.expiry.deliver()["posted"] == 0
    shop.clock.advance(webhooks.LEASE * shop.settings.webhook_timeout + 1)
    assert shop.expiry.deliver()["posted"] == 1
    # then the receiver can tell
    first, second = receiver.got
    assert first.headers["webhook-id"] == second.headers["webhook-id"]
    assert first.body == second.body


def test_several_orders_go_at_a_time(shop: Shop, receiver: Receiver) -> None:
    shop.create()
    shop = posting(shop, receiver.url, events_parallel=3)
    meet = threading.Barrier(3, timeout=20)
    receiver.answer = lambda _: 200 if meet.wait() >= 0 else 500
    expire(shop, "41", "42", "43")
    assert shop.expiry.deliver()["posted"] == 3


def test_pruning_looks_back_further(shop: Shop, receiver: Receiver) -> None:
    # given an event whose transaction was open for an hour
    shop.create()
    shop = posting(shop, receiver.url)
    expire(shop, "42")
    shop.clock.advance(3600)
    shop.expiry.deliver()
    table = Webhooks(Outbox(shop.settings, "sqlite", None)).table
    with shop.engine.begin() as connection:
        connection.execute(sa.delete(table).where(table.c.event_id > 0))
    assert shop.expiry.deliver()["posted"] == 0
    shop.expiry.prune()
    assert shop.expiry.deliver()["posted"] == 1


def test_handlers_work_without_the_table_and_without_the_extra(
    shop: Shop, receiver: Receiver, monkeypatch: pytest.MonkeyPatch
) -> None:
    # given a database that was made by the release before
    shop.create()
    table = Webhooks(Outbox(shop.settings, "sqlite", None)).table
    with shop.engine.begin() as connection:
        table.drop(connection)
    seen: list[str] = []
    shop.hooks.on_event(lambda event: seen.append(event.order_id))
    with pytest.raises(SchemaError, match=r"no table order_events_webhooks, .* create it with `orders init-db`"):
        posting(shop, receiver.url)
    expire(shop, "42")
    shop = shop.configured(webhook_url=receiver.url, webhook_secret=SECRET, webhook_allow="127.0.0.1")
    with pytest.raises(SchemaError):
        shop.expiry.deliver()
    assert seen == ["42"]

    # and one that lacks the extra
    def missing() -> object:
        raise ConfigError("install order-expiry[webhooks]")

    monkeypatch.setattr(webhooks, "webhook_tools", missing)
    expire(shop, "43")
    with pytest.raises(ConfigError):
        shop.expiry.deliver()
    assert seen == ["42", "43"]
