"""The shop's own rule for deadlines: when it is asked, and what it may return."""

from __future__ import annotations

from datetime import UTC, datetime, timedelta
from typing import Any

import pytest

from orders.errors import InvalidDeadline
from tests.conftest import Shop

pytestmark = pytest.mark.every_adapter

LATER = datetime(2030, 1, 31, 12, tzinfo=UTC)


@pytest.mark.parametrize("database_url", ["sqlite"], indirect=True)
class TestDeadlineRule:
    @pytest.mark.parametrize(
        ("ruled", "after"), [(600, 600), (timedelta(hours=1), 3600), (None, 1800), (LATER, None)], ids=str
    )
    def test_it_decides_when_nothing_else_does(self, shop: Shop, ruled: Any, after: float | None) -> None:
        shop.hooks.deadline_rule(lambda order_id, context: ruled)
        due = shop.expiry.enqueue("42")
        assert due == (LATER if after is None else shop.clock.now() + timedelta(seconds=after))
        assert shop.score("42") == pytest.approx(due.timestamp(), abs=1e-5)

    def test_it_knows_the_order_and_what_the_caller_tells(self, shop: Shop) -> None:
        told: list[object] = []

        def rule(order_id: str, context: Any) -> float:
            told.append((order_id, dict(context)))
            return 900 if context.get("channel") == "flash" else 1800

        shop.hooks.deadline_rule(rule)
        in_minutes = shop.expiry.deadline(42, context={"channel": "flash"}) - shop.clock.now()
        assert in_minutes == timedelta(minutes=15)
        assert shop.expiry.enqueue_many([("43", None), ("44", LATER)]) == 2
        assert told == [("42", {"channel": "flash"}), ("43", {})]
        assert shop.score("42") is None  # deadline() only tells

    def test_what_the_caller_says_goes_first(self, shop: Shop) -> None:
        shop.hooks.deadline_rule(lambda order_id, context: pytest.fail("asked"))
        assert shop.expiry.enqueue("42", timeout=60) == shop.clock.now() + timedelta(seconds=60)
        assert shop.expiry.enqueue("42", expires_at=LATER) == LATER

    @pytest.mark.parametrize("ruled", [datetime(2030, 1, 31), -1, "soon", float("nan")], ids=str)  # noqa: DTZ001
    def test_it_must_make_sense(self, shop: Shop, ruled: Any) -> None:
        shop.hooks.deadline_rule(lambda order_id, context: ruled)
        with pytest.raises(InvalidDeadline, match="the deadline rule of the shop returned"):
            shop.expiry.enqueue("42")
        assert shop.score("42") is None

    def test_extend_asks_it_too(self, shop: Shop) -> None:
        shop.create()
        shop.place("42", due=60)
        shop.hooks.deadline_rule(lambda order_id, context: LATER)
        assert shop.expiry.extend("42")
        assert shop.score("42") == LATER.timestamp()
