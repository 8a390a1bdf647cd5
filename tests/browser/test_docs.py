"""The documentation as `make docs` has built it, opened as files: the search, a phone, no JavaScript."""

from __future__ import annotations

import os
from pathlib import Path
from typing import Any

import pytest
from playwright.sync_api import Browser, expect

from tests.browser.conftest import DESKTOP, PHONE, ROOT, Visitor

SITE = ROOT / "build" / "docs"


@pytest.fixture(scope="module")
def site() -> Path:
    if not (SITE / "searchindex.js").exists():
        assert not os.environ.get("CI"), f"{SITE} is missing"
        pytest.skip("make docs has not built the site")
    return SITE


def visitor_of(chromium: Browser, **options: Any) -> Visitor:
    return Visitor(chromium.new_context(**options))


@pytest.mark.parametrize(
    ("searched", "place"),
    [
        ("ORDERS_TIMEOUT", "docs/reference/settings.html#orders-timeout"),
        ("ORDERS_LEASE", "docs/reference/settings.html#orders-lease"),
        ("timeout", "docs/reference/settings.html#orders-timeout"),
        ("redis down", "docs/how-to/when-things-go-wrong.html#redis-is-down-or-lost-its-data"),
        ("late", "docs/how-to/troubleshoot.html#what-do-you-see"),
        ("not expired", "docs/how-to/troubleshoot.html#what-do-you-see"),
        ("dead letter", "docs/how-to/operate.html#dead-letters"),
        ("pause", "docs/how-to/operate.html#stop-everything"),
        ("webhook", "docs/how-to/webhooks.html#send-webhooks"),
        ("enqueue", "docs/reference/api.html#orders.enqueue"),
        ("Flower", "docs/how-to/flower.html#flower-what-happened-to-order-42"),
        ("PgBouncer", "docs/how-to/troubleshoot.html#database-sessions"),
    ],
)
def test_the_search_lists_first_where_it_is_explained(site: Path, chromium: Browser, searched: str, place: str) -> None:
    visitor = visitor_of(chromium, **DESKTOP)
    page = visitor.page()
    # given the first page
    page.goto((site / "docs" / "index.html").as_uri())
    # when somebody searches
    page.get_by_placeholder("Search").fill(searched)
    page.keyboard.press("Enter")
    # then the first result is the place, which exists
    first = page.locator("ul.search li a").first
    expect(page.locator(".search-summary")).to_contain_text("Search finished")
    expect(first).to_have_attribute("href", place)
    first.click()
    page.wait_for_url(f"**/{place}")
    assert page.evaluate("document.getElementById(location.hash.slice(1)) !== null")
    visitor.context.close()
    assert visitor.problems == []


def test_no_page_is_wider_than_a_phone(site: Path, chromium: Browser) -> None:
    visitor = visitor_of(chromium, **PHONE)
    page = visitor.page()
    files = sorted({*site.rglob("*.html")} - {site / "index.html"})  # which only leads to the first page
    assert len(files) > 50
    wide = []
    for file in files:
        page.goto(file.as_uri())
        if page.evaluate("document.documentElement.scrollWidth > innerWidth || innerWidth > screen.width"):
            wide.append(file.name)
    visitor.context.close()
    assert wide == []
    assert visitor.problems == []


def test_a_door_of_the_first_page_needs_no_javascript(site: Path, chromium: Browser) -> None:
    visitor = visitor_of(chromium, **PHONE, java_script_enabled=False)
    page = visitor.page()
    page.goto((site / "docs" / "index.html").as_uri())
    door = page.locator("#three-doors li", has_text="FastAPI")
    door.click(position={"x": 5, "y": 5})  # its corner, not its words
    page.wait_for_url("**/docs/tutorials/fastapi.html")
    visitor.context.close()
