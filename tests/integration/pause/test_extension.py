"""More time for what fell due in a pause."""

from __future__ import annotations

from datetime import UTC, datetime, timedelta

import pytest

from orders.expiry.pause import pause_schedule, resume_schedule
from orders.store.outcomes import Outcome
from tests.conftest import Shop

pytestmark = pytest.mark.every_adapter

on_sqlite = pytest.mark.parametrize("database_url", ["sqlite"], indirect=True)


def deadlines(shop: Shop, *order_ids: str) -> list[float]:
    rows = [shop.store.row(order_id) for order_id in order_ids]
    return [row.deadline.timestamp() for row in rows if row and row.deadline]


def placed(shop: Shop, order_id: str, seconds: float) -> float:
    """Place an order that is due so many seconds from now by the shop's clock; return its deadline."""
    deadline = shop.clock.now() + timedelta(seconds=seconds)
    shop.place(order_id, due=(deadline - datetime.now(UTC)).total_seconds())
    return deadlines(shop, order_id)[0]


def test_what_fell_due_in_the_pause_gets_its_length(shop: Shop) -> None:
    shop = shop.timed()
    shop.create()
    before, first, last, later = (
        placed(shop, name, due) for name, due in [("before", -5), ("first", 1), ("last", 599), ("later", 700)]
    )
    placed(shop, "paid", 300)
    shop.change("paid", status="paid")
    # when a pause of ten minutes ends
    pause_schedule(shop.expiry)
    shop.clock.advance(600)
    resume_schedule(shop.expiry, extend=True)
    # then what fell due in it is due as long after its end as it was after its begin
    assert deadlines(shop, "before", "first", "last", "later") == [before, first + 600, last + 600, later]
    assert shop.score("first") == pytest.approx(first + 600, abs=1e-3)
    assert [event.data["by"] for event in shop.events("last")] == ["resume"]
    assert [shop.kinds(name) for name in ("before", "later", "paid")] == [[], [], []]
    assert shop.store.expire(["before", "first", "last"])["first"].outcome is Outcome.NOT_DUE
    assert shop.status("before") == "expired"


def test_an_extension_may_be_interrupted_and_repeated(shop: Shop, monkeypatch: pytest.MonkeyPatch) -> None:
    # given more orders than a page has
    monkeypatch.setattr("orders.expiry.extend.PAGE", 4)
    monkeypatch.setattr("orders.expiry.pause.PAGE", 4)
    shop = shop.timed()
    shop.create()
    orders = {f"{number}": placed(shop, f"{number}", 1.0 + number) for number in range(10)}
    pause_schedule(shop.expiry)
    shop.clock.advance(100)

    def stop(_: int) -> None:
        shop.clock.advance(50)  # the pause goes on meanwhile
        raise KeyboardInterrupt

    # when a run is interrupted twice
    for _ in range(2):
        with pytest.raises(KeyboardInterrupt):
            resume_schedule(shop.expiry, extend=True, progress=stop)
        assert shop.store.pauses.current()
    resume_schedule(shop.expiry, extend=True)
    # then each fell due in the first 100 s and in the 100 s after, and was extended once for each
    assert shop.store.pauses.current() is None
    late = {name: due for name, due in orders.items() if due + 100 < shop.clock.now().timestamp()}
    assert len(late) == 10
    assert deadlines(shop, *orders) == [due + 200 for due in orders.values()]
    assert all(shop.kinds(name) == ["extended", "extended"] for name in orders)
