"""The tutorial, as a reader follows it: its files written, its commands run, its answers compared."""

from __future__ import annotations

import json
import re
import sys
import time
from itertools import pairwise
from pathlib import Path

import httpx

from orders.embedded import free_port
from tests.acceptance.conftest import wait_until
from tests.blocks import Block, Reader, blocks

TUTORIAL = Path(__file__).parents[3] / "docs" / "tutorials" / "django.md"

SECONDS = 10
"""The customers' time to pay, in place of the 20 s of the page: commands of the page run meanwhile."""

ALL_IS_WELL = "System check identified no issues (0 silenced).\n"

LOOK = """
import json
from celery.app.utils import find_app
app = find_app("vases")
told = {
    "name": app.main,
    "knows_expire": "orders.expire" in app.tasks,
    "queues": [queue.name for queue in app.conf.task_queues],
    "sweep_interval": app.conf.beat_schedule["orders.sweep"]["schedule"],
}
print(json.dumps(told))
"""


def adapted(page: str, **ports: str) -> str:
    """Return the page with less time for the customers, a sweep every two seconds, and other ports."""
    for old, new in (("timedelta(seconds=20)", f"timedelta(seconds={SECONDS})"), ('INTERVAL": 5', 'INTERVAL": 2')):
        assert page.count(old) == 1
        page = page.replace(old, new)
    return re.sub(r"\b(8000|5555)\b", lambda found: {"8000": ports["web"], "5555": ports["flower"]}[found[0]], page)


def test_what_the_tutorial_says_is_what_happens(tmp_path: Path) -> None:
    # given the page, on ports that are free here
    web, flower = str(free_port()), str(free_port())
    page = adapted(TUTORIAL.read_text(), web=web, flower=flower)
    reader = Reader.of(tmp_path, FLOWER_PORT=flower)
    install, *found = blocks(page)
    assert 'pip install "../order-expiry[django,embedded]"\n' in install.text
    # when the reader writes the shop, opens it and runs it, in the order of the page
    up = next(block for block in found if "orders up" in block.text)
    told = [do(reader, block) for block in found[: found.index(up)]]
    assert any(output.endswith(ALL_IS_WELL) for output in told)
    assert not any("WARNING" in output for output in told)
    commands = found[found.index(up) + 1 :]
    assert up.text == "DJANGO_SETTINGS_MODULE=vases.settings orders up\n"
    with reader.keeps_running(up.text) as terminal:
        wait_until(lambda: reader.hears(f"http://127.0.0.1:{web}/"), within=30, why="the shop does not answer")
        wait_until(lambda: " ready." in terminal.read_text(), within=30, why="the worker does not start")
        assert "Database  of DJANGO_SETTINGS_MODULE=vases.settings\n" in terminal.read_text()
        assert not (tmp_path / ".orders" / "orders.db").exists()
        # then each answer is the one that the page shows
        answered = [pair for pair in pairwise(commands) if pair[1].language == "json"]
        assert len(answered) == 6
        for command, shown in answered:
            reader.follow(command, shown)
        ends = time.monotonic() + SECONDS
        wait_until(lambda: "expire {'expired': 1}" in terminal.read_text(), within=10, why="the worker logs nothing")
        # and Flower, the command and the page of the admin site are where they are said to be
        wait_until(lambda: reader.hears(f"http://127.0.0.1:{flower}/"), within=30, why="Flower does not answer")
        explain = next(block for block in commands if "orders explain" in block.text)
        explained = reader.run(explain.text)
        assert "order 1: expired\n" in explained
        assert "\nHealthy\nok " in explained
        [address] = re.findall(r"<(http://\S+/change/)>", page)
        assert "came after it had expired: refund it" in seen_by_the_operator(address)
        # and the order that was paid stays so, once its real deadline has passed, with the sweeps that follow
        time.sleep(max(0.0, ends + 2 - time.monotonic()))
        reader.follow(*answered[-1])
        assert terminal.read_text().count("expire {'expired': 1}") == 1
        assert "Traceback" not in terminal.read_text()


def do(reader: Reader, block: Block) -> str:
    """Write the file that a block is, or run its commands; return what they print."""
    if not block.file:
        assert block.language == "sh"
        return reader.run(f"{{\n{block.text}}} 2>&1")
    reader.write(block)
    return ""


def seen_by_the_operator(address: str) -> str:
    """Return the page that the user of the tutorial is led to by the admin site's login."""
    with httpx.Client(follow_redirects=True, timeout=30) as browser:
        login = browser.get(address)
        filled_in = {
            "csrfmiddlewaretoken": browser.cookies["csrftoken"],
            "username": "admin",
            "password": "vases",
            "next": httpx.URL(address).path,
        }
        page = browser.post(login.url, data=filled_in)
    assert page.status_code == 200
    assert str(page.url) == address
    return page.text


def test_the_celery_app_of_the_tutorial_has_our_tasks_and_beat(tmp_path: Path) -> None:
    # given the project of the page, with the shop's own Celery app
    reader = Reader.of(tmp_path, CELERY_BROKER_URL="memory://")
    _, *found = blocks(TUTORIAL.read_text())
    up = next(block for block in found if "orders up" in block.text)
    files = [block for block in found[: found.index(up)] if block.file]
    own = next(block for block in found if block.file == "vases/celery.py")
    do(reader, found[0])
    for block in (*files, own):
        reader.write(block)
    # when Celery finds it, as it does for `-A vases`
    told = reader.run(f"{sys.executable} -c '{LOOK}'")
    # then it has the library's tasks, queues and sweeps beside its own
    assert json.loads(told) == {
        "name": "vases",
        "knows_expire": True,
        "queues": ["celery", "orders.sweep", "orders.expire", "orders.events"],
        "sweep_interval": 5,
    }
