"""The tutorial, as a reader follows it: its files written, its commands run, its answers compared."""

from __future__ import annotations

import time
from itertools import pairwise
from pathlib import Path

from orders.embedded import free_port
from tests.acceptance.conftest import wait_until
from tests.blocks import Reader, blocks

TUTORIAL = Path(__file__).parents[3] / "docs" / "tutorials" / "fastapi.md"

SECONDS = 8
"""The customers' time to pay, in place of the 20 s of the page: commands of the page run meanwhile."""


def test_what_the_tutorial_says_is_what_happens(tmp_path: Path) -> None:
    # given the page, on ports that are free here, with less time for the customers
    web, flower = free_port(), free_port()
    page = TUTORIAL.read_text().replace("8000", str(web)).replace("5555", str(flower))
    assert page.count("timedelta(seconds=20)") == 1
    found = blocks(page.replace("timedelta(seconds=20)", f"timedelta(seconds={SECONDS})"))
    reader = Reader.of(tmp_path, FLOWER_PORT=str(flower), ORDERS_SWEEP_INTERVAL="2")
    for block in found:
        if block.file:
            reader.write(block)
    install, opening, up, *commands = [block for block in found if block.language == "sh" and not block.file]
    assert 'pip install "../order-expiry[embedded]" "sqlalchemy[aiosqlite]" fastapi uvicorn\n' in install.text
    # when the reader opens the shop and runs it
    assert "table order_events: created\n" in reader.run(opening.text)
    with reader.keeps_running(f"sh -c '{up.text}'") as terminal:
        wait_until(lambda: reader.hears(f"http://127.0.0.1:{web}/"), within=30, why="the shop does not answer")
        wait_until(lambda: "Everything runs." in terminal.read_text(), within=30, why="the worker does not start")
        # then each answer is the one that the page shows
        *answered, (again, kept) = [
            (command, shown) for command, shown in pairwise(found) if command in commands and shown.language == "json"
        ]
        assert len(answered) == 5
        for command, shown in answered:
            reader.follow(command, shown)
        ends = time.monotonic() + SECONDS
        wait_until(lambda: "expire {'expired': 1}" in terminal.read_text(), within=10, why="the worker logs nothing")
        # and Flower and the commands are where they are said to be
        wait_until(lambda: reader.hears(f"http://127.0.0.1:{flower}/"), within=30, why="Flower does not answer")
        explained = reader.run(commands[-1].text)
        assert "order 1: expired\n" in explained
        assert "\nHealthy\nok " in explained
        # and the order that was paid stays so, once its real deadline has passed, with the sweeps that follow
        time.sleep(max(0.0, ends + 2 - time.monotonic()))
        reader.follow(again, kept)
        assert terminal.read_text().count("expire {'expired': 1}") == 1
        assert "Traceback" not in terminal.read_text()
