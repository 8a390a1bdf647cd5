"""The tutorial, as a reader follows it: its files written, its commands run, its answers compared."""

from __future__ import annotations

import os
import subprocess
import sys
from itertools import pairwise
from pathlib import Path

from orders.embedded import free_port
from tests.acceptance.conftest import wait_until
from tests.blocks import Reader, blocks

TUTORIAL = Path(__file__).parents[3] / "docs" / "tutorials" / "flask.md"

SECONDS = 8
"""The customers' time to pay, in place of the 20 s of the page: commands of the page run meanwhile."""


def test_what_the_tutorial_says_is_what_happens(tmp_path: Path) -> None:
    # given the page, on ports that are free here, with less time for the customers
    web, flower = free_port(), free_port()
    page = TUTORIAL.read_text().replace("5000", str(web)).replace("5555", str(flower))
    assert page.count("timedelta(seconds=20)") == 1
    page = page.replace("timedelta(seconds=20)", f"timedelta(seconds={SECONDS})")
    reader = Reader.of(tmp_path, FLOWER_PORT=str(flower), ORDERS_SWEEP_INTERVAL="2")
    found = blocks(page)
    for block in found:
        if block.file:
            reader.write(block)
    assert (tmp_path / "shop.py").exists()
    install, opening, up, *commands = [block for block in found if block.language == "sh"]
    assert 'pip install "' in install.text
    assert "flask,embedded" in install.text
    # when the reader opens the shop and runs it
    assert "table order_events: created\n" in reader.run(opening.text)
    assert up.text == "ORDERS_APP=shop orders up\n"
    with reader.keeps_running(up.text) as terminal:
        wait_until(lambda: reader.hears(f"http://127.0.0.1:{web}/"), within=30, why="the shop does not answer")
        wait_until(lambda: " ready." in terminal.read_text(), within=30, why="the worker does not start")
        assert "Database  of ORDERS_APP=shop\n" in terminal.read_text()
        assert not (tmp_path / ".orders" / "orders.db").exists()
        # then each answer is the one that the page shows
        compared = 0
        for command, shown in pairwise(found):
            if command in commands and shown.language == "json":
                reader.follow(command, shown)
                compared += 1
        assert compared == 5
        wait_until(lambda: "expire {'expired': 1}" in terminal.read_text(), within=10, why="the worker logs nothing")
        # and Flower is where it is said to be
        wait_until(lambda: reader.hears(f"http://127.0.0.1:{flower}/"), within=30, why="Flower does not answer")
        # and so are the commands
        told = reader.run(commands[-1].text)
        assert "order 1: expired\n" in told
        assert "\nHealthy\nok " in told


def test_the_app_factory_of_the_tutorial_makes_an_app(tmp_path: Path) -> None:
    shop, factory = [block.text for block in blocks(TUTORIAL.read_text()) if block.language == "python"]
    imports, _ = shop.split("app = Flask(__name__)")
    model = shop[shop.index("class Product") : shop.index("expiry = Orders(")]
    start, making = factory.split("\n\n\ndef create_app")
    (tmp_path / "shop.py").write_text(f"{imports}\n{start}\n\n{model}\n\ndef create_app{making}")
    environment = {**os.environ, "FLASK_SQLALCHEMY_DATABASE_URI": "sqlite:///shop.db", "FLASK_ORDERS_TIMEOUT": "1"}
    command = [sys.executable, "-m", "flask", "--app", "shop:create_app", "orders", "--help"]
    ran = subprocess.run(command, cwd=tmp_path, env=environment, capture_output=True, text=True, check=False)
    assert ran.returncode == 0, ran.stderr
    assert "reconcile" in ran.stdout
