"""The recipes of the documentation, run as they stand: their files, their commands, as real processes."""

from __future__ import annotations

import re
import shlex
import subprocess
import sys
from contextlib import ExitStack
from pathlib import Path
from typing import Any

import httpx
import pytest

from orders.config.settings import Settings
from orders.embedded import EmbeddedRedis, free_port
from tests.acceptance.conftest import environment, running, wait_until
from tests.servers import with_driver

HOW_TO = Path(__file__).parents[2] / "docs" / "how-to"

MODULES = {"orders": ["orders.cli"], "uvicorn": ["uvicorn"], "celery": ["celery"], "python": []}
"""What a command of the documentation is as a module of this Python."""

TIME_TO_PAY = 5.0
"""Seconds: of a real deadline, which has to pass. Long enough to pay another order before it."""


def blocks(page: str, language: str) -> list[str]:
    return re.findall(rf"^```{language}\n(.*?)^```", (HOW_TO / page).read_text(), re.MULTILINE | re.DOTALL)


class Recipe:
    """A page's files in a folder, and its commands."""

    def __init__(self, page: str, folder: Path, settings: Settings) -> None:
        self._folder, self._settings, self._port = folder, settings, free_port()
        for block in blocks(page, "python"):
            named = re.match(r"# (\w+\.py)\n", block)
            assert named, f"a block of {page} does not say which file it is"
            (folder / named[1]).write_text(block)
        [script] = blocks(page, "sh")
        self._commands = [line for line in script.splitlines() if not line.startswith("export ")]
        self._exported = set(re.findall(r"(ORDERS_\w+)=", script))

    def run(self) -> ExitStack:
        """Do what the page says, one command after another; those that go on are stopped at the end."""
        assert self._exported <= environment(self._settings).keys()
        stack = ExitStack()
        for number, line in enumerate(self._commands):
            command, *arguments = shlex.split(line.replace("8000", str(self._port)))
            module = [*MODULES[command], *(arguments[1:] if command == "python" else arguments)]
            if module[0] in {"models", "orders.cli"}:
                command_line = [sys.executable, "-m", *module]
                subprocess.run(command_line, cwd=self._folder, env=environment(self._settings), check=True, timeout=60)
            else:
                stack.enter_context(running(str(number), module, self._settings, self._folder))
        return stack

    @property
    def address(self) -> str:
        return f"http://127.0.0.1:{self._port}"

    @property
    def port(self) -> str:
        return str(self._port)


@pytest.fixture(params=["fastapi.md", "sqlalchemy.md"])
def recipe(request: pytest.FixtureRequest, redis_server: EmbeddedRedis, redis: object, tmp_path: Path) -> Recipe:
    page: str = request.param
    url = request.getfixturevalue("postgres_url") if page == "fastapi.md" else f"sqlite:///{tmp_path / 'shop.db'}"
    settings = Settings(
        redis_url=redis_server.url,
        database_url=with_driver(url),
        hooks=("order_hooks",),
        timeout=TIME_TO_PAY,
        sweep_interval=1.0,
    )
    return Recipe(page, tmp_path, settings)


def test_a_recipe_is_a_shop(recipe: Recipe, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("PORT", recipe.port)
    with recipe.run(), httpx.Client(base_url=recipe.address, timeout=30) as web:
        wait_until(lambda: answers(web), within=20, why="the shop does not answer")
        # given two orders, which have taken their stock
        first, second = place(web), place(web)
        assert web.get("/products/1").json() == {"stock": 3}
        # when one is paid in time, and the deadline of both passes
        assert pay(web, first, "ch_1") == "accepted"
        wait_until(lambda: web.get("/products/1").json() == {"stock": 4}, within=20, why="the stock did not come back")
        # then the other is expired, and takes no money
        assert web.get(f"/orders/{second}").json() == {"state": "expired"}
        assert web.get(f"/orders/{first}").json() == {"state": "paid"}
        assert pay(web, second, "ch_2") == "too_late"


def place(web: httpx.Client) -> int:
    response = web.post("/orders", params={"product_id": 1})
    assert response.is_success, response.text
    return int(response.json()["id"])


def pay(web: httpx.Client, order_id: int, charge_id: str) -> Any:
    return web.post(f"/orders/{order_id}/payments", params={"charge_id": charge_id}).json()["verdict"]


def answers(web: httpx.Client) -> bool:
    try:
        return web.get("/products/1").is_success
    except httpx.TransportError:
        return False
