"""A hook that returns what somebody would have to await has failed, whoever calls it: nothing of it has run."""

from __future__ import annotations

from collections.abc import AsyncIterator, Callable, Iterator
from datetime import datetime
from typing import Any

import pytest

from orders.errors import DeliveryFailed, ExpiryFailed
from tests.conftest import Shop

pytestmark = pytest.mark.every_adapter

without_warnings = pytest.mark.filterwarnings("error")
"""Python would warn of a coroutine that was never awaited."""


async def coroutine(*_: object) -> bool:
    return True


async def async_generator(*_: object) -> AsyncIterator[bool]:
    yield True


def generator(*_: object) -> Iterator[bool]:
    yield True


@pytest.fixture(params=[coroutine, async_generator, generator], ids=lambda function: function.__name__)
def hook(request: pytest.FixtureRequest) -> Callable[..., Any]:
    """A plain function, so that no decorator rejects it, which returns what has not run."""
    function = request.param

    def plain(*arguments: object) -> Any:
        return function(*arguments)

    return plain


@without_warnings
def test_no_order_expires_whose_stock_is_still_reserved(shop: Shop, hook: Any) -> None:
    shop.create()
    shop.hooks.on_expire(hook)
    shop.place("42")
    with pytest.raises(
        ExpiryFailed, match=r"TypeError: the hook .*plain returned an object of type .*, which nobody awaits"
    ):
        shop.claim_and_expire()
    assert (shop.status("42"), shop.kinds("42")) == ("pending", [])


@without_warnings
def test_no_order_is_revived(shop: Shop, hook: Any) -> None:
    shop.create()
    shop.hooks.on_late_payment(hook)
    shop.place("42", status="expired")
    with pytest.raises(TypeError, match="which nobody awaits"):
        shop.expiry.pay("42")
    assert (shop.status("42"), shop.kinds("42")) == ("expired", [])


@pytest.mark.parametrize("answer", [1, "yes", "", 0, [True], {"revive": True}], ids=repr)
def test_only_true_revives_an_order(shop: Shop, answer: Any) -> None:
    shop.create()
    shop.hooks.on_late_payment(lambda *_: answer)
    shop.place("42", status="expired")
    with pytest.raises(TypeError, match=r"returned .*: it must return True to revive the order, or else False"):
        shop.expiry.pay("42")
    assert (shop.status("42"), shop.kinds("42")) == ("expired", [])


def test_a_hook_without_an_answer_revives_nothing(shop: Shop) -> None:
    shop.create()
    shop.hooks.on_late_payment(lambda *_: None)  # type: ignore[type-var]  # as a function that just ends
    shop.place("42", status="expired")
    assert shop.expiry.pay("42").verdict == "too_late"


@without_warnings
def test_no_order_expires_that_the_guard_was_not_asked_about(shop: Shop, hook: Any) -> None:
    shop.create()
    shop.hooks.guard(hook)
    shop.place("42")
    assert shop.claim_and_expire() == {"unknown": 1}
    assert shop.status("42") == "pending"
    assert "which nobody awaits" in (shop.expiry.explain("42").last_error or "")


@without_warnings
def test_no_event_counts_as_delivered(shop: Shop, hook: Any) -> None:
    shop.create()
    shop.hooks.on_event(hook)
    shop.place("42")
    shop.claim_and_expire()
    with pytest.raises(DeliveryFailed, match="which nobody awaits"):
        shop.expiry.deliver()
    assert [event.delivered_at for event in shop.events("42")] == [None]


@without_warnings
def test_no_order_is_scheduled_without_its_deadline(shop: Shop, hook: Callable[..., datetime]) -> None:
    shop.hooks.deadline_rule(hook)
    with pytest.raises(TypeError, match="which nobody awaits"):
        shop.expiry.enqueue("42")
    assert shop.score("42") is None
