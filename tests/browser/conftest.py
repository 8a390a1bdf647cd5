"""The example shops, as a reader starts them, and customers with a real browser."""

from __future__ import annotations

import os
import signal
import subprocess
import sys
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import pytest
from playwright.sync_api import Browser, BrowserContext, ConsoleMessage, Page, Request, expect, sync_playwright

from orders.embedded import free_port
from tests.acceptance.conftest import PATIENCE, wait_until

ROOT = Path(__file__).parents[2]
CHROMIUM = Path("/usr/bin/chromium")
FRAMEWORKS = ("django", "flask", "fastapi")

TIMEOUT = 6
"""Seconds that customers have to pay: some clicks, on a machine that does other things."""

DESKTOP: dict[str, Any] = {"viewport": {"width": 1200, "height": 900}}
PHONE: dict[str, Any] = {
    "viewport": {"width": 390, "height": 844},
    "is_mobile": True,
    "has_touch": True,
    "color_scheme": "dark",
}

CRACKED = 7
"""The product whose orders cannot expire."""


@pytest.fixture(scope="module")  # a browser that is open makes Django think that it runs in an event loop
def chromium() -> Iterator[Browser]:
    if not CHROMIUM.exists():
        assert not os.environ.get("CI"), f"{CHROMIUM} is missing"
        pytest.skip("Chromium is not installed")
    with sync_playwright() as playwright:
        browser = playwright.chromium.launch(executable_path=CHROMIUM, args=["--no-sandbox"])
        expect.set_options(timeout=5_000 * PATIENCE)
        yield browser
        browser.close()


@dataclass
class Visitor:
    """Somebody with a browser, and what went wrong in it."""

    context: BrowserContext
    problems: list[str] = field(default_factory=list)

    def page(self) -> Page:
        page = self.context.new_page()
        page.set_default_timeout(10_000 * PATIENCE)
        page.on("console", self._console)
        page.on("pageerror", lambda error: self.problems.append(f"{page.url}: {error}"))
        page.on("requestfailed", self._failed)
        page.on("response", lambda answer: self._answered(answer.status, answer.url))
        return page

    def order(self, page: Page, product: int, units: int = 1) -> int:
        """Order something; return the number of the order, whose page is shown then."""
        page.goto("/?hidden=yes")
        till = page.locator(f"form.buy:has(#buy-{product})")
        till.get_by_role("spinbutton").fill(str(units))
        till.get_by_role("button").click()
        page.wait_for_url("**/orders/*")
        return int(page.url.rpartition("/")[2])

    def _console(self, message: ConsoleMessage) -> None:
        if message.type in {"error", "warning"}:
            self.problems.append(f"console: {message.text}")

    def _failed(self, request: Request) -> None:
        # Who leaves a page leaves unanswered what it has just asked for: its last look, its icon.
        if request.resource_type == "document" or request.failure != "net::ERR_ABORTED":
            self.problems.append(f"{request.method} {request.url}: {request.failure}")

    def _answered(self, status: int, url: str) -> None:
        if status >= 400:
            self.problems.append(f"{url}: {status}")


@dataclass
class OpenShop:
    """A shop that is open."""

    framework: str
    url: str
    browser: Browser
    dead: int = 0
    """The number of an order that cannot expire."""

    @contextmanager
    def visitor(self, **options: Any) -> Iterator[Visitor]:
        """Yield a visitor; fail at the end if anything went wrong in the browser."""
        context = self.browser.new_context(base_url=self.url, **options)
        visitor = Visitor(context)
        try:
            yield visitor
        finally:
            context.close()
        assert visitor.problems == []


@dataclass
class Street:
    """The shops while they open: all at once, because the first one's customers mostly wait."""

    folder: Path
    running: dict[str, subprocess.Popen[bytes]] = field(default_factory=dict)
    ports: dict[str, int] = field(default_factory=dict)

    def start(self, framework: str) -> None:
        folder, self.ports[framework] = self.folder / framework, free_port()
        folder.mkdir()
        options = {"port": self.ports[framework], "folder": folder, "timeout": TIMEOUT, "sweep-interval": 1}
        arguments = [f"--{name}={value}" for name, value in options.items()]
        with (folder / "terminal.log").open("wb") as output:
            self.running[framework] = subprocess.Popen(
                [sys.executable, "-m", f"examples.shops.{framework}", *arguments],
                cwd=ROOT,
                stdout=output,
                stderr=output,
            )

    def shown(self, framework: str) -> str:
        """Return what the command has told so far."""
        return (self.folder / framework / "terminal.log").read_text()

    def is_decided(self, framework: str) -> bool:
        return "Ctrl-C" in self.shown(framework) or self.running[framework].poll() is not None

    def stop(self) -> dict[str, int]:
        for process in self.running.values():
            process.send_signal(signal.SIGTERM)
        return {framework: process.wait(60) for framework, process in self.running.items()}


@pytest.fixture(scope="module")  # a browser that is open makes Django think that it runs in an event loop
def street(chromium: Browser, tmp_path_factory: pytest.TempPathFactory) -> Iterator[Street]:
    street = Street(tmp_path_factory.mktemp("street"))
    try:
        for framework in FRAMEWORKS:
            street.start(framework)
        yield street
    finally:
        stopped = street.stop()
    assert stopped == dict.fromkeys(FRAMEWORKS, 0)


@pytest.fixture(scope="module", params=FRAMEWORKS)
def shop(request: pytest.FixtureRequest, chromium: Browser, street: Street) -> Iterator[OpenShop]:
    framework = request.param
    wait_until(lambda: street.is_decided(framework), within=60, why="the shop does not open")
    shop = OpenShop(framework, f"http://127.0.0.1:{street.ports[framework]}", chromium)
    assert shop.url in street.shown(framework), street.shown(framework)
    with shop.visitor(**DESKTOP) as visitor:
        shop.dead = visitor.order(visitor.page(), CRACKED)  # it is one by the time that a test needs it
    yield shop
    for log in sorted((street.folder / framework).glob("*.log")):
        sys.stdout.write(f"--- {log.name}\n{log.read_text(errors='replace')[-3000:]}")  # shown if a test fails


@pytest.fixture
def shoot(tmp_path: Path) -> Callable[[Page, str], None]:
    """Returns what checks that a page fits its window, and takes a picture of it."""

    def shoot(page: Page, name: str) -> None:
        assert page.evaluate("document.documentElement.scrollWidth <= innerWidth"), f"{name} is wider than its window"
        page.screenshot(path=tmp_path / f"{name}.png", full_page=True)

    return shoot
