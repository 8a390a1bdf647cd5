"""The operators' page in a real browser, served by `orders web` on a real Redis and SQLite."""

from __future__ import annotations

import json
import os
import subprocess
import sys
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Any

import pytest
import sqlalchemy as sa
from playwright.sync_api import Browser, Page, expect
from redis import Redis

from orders.config import Settings
from orders.embedded import EmbeddedRedis, free_port
from orders.expiry import OrderExpiry
from orders.store import SqlStore
from tests.acceptance.conftest import wait_until
from tests.browser.conftest import OpenShop

Shoot = Callable[[Page, str], None]

STILL = 0.001
"""The layout shift of a number that becomes a digit wider: a hundredth of what web.dev/cls calls good."""

SHIFT = """
window.shift = 0;
new PerformanceObserver((list) => list.getEntries().forEach((entry) => { window.shift += entry.value; }))
    .observe({type: "layout-shift", buffered: true});
"""
"""Adds up how much the layout shifts without the visitor having done anything."""

CONTRAST = """
() => {
    const canvas = document.createElement("canvas").getContext("2d", {willReadFrequently: true});
    const rgba = (colour) => {
        canvas.clearRect(0, 0, 1, 1);
        canvas.fillStyle = colour;
        canvas.fillRect(0, 0, 1, 1);
        return [...canvas.getImageData(0, 0, 1, 1).data];
    };
    const light = ([r, g, b]) => [r, g, b].map((part) => part / 255)
        .map((part) => (part <= 0.04045 ? part / 12.92 : ((part + 0.055) / 1.055) ** 2.4))
        .reduce((sum, part, index) => sum + part * [0.2126, 0.7152, 0.0722][index], 0);
    const back = (element) => {
        for (; element; element = element.parentElement) {
            const colour = rgba(getComputedStyle(element).backgroundColor);
            if (colour[3] === 255) return colour;
        }
        return [255, 255, 255];
    };
    const weak = [];
    for (const element of document.querySelectorAll("body *")) {
        const texts = [...element.childNodes].filter((node) => node.nodeType === 3).map((node) => node.data.trim());
        const text = texts.join("");
        if (!text || !element.offsetParent || element.closest(".unseen, .skip, option, noscript")) continue;
        const [one, other] = [light(rgba(getComputedStyle(element).color)), light(back(element))].sort((a, b) => b - a);
        const ratio = (one + 0.05) / (other + 0.05);
        if (ratio < 4.5) weak.push(`${element.tagName}.${element.className} ${text.slice(0, 30)}: ${ratio.toFixed(2)}`);
    }
    return weak;
}
"""
"""Returns the texts whose contrast is below 4.5:1, WCAG 2's level AA."""


class Web:
    """`orders web`, and the shop that it shows."""

    def __init__(self, server: EmbeddedRedis, folder: Path) -> None:
        self.settings = Settings(redis_url=server.url, database_url=f"sqlite:///{folder / 'shop.db'}")
        self.expiry = OrderExpiry.connect(self.settings)
        self.port = free_port()
        store = self.expiry.store
        assert isinstance(store, SqlStore)
        store.create_table("text")
        store.create_outbox()
        self.engine = sa.create_engine(self.settings.database_url)

    @property
    def url(self) -> str:
        return f"http://127.0.0.1:{self.port}"

    @contextmanager
    def serving(self) -> Iterator[None]:
        given = {"ORDERS_REDIS_URL": self.settings.redis_url, "ORDERS_DATABASE_URL": self.settings.database_url}
        command = [sys.executable, "-m", "orders.cli", "web", "--port", str(self.port)]
        process = subprocess.Popen(command, env={**os.environ, **given}, stdout=subprocess.PIPE, text=True)
        try:
            assert process.stdout is not None
            assert process.stdout.readline() == f"{self.url}/\n"
            yield
        finally:
            process.terminate()
            process.communicate(timeout=30)

    def place(self, *order_ids: str, due: float) -> None:
        deadline = datetime.now(UTC) + timedelta(seconds=due)
        with self.engine.begin() as connection:
            insert = sa.text("INSERT INTO orders (id, status, expires_at) VALUES (:id, 'pending', :at)")
            at = deadline.replace(tzinfo=None)
            connection.execute(insert, [{"id": order_id, "at": at} for order_id in order_ids])
        self.expiry.enqueue_many((order_id, deadline) for order_id in order_ids)

    def bury(self, *order_ids: str) -> None:
        self.place(*order_ids, due=-60)
        claim = self.expiry.schedule.claim(100)
        letter = {"reason": "RuntimeError: the warehouse knows no such order", "attempts": 10}
        letters = [(each.order_id, json.dumps({**letter, "buried_at": claim.now})) for each in claim.claimed]
        self.expiry.schedule.bury(claim.lease, letters)

    def dead(self) -> set[str]:
        return {order_id for order_id, _ in self.expiry.schedule.dead()}


@pytest.fixture
def web(redis_server: EmbeddedRedis, redis: Redis, tmp_path: Path) -> Iterator[Web]:
    web = Web(redis_server, tmp_path)
    yield web
    web.engine.dispose()
    web.expiry.close()


def visitor(web: Web, chromium: Browser, **options: Any) -> Any:
    return OpenShop("web", web.url, chromium).visitor(**options)


@pytest.mark.parametrize("scheme", ["light", "dark"])
def test_every_page_fits_stands_still_and_can_be_read(web: Web, chromium: Browser, shoot: Shoot, scheme: str) -> None:
    # given orders in several states
    web.place(*map(str, range(1, 80)), due=3600)
    web.place("0197f6a1-2b3c-7d4e-8f90-123456789abc", due=90)
    web.bury("d1", "d2", "d3")
    pages = {"overview": "/", "list": "/orders", "dead": "/orders?where=dead", "order": "/order?id=1"}
    pages |= {"doctor": "/doctor", "pause": "/pause"}
    with web.serving():
        for width in (390, 768, 1440):
            with visitor(web, chromium, viewport={"width": width, "height": 900}, color_scheme=scheme) as operator:
                page = operator.page()
                page.add_init_script(SHIFT)
                # when an operator opens each page, and sees it polled
                for name, url in pages.items():
                    page.goto(url)
                    if name == "overview":
                        expect(page.locator(".doctor")).to_contain_text("examined")
                        expect(page.locator(".forecast svg")).to_be_visible()
                        expect(page.locator(".history canvas")).to_have_count(4)
                    if name in {"overview", "list"}:
                        with page.expect_response(lambda answer: "hx-request" in answer.request.headers):
                            pass
                    if name == "dead":
                        page.locator("#everything").check()
                        page.get_by_role("button", name="Requeue…").click()
                        expect(page.get_by_role("heading", level=1)).to_have_text("Requeue 3 orders?")
                    # then nothing is too wide, too faint or moves, once its style sheet is there
                    page.wait_for_load_state()
                    assert page.evaluate(CONTRAST) == []
                    assert page.evaluate("window.shift") < STILL
                    shoot(page, f"{name}-{width}")


def test_a_poll_keeps_ticks_focus_and_scroll_and_a_page_that_is_frozen_says_so(
    web: Web, redis: Redis, chromium: Browser
) -> None:
    web.place(*map(str, range(1, 46)), due=3600)
    context = chromium.new_context(base_url=web.url, viewport={"width": 900, "height": 600})
    page = context.new_page()
    with web.serving():
        # given an operator who has ticked two orders, the last of which has the focus, far down
        page.goto("/orders")
        page.evaluate("window.stayed = true")
        page.get_by_label("Tick order 1", exact=True).check()
        last = page.locator("tbody input[type=checkbox]").last
        last.check()
        last.focus()
        scrolled, focused = page.evaluate("[scrollY, document.activeElement.id]")
        assert scrolled > 0
        # when another order is placed
        web.place("later", due=7200)
        # then the page shows it, and the ticks, the focus and the place stay
        expect(page.locator("#tile-pending b")).to_have_text("46")
        expect(page.locator("[data-ticked]")).to_have_text("2 ticked:")
        expect(page.get_by_label("Tick order 1", exact=True)).to_be_checked()
        assert page.evaluate("[scrollY, document.activeElement.id]") == [scrolled, focused]
    # when the server is gone, then the page says since when what it shows is so
    frozen = page.locator("#frozen")
    expect(frozen).to_contain_text("Frozen since")
    expect(frozen).to_contain_text("the server does not answer. Trying again.")
    # and goes on by itself once it is back
    with web.serving():
        expect(frozen).to_be_hidden()
        assert page.evaluate("window.stayed") is True
        # and a server that cannot read says why
        redis.rename("orders", "away")
        redis.set("orders", "no sorted set")
        expect(frozen).to_contain_text("WRONGTYPE")
        expect(page.locator("tbody tr")).to_have_count(46)
        redis.rename("away", "orders")
        expect(frozen).to_be_hidden()
    context.close()


def test_the_keyboard_is_enough(web: Web, chromium: Browser) -> None:
    web.bury("d1", "d2")
    with web.serving(), visitor(web, chromium) as operator:
        page = operator.page()
        page.goto("/orders?where=dead")
        # the first stop skips the navigation, and each stop can be seen
        page.keyboard.press("Tab")
        expect(page.locator(".skip")).to_be_focused()
        page.keyboard.press("Enter")
        seen: list[str] = []
        while not seen or "Tick order d1" not in seen[-1]:
            page.keyboard.press("Tab")
            name, style = page.evaluate(
                "[document.activeElement.labels?.[0]?.innerText || document.activeElement.innerText,"
                " getComputedStyle(document.activeElement).outlineStyle]"
            )
            assert style != "none", name
            seen.append(name)
            assert len(seen) < 20, seen
        page.keyboard.press("Space")
        page.locator("#do-requeue").focus()
        page.keyboard.press("Enter")
        expect(page.get_by_role("heading", level=1)).to_have_text("Requeue 1 order?")
        page.get_by_role("button", name="Requeue 1 order").focus()
        page.keyboard.press("Enter")
        expect(page.locator(".flash")).to_have_text("1 order requeued, due now.")
        wait_until(lambda: web.dead() == {"d2"}, within=10, why="it is not requeued")


def test_it_works_without_javascript(web: Web, chromium: Browser) -> None:
    web.bury("d1", "d2")
    with web.serving(), visitor(web, chromium, java_script_enabled=False) as operator:
        page = operator.page()
        page.goto("/")
        page.get_by_role("link", name="RuntimeError: the warehouse knows no such order").click()
        page.locator("#everything").check()
        page.get_by_role("button", name="Requeue…").click()
        page.get_by_role("button", name="Requeue 2 orders").click()
        expect(page.locator(".flash")).to_have_text("2 orders requeued, due now.")
        assert web.dead() == set()
        page.get_by_label("Order id").fill("d1")
        page.get_by_role("button", name="Find").click()
        expect(page.locator(".timeline")).to_contain_text("Next: a sweep claims it, and a worker expires it")
