"""What the operators' page changes, after it has asked."""

from __future__ import annotations

import logging
from collections.abc import Callable
from datetime import UTC, datetime, timedelta
from typing import Any

import pytest
from werkzeug.test import Client

from orders.clock import as_utc
from tests.conftest import Shop
from tests.page import ANN, bury, listed, words


def deadline(shop: Shop, order_id: str) -> timedelta:
    """Return how far from now an order's deadline is, in its row."""
    row = shop.store.row(order_id)
    assert row is not None
    assert row.deadline is not None
    return as_utc(row.deadline) - datetime.now(UTC)


def extended(shop: Shop, order_id: str) -> bool:
    return deadline(shop, order_id) > timedelta(minutes=35)


def held(shop: Shop, order_id: str) -> bool:
    return timedelta(minutes=25) < deadline(shop, order_id) < timedelta(minutes=35)


def is_due(shop: Shop, order_id: str) -> bool:
    return deadline(shop, order_id) < timedelta(seconds=1) and shop.expiry.check(order_id).value == "expired"


def is_gone(shop: Shop, order_id: str) -> bool:
    return shop.score(order_id) is None and shop.status(order_id) == "pending"


@pytest.mark.parametrize(
    ("action", "has_happened", "done"),
    [
        ("extend", extended, "2 orders extended by 30 min."),
        ("hold", held, "2 orders held for at least 30 min."),
        ("expire", is_due, "2 orders due now; the next sweep expires them."),
        ("remove", is_gone, "2 orders removed from the schedule; their rows did not change."),
    ],
)
def test_an_action_asks_with_number_and_names_then_is_done_and_logged(
    shop: Shop,
    page: Client,
    caplog: pytest.LogCaptureFixture,
    action: str,
    has_happened: Callable[[Shop, str], bool],
    done: str,
) -> None:
    # given three pending orders
    shop.place("1", "2", "3", due=600)
    form: dict[str, Any] = {"action": action, "where": "pending", "id": ["1", "3"], "within": "1 hour"}
    # when an operator ticks two and chooses an action
    asked = page.post("/confirm", data=form)
    # then the page says how many and which, and nothing has happened
    assert "2 orders?" in words(asked)
    assert "1 3" in words(asked)
    assert not has_happened(shop, "1")
    # when the operator confirms it
    with caplog.at_level(logging.WARNING, "orders.operate.web.actions"):
        answer = page.post("/act", data={**form, "minutes": "30"})
    # then it has happened with these two, the list with its filter says so, and the log says who did it
    assert [has_happened(shop, order_id) for order_id in "123"] == [True, False, True]
    assert answer.headers["Location"] == "/orders?where=pending&within=1+hour"
    assert done in words(page.get(answer.headers["Location"]))
    [line] = caplog.records
    assert line.getMessage() == f"operator {ANN}: {done[:-1]}"
    assert (vars(line)["by"], vars(line)["action"], vars(line)["order_ids"]) == (ANN, action, ["1", "3"])


def test_an_order_that_is_expired_now_goes_the_ordinary_road(shop: Shop, page: Client) -> None:
    shop.place("1", due=600)
    page.post("/act", data={"action": "expire", "id": "1", "order": "1"})
    shop.claim_and_expire_all()
    assert shop.status("1") == "expired"
    assert shop.kinds("1") == ["extended", "expired"]
    assert "Due at once, because its deadline was moved to then" in words(page.get("/order?id=1"))


def test_all_dead_letters_of_a_reason_are_requeued(shop: Shop, page: Client) -> None:
    bury(shop, **{f"a{number}": f"no stock of {number}" for number in range(70)}, other="the place is broken")
    form = {"action": "requeue", "where": "dead", "reason": "no stock of …", "everything": "1"}
    asked = words(page.post("/confirm", data=form))
    assert "Requeue 70 orders?" in asked
    assert "And 50 more" in asked
    answer = page.post("/act", data=form, follow_redirects=True)
    assert "70 orders requeued, due now." in words(answer)
    assert listed(page.get("/orders?where=dead")) == ["other"]
    # and without a reason all are meant
    page.post("/act", data={"action": "remove", "where": "dead", "everything": "1"})
    assert listed(page.get("/orders?where=dead")) == []
    assert shop.score("other") is None


def test_what_could_not_be_changed_is_said(shop: Shop, page: Client) -> None:
    shop.place("open", due=600)
    shop.place("paid", due=600, status="paid")
    form = {"action": "extend", "where": "pending", "id": ["open", "paid", "a\0b"], "minutes": "30"}
    answer = words(page.post("/act", data=form, follow_redirects=True))
    assert "1 order extended by 30 min." in answer
    assert "Not changed, because they are not pending: paid, a\\x00b." in answer
    gone = page.post("/act", data={"action": "requeue", "where": "dead", "id": "open"}, follow_redirects=True)
    assert "No longer among the dead letters: open." in words(gone)


def test_the_schedule_is_paused_and_resumed(shop: Shop, page: Client, caplog: pytest.LogCaptureFixture) -> None:
    assert "Pause the schedule?" in words(page.get("/pause"))
    with caplog.at_level(logging.WARNING, "orders.operate.web.actions"):
        answer = page.post("/pause", data={"minutes": "10", "reason": "a migration"}, follow_redirects=True)
    assert "Paused: nothing expires" in words(answer)
    paused = shop.store.pauses.current()
    assert paused is not None
    assert (paused.by, paused.reason) == (ANN, "a migration")
    assert "Resume the schedule?" in words(page.get("/pause"))
    assert "Resumed: orders expire again." in words(page.post("/resume", follow_redirects=True))
    assert shop.store.pauses.current() is None
    assert "The schedule was not paused." in words(page.post("/resume", follow_redirects=True))


@pytest.mark.parametrize(
    ("url", "form", "status", "text"),
    [
        (
            "/confirm",
            {"action": "explode", "id": "1"},
            400,
            "There is no action 'explode'. The actions are extend,",
        ),
        ("/act", {"action": "extend", "id": "1", "minutes": "0"}, 400, "they must be a whole number from 1 to 527,039"),
        ("/act", {"action": "hold", "id": "1", "minutes": "²"}, 400, "The minutes are '²'"),
        ("/pause", {"minutes": "soon"}, 400, "The minutes are 'soon'"),
    ],
)
def test_wrong_input_is_named(page: Client, url: str, form: dict[str, str], status: int, text: str) -> None:
    answer = page.post(url, data=form)
    assert answer.status_code == status
    assert text in words(answer)


def test_nothing_ticked_is_nothing_done(page: Client) -> None:
    answer = page.post("/confirm", data={"action": "remove", "where": "due"}, follow_redirects=True)
    assert "Nothing was done: tick the orders first." in words(answer)
    # and the way back leads to pages of ours only
    elsewhere = page.post("/confirm", data={"action": "remove", "where": "https://evil.example/"})
    assert elsewhere.headers["Location"] == "/"
