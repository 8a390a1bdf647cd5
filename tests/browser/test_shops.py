"""The example shops in a real browser, on real web servers, workers, beat and Redis."""

from __future__ import annotations

from collections.abc import Callable

import pytest
from playwright.sync_api import Page, expect

from tests.browser.conftest import CRACKED, DESKTOP, PHONE, TIMEOUT, OpenShop

Shoot = Callable[[Page, str], None]

PITCHER, BOTTLE, PLATE = 2, 3, 4

WATCH = """
() => {
    window.seen = [];
    window.said = [];
    const look = () => window.seen.push(document.querySelector("time.clock")?.textContent);
    new MutationObserver(look).observe(document.getElementById("main"), {subtree: true, childList: true});
    const said = document.getElementById("said");
    new MutationObserver(() => window.said.push(said.textContent)).observe(said, {childList: true});
}
"""
"""Notes what the countdown shows and what a screen reader says; gone if the page is loaded again."""

DEADLINE = TIMEOUT * 1000.0 * 3
"""Milliseconds in which an order expires before one's eyes: its time to pay, on a machine that does other things."""


def test_an_order_expires_before_the_customers_eyes_and_its_stock_is_back(shop: OpenShop, shoot: Shoot) -> None:
    with shop.visitor(**DESKTOP) as passer_by, shop.visitor(**PHONE) as customer:
        # given a customer who orders, and somebody else who looks at the shelf meanwhile
        shelf, page = passer_by.page(), customer.page()
        page.add_init_script("Date.now = () => 0")  # the clock of a browser may be wrong
        shelf.goto("/")
        stock = shelf.locator(f"#stock-{PITCHER}")
        expect(stock).to_have_text("5 left")
        shelf.evaluate("window.stayed = true")
        number = customer.order(page, PITCHER, units=2)
        page.evaluate(WATCH)
        state = page.locator("#state")
        expect(state).to_contain_text("Pending")
        shoot(page, "pending")
        expect(stock).to_have_text("3 left")
        # when nobody pays
        expect(state).to_contain_text("Expired", timeout=DEADLINE)
        # then the countdown has reached zero, on the page that was opened, and a screen reader has heard of the end
        seen = page.evaluate("window.seen")
        assert [text for text in ("0:02", "0:01", "0:00") if text in seen] == ["0:02", "0:01", "0:00"]
        assert page.evaluate("window.said") == [f"Order {number} is expired"]
        expect(page.get_by_role("button", name="Pay €")).to_have_count(0)
        shoot(page, "expired")
        # and the stock is back, on a page that was not loaded again either
        expect(stock).to_have_text("5 left")
        assert shelf.evaluate("window.stayed") is True
        shoot(shelf, "shelf")
        # and the order is under the tab for those
        page.goto("/orders")
        page.get_by_role("link", name="Expired 1").click()
        expect(page.get_by_role("link", name=f"Order {number}")).to_be_visible()
        shoot(page, "orders")


def test_one_pays_in_time_and_another_too_late(shop: OpenShop, shoot: Shoot) -> None:
    with shop.visitor(**DESKTOP) as customer:
        # given an order that is paid in time
        page = customer.page()
        paid = customer.order(page, BOTTLE, units=2)
        page.get_by_role("button", name="Pay €").click()
        state = page.locator("#state")
        expect(state).to_contain_text("Paid")
        shoot(page, "paid")
        # and one that is not, with its page left open where nothing updates it
        late = customer.order(page, PLATE)
        cookies = customer.context.storage_state()
        with shop.visitor(**DESKTOP, storage_state=cookies, java_script_enabled=False) as other_tab:
            stale = other_tab.page()
            stale.goto(f"/orders/{late}")
            expect(state).to_contain_text("Expired", timeout=DEADLINE)
            # when that is paid all the same
            stale.get_by_role("button", name="Pay €").click()
            # then the payment is refused, and the money goes back
            refusal = stale.locator(".refund")
            expect(refusal).to_contain_text("This payment came too late. € 36.00 go back to you.", use_inner_text=True)
            key = refusal.locator("code").inner_text()
            assert len(key) == 36
            shoot(stale, "too-late")
        # and the customer's first tab tells it too, without being asked
        expect(state.locator(".refund code")).to_have_text(key)
        # and the other order is still paid, although its deadline has passed: what was taken for it stays taken
        page.goto(f"/orders/{paid}")
        expect(state).to_contain_text("Paid")
        page.goto("/")
        expect(page.locator(f"#stock-{BOTTLE}")).to_have_text("1 left")


def test_a_customer_cancels_and_another_may_not_look(shop: OpenShop) -> None:
    with shop.visitor(**PHONE) as customer, shop.visitor(**PHONE) as stranger:
        page = customer.page()
        number = customer.order(page, BOTTLE)
        page.get_by_role("button", name="Cancel").click()
        expect(page.locator("#state")).to_contain_text("Cancelled")
        page.goto("/")
        expect(page.locator(f"#stock-{BOTTLE}")).to_have_text("1 left")
        answer = stranger.context.request.get(f"/orders/{number}")
        assert answer.status == 404


def test_an_operator_mends_the_cause_and_retries_a_dead_letter(shop: OpenShop, shoot: Shoot) -> None:
    with shop.visitor(**DESKTOP) as operator:
        page = operator.page()
        retry = retry_in_the_admin if shop.framework == "django" else retry_on_the_page
        # given an order that could not be expired, and was given up
        # when an operator mends the cause and retries it
        retry(page, shop, shoot)
        # then it expires, and its stock is back
        page.goto("/?hidden=yes")
        expect(page.locator(f"#stock-{CRACKED}")).to_have_text("5 left")


def retry_on_the_page(page: Page, shop: OpenShop, shoot: Shoot) -> None:
    page.goto("/")
    page.get_by_role("link", name="Operator").click()
    log_in(page)
    letter = page.locator("#dead")
    expect(letter).to_contain_text(f"Order {shop.dead}")
    expect(letter).to_contain_text("PlaceIsBroken: the place of the cracked bowl is broken")
    page.goto(f"/operator?order={shop.dead}")
    expect(page.locator("#explained")).to_contain_text("it is a dead letter")
    shoot(page, "operator")
    page.get_by_role("button", name="Mend the place of Cracked bowl").click()
    page.get_by_role("button", name=f"Retry order {shop.dead}").click()
    expect(letter).to_contain_text("None.")
    expect(page.locator("#counts")).to_contain_text("0 dead")
    page.goto(f"/operator?order={shop.dead}")
    expect(page.locator("#explained")).to_contain_text("Statusexpired")


def retry_in_the_admin(page: Page, shop: OpenShop, shoot: Shoot) -> None:
    page.goto("/")
    page.get_by_role("link", name="Operator").click()
    log_in(page)
    page.get_by_role("link", name="Dead 1").click()
    letter = page.locator("#result_list tr", has_text="PlaceIsBroken: the place of the cracked bowl is broken")
    expect(letter.locator(".oe-id")).to_have_text(str(shop.dead))
    shoot(page, "operator")
    page.goto("/admin/shop/product/")
    page.locator("#result_list tr", has_text="Cracked bowl").locator("input[name$=is_broken]").uncheck()
    page.get_by_role("button", name="Save").click()
    expect(page.locator(".messagelist")).to_contain_text("changed")
    page.goto("/admin/order_expiry/schedule/?where=dead")
    letter.get_by_role("checkbox").check()
    page.locator("select[name=action]").select_option("retry")
    page.get_by_role("button", name="Go").click()
    expect(page.locator(".messagelist")).to_contain_text("1")
    page.goto("/admin/shop/order/?status__exact=expired")
    row = page.locator("#result_list tr", has=page.get_by_role("link", name=str(shop.dead), exact=True))
    for _ in range(100):
        if row.count():
            return
        page.wait_for_timeout(100)  # a sweep takes it, and a worker
        page.reload()
    pytest.fail("the order does not expire")


def log_in(page: Page) -> None:
    page.locator("[name=username]").fill("operator")
    page.locator("[name=password]").fill("operator")
    page.locator("main, #content").get_by_role("button", name="Log in").or_(page.locator("input[type=submit]")).click()
    page.wait_for_url(lambda url: "login" not in url)
