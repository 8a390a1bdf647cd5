"""The page of webhooks."""

from __future__ import annotations

import logging
import re
from collections.abc import Callable
from dataclasses import dataclass

import pytest
from werkzeug.test import Client, TestResponse

from tests.conftest import Shop
from tests.integration.webhooks.conftest import expire, posting
from tests.integration.webhooks.receiver import Receiver
from tests.page import ANN, page_of, words

NOTHING = "\u2013"
LOG = "orders.operate.web.actions"


@dataclass
class Two:
    """A shop with two endpoints, and its page."""

    shop: Shop
    page: Client
    erp: Receiver
    crm: Receiver


@pytest.fixture
def fresh(shop: Shop, receivers: Callable[[], Receiver]) -> Two:
    """A shop whose endpoint crm refuses everything."""
    erp, crm = receivers(), receivers()
    crm.answer, crm.text = lambda _: 400, b"what is <b>42</b>?"
    shop.create()
    shop = posting(shop, f"erp={erp.url}?token=t0ken crm={crm.url}")
    return Two(shop, page_of(shop), erp, crm)


@pytest.fixture
def two(fresh: Two) -> Two:
    """The shop days later, when crm has a dead letter."""
    expire(fresh.shop, "42")
    for _ in range(10):
        fresh.shop.clock.advance(200_000)
        fresh.shop.expiry.deliver()
    return fresh


def endpoints(response: TestResponse) -> dict[str, str]:
    """Return what the page says of each endpoint."""
    cards = [re.sub(r"<[^>]*>", " ", card) for card in re.findall(r"<section.*?</section>", response.text, re.DOTALL)]
    return {card.split()[0]: " ".join(card.split()[1:]) for card in cards}


def test_each_endpoint_has_its_state_and_its_buttons(two: Two) -> None:
    # given an event that waits for an endpoint, which has a dead letter too
    expire(two.shop, "43")
    two.crm.answer = lambda _: 503
    two.shop.expiry.deliver()
    # when an operator looks
    found = two.page.get("/webhooks")
    # then each endpoint is there, and neither the path of its URL nor what a receiver answers is code
    shown = endpoints(found)
    assert shown["erp"] == (
        f"ok Host {two.erp.url.removesuffix('/hook')} Waiting 0 Oldest waiting {NOTHING} Dead letters 0 "
        f"Last error {NOTHING} Send a test event"
    )
    assert re.match(r"rests for \d s Host http://127.0.0.1:\d+ Waiting 1 Oldest waiting 2", shown["crm"])
    assert "Dead letters 1 Last error 503 what is &lt;b&gt;42" in shown["crm"]
    assert shown["crm"].endswith("Replay 1 dead… Send a test event")
    assert "t0ken" not in found.text
    # and the page is live
    assert 'hx-get="/webhooks"' in two.page.get("/webhooks", headers={"HX-Request": "true"}).text


def test_dead_letters_are_replayed_once_an_operator_has_confirmed(two: Two, caplog: pytest.LogCaptureFixture) -> None:
    two.crm.answer = lambda _: 200
    assert "crm: Replay 1 dead letter?" in words(two.page.get("/webhooks/replay?name=crm"))
    assert two.shop.expiry.deliver()["posted"] == 0
    with caplog.at_level(logging.WARNING, LOG):
        answer = two.page.post("/webhooks/replay", data={"name": "crm"}, follow_redirects=True)
    assert "crm: 1 event to post again." in words(answer)
    assert "Replay" not in endpoints(answer)["crm"]
    [line] = caplog.records
    assert line.getMessage() == f"operator {ANN}: crm: 1 event to post again"
    assert (vars(line)["by"], vars(line)["action"]) == (ANN, "replay")
    assert two.shop.expiry.deliver()["posted"] == 1


def test_an_endpoint_that_is_gone_gets_events_again(two: Two) -> None:
    # given an endpoint that is gone, without a dead letter
    two.erp.answer = lambda _: 410
    expire(two.shop, "43")
    two.shop.expiry.deliver()
    assert endpoints(two.page.get("/webhooks"))["erp"].startswith("gone, gets nothing until a replay")
    assert "erp: Let it get events again?" in words(two.page.get("/webhooks/replay?name=erp"))
    # when an operator confirms that
    two.erp.answer = lambda _: 200
    two.page.post("/webhooks/replay", data={"name": "erp"})
    # then what has waited is posted
    two.shop.expiry.deliver()
    assert two.erp.orders[-1] == ("43", "order.expired")


def test_a_test_event_shows_the_answer(fresh: Two, caplog: pytest.LogCaptureFixture) -> None:
    fresh.erp.text = b"thanks"
    fresh.crm.text = b"x" * 300
    with caplog.at_level(logging.WARNING, LOG):
        good = fresh.page.post("/webhooks/test", data={"name": "erp"}, follow_redirects=True)
        bad = fresh.page.post("/webhooks/test", data={"name": "crm"}, follow_redirects=True)
    assert '<p class="flash good"' in good.text
    assert "Test event to erp: 200 thanks (" in words(good)
    assert fresh.erp.got[-1].event["type"] == "order.test"
    assert fresh.erp.got[-1].headers["webhook-id"] in words(good)
    assert '<p class="flash bad"' in bad.text
    assert f"Test event to crm: 400 {'x' * 196}\u2026 (" in words(bad)
    assert f"operator {ANN}: a test event to erp: 200 thanks (" in caplog.messages[0]


def test_the_overview_says_which_endpoints_need_an_operator(two: Two) -> None:
    assert "Webhooks : crm has 1 dead letter." in words(two.page.get("/"))
    two.erp.answer = lambda _: 410
    expire(two.shop, "43")
    two.shop.expiry.deliver()
    assert "Webhooks : crm has 1 dead letter; erp is gone and gets nothing." in words(page_of(two.shop).get("/"))
    # and says nothing if there is nothing to do, or of an endpoint that is no longer set
    without = posting(two.shop, f"other={two.erp.url}")
    assert "Webhooks :" not in words(page_of(without).get("/"))
    gone = endpoints(page_of(without).get("/webhooks"))["crm"]
    assert "no longer in ORDERS_WEBHOOK_URL" in gone
    assert "Send" not in gone


def test_a_read_only_page_shows_them_and_does_nothing(two: Two) -> None:
    page = page_of(two.shop, read_only=True)
    for url in ("/webhooks", "/webhooks/replay?name=crm"):
        assert page.get(url).status_code == 200
        assert "<form class" not in page.get(url).text.replace('<form class="search"', "")
        assert "Replay 1 dead…" not in page.get(url).text
    for url in ("/webhooks/replay", "/webhooks/test"):
        assert page.post(url, data={"name": "crm"}).status_code == 403
        other = two.page.post(url, data={"name": "crm"}, headers={"Sec-Fetch-Site": "cross-site"})
        assert other.status_code == 403
    assert endpoints(page.get("/webhooks"))["crm"].count("Dead letters 1") == 1
    assert all(each.event["type"] != "order.test" for each in two.crm.got)


def test_wrong_endpoints_are_named(fresh: Two) -> None:
    for answer in (fresh.page.get("/webhooks/replay"), fresh.page.post("/webhooks/test", data={"name": ""})):
        assert answer.status_code == 404
        assert "There is no endpoint '': those in ORDERS_WEBHOOK_URL are erp, crm." in words(answer)


def test_without_webhooks_there_is_no_page(page: Client) -> None:
    assert "Webhooks" not in words(page.get("/"))
    found = page.get("/webhooks")
    assert found.status_code == 404
    assert "There are no webhooks: ORDERS_WEBHOOK_URL is not set." in words(found)
