"""The quickstart, as a reader follows it."""

from __future__ import annotations

from pathlib import Path

from tests.acceptance.conftest import wait_until
from tests.blocks import Reader, blocks

PAGE = Path(__file__).parents[2] / "docs" / "quickstart.md"

SECONDS = 8
"""The time to pay of the order that expires, in place of the 20 s of the page. The other one has an hour."""


def test_one_order_expires_and_the_other_is_paid(tmp_path: Path) -> None:
    # given the page, with less time for the first customer, and more for the second: Python starts before he has paid
    page = PAGE.read_text()
    assert page.count("timedelta(seconds=20)") == 1
    found = blocks(page.replace("timedelta(seconds=20)", f"timedelta(seconds={SECONDS} if number == 1 else 3600)"))
    reader = Reader.of(tmp_path, ORDERS_SWEEP_INTERVAL="2")
    for block in found:
        if block.file:
            reader.write(block)
    opening, up, placing, asking = [block.text for block in found if block.language == "sh" and not block.file]
    # when the reader opens the shop and runs it
    assert "table order_events: created" in reader.run(opening)
    with reader.keeps_running(f"sh -c '{up}'") as terminal:
        wait_until(lambda: "Everything runs." in terminal.read_text(), within=30, why="the worker does not start")
        # then the order that is paid is accepted, and the other expires
        assert reader.run(placing).strip() == "accepted"
        wait_until(lambda: "lapsed: [1]" in terminal.read_text(), within=SECONDS + 10, why="the order does not expire")
        same_terminal = placing.splitlines()[0]
        told = reader.run(f"{same_terminal}\n{asking}")
        # and the order that is paid does not, when a worker looks at it
        reader.run(f"{same_terminal}\norders enqueue 2 --timeout 0")
        wait_until(lambda: "expire {'closed': 1}" in terminal.read_text(), within=20, why="nobody looks at it")
    assert "order 1: lapsed\n" in told
    assert "too_late give the money back\nHealthy\nok " in told
    assert "lapsed: [2]" not in terminal.read_text()
