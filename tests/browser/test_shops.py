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

HURRY = """
() => new Promise((resolve) => {
    const page = document.getElementById("content-main");
    page.dataset.live = 0.2;
    new MutationObserver(resolve).observe(page, {attributeFilter: ["data-clock"]});
})
"""
"""Has a page of the admin look five times in a second from its next look on."""

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
        expect(state).to_contain_text("To pay")
        shoot(page, "pending")
        expect(stock).to_have_text("3 left")
        # when nobody pays
        expect(state).to_contain_text("Expired", timeout=DEADLINE)
        # then the countdown has reached zero, on the page that was opened, and a screen reader has heard of the end
        seen = page.evaluate("window.seen")
        assert [text for text in ("0:01", "0:00") if text in seen] == ["0:01", "0:00"]
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
        cookies = customer.context.storage_state()
        with shop.visitor(**DESKTOP, storage_state=cookies, java_script_enabled=False) as other_tab:
            stale = other_tab.page()
            late = customer.order(page, PLATE)
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
        # and what is another customer's is not there, nor is anything at a wrong address, but the way back is
        for path in (f"/orders/{number}", "/orders/abc", f"/orders/{2**70}", "/orders?status=lost", "/nowhere"):
            answer = stranger.context.request.get(path)
            assert answer.status == 404, path
            assert "There is nothing here." in answer.text(), path
            assert 'href="/orders">My orders</a>' in answer.text(), path


def test_who_asks_for_more_than_is_left_learns_how_many_are(shop: OpenShop, shoot: Shoot) -> None:
    with shop.visitor(**PHONE) as customer:
        page = customer.page()
        page.goto("/")
        till = page.locator(f"form.buy:has(#buy-{BOTTLE})")
        till.get_by_role("spinbutton").fill("90")
        till.get_by_role("button").click()
        expect(page.get_by_role("alert")).to_have_text(
            "Nothing was ordered. Bottle vase: you asked for 90, and 1 is left."
        )
        shoot(page, "refused")
        # and no form that a browser would not send does harm
        for product, units in (("", ""), ("x", "1"), ("1", "100"), ("9" * 30, "1")):
            if shop.framework != "django":  # which asks for its token first
                answer = customer.context.request.post("/orders", form={"product": product, "units": units})
                assert (answer.status, "Nothing was ordered." in answer.text()) == (200, True), (product, units)
        # and all tabs are there
        page.goto("/orders")
        tabs = page.get_by_role("navigation", name="Orders by status")
        expect(tabs.get_by_role("link")).to_have_text(["All 0", "To pay 0", "Paid 0", "Expired 0", "Cancelled 0"])
        expect(tabs.locator("[aria-current]")).to_have_text("All 0")
        shoot(page, "no-orders")


def test_an_operator_mends_the_cause_and_requeues_a_dead_letter(shop: OpenShop, shoot: Shoot) -> None:
    with shop.visitor(**DESKTOP) as operator:
        page = operator.page()
        requeue = requeue_in_the_admin if shop.framework == "django" else requeue_on_the_page
        # given an order that could not be expired, and was given up
        # when an operator mends the cause and requeues it
        requeue(page, shop, shoot)
        # then it expires, and its stock is back
        page.goto("/?hidden=yes")
        expect(page.locator(f"#stock-{CRACKED}")).to_have_text("5 left")


@pytest.mark.parametrize("shop", ["django"], indirect=True)
def test_the_admin_goes_on_by_itself_but_moves_nothing_that_somebody_has_ticked(shop: OpenShop, shoot: Shoot) -> None:
    with shop.visitor(**DESKTOP) as operator, shop.visitor(**DESKTOP) as customer:
        # given an operator who looks at the pending orders
        page, till = operator.page(), customer.page()
        page.goto("/admin/order_expiry/schedule/")
        log_in(page)
        page.goto("/admin/order_expiry/schedule/?where=pending")
        page.evaluate("window.stayed = true")
        page.evaluate(HURRY)
        pending = page.locator(".oe-tile", has_text="pending").locator(".oe-count")
        # when a customer orders
        number = customer.order(till, PITCHER)
        # then the order appears, and goes when it expires, on the page that was opened
        row = page.locator("#result_list tr", has=page.get_by_role("link", name=str(number), exact=True))
        row.get_by_role("checkbox").check()
        expect(page.locator(".action-counter")).to_contain_text("selected: the list stands still")
        expect(page.locator(".history:visible .uplot")).to_have_count(2)
        shoot(page, "admin")
        # and while it is ticked it stays, although it has expired
        expect(pending).to_have_text("0", timeout=DEADLINE)
        expect(row).to_be_visible()
        row.get_by_role("checkbox").uncheck()
        expect(row).to_have_count(0, timeout=DEADLINE)
        assert page.evaluate("window.stayed") is True
        # when the server no longer answers
        operator.problems.clear()
        page.route("**/*", lambda route: route.abort())
        # then the page says since when it shows the same
        frozen = page.get_by_text("Frozen since")
        expect(frozen).to_contain_text("the server does not answer", timeout=DEADLINE)
        shoot(page, "admin-frozen")
        page.unroute("**/*")
        expect(frozen).to_be_hidden(timeout=DEADLINE)
        operator.problems.clear()  # those were meant


def requeue_on_the_page(page: Page, shop: OpenShop, shoot: Shoot) -> None:
    page.goto("/")
    page.get_by_role("link", name="Operator").click()
    log_in(page)
    page.get_by_role("link", name="Expiry of orders").click()
    reason = page.get_by_role("link", name="PlaceIsBroken: the place of the cracked bowl is broken")
    expect(reason).to_be_visible(timeout=DEADLINE)
    shoot(page, "operator")
    page.goto("/operator")
    page.get_by_role("button", name="Mend the place of Cracked bowl").click()
    page.goto("/expiry/orders?where=dead")
    page.get_by_label(f"Tick order {shop.dead}").check()
    page.get_by_role("button", name="Requeue…").click()
    page.get_by_role("button", name="Requeue 1 order").click()
    expect(page.locator(".flash")).to_have_text("1 order requeued, due now.")
    page.get_by_label("Order id").fill(str(shop.dead))
    page.get_by_role("button", name="Find").click()
    expect(page.locator(".timeline")).to_contain_text("Expired, unpaid", timeout=DEADLINE)


def requeue_in_the_admin(page: Page, shop: OpenShop, shoot: Shoot) -> None:
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
