"""The quickstart, as a reader follows it."""

from __future__ import annotations

from pathlib import Path

from tests.acceptance.conftest import wait_until
from tests.blocks import Reader, blocks

PAGE = Path(__file__).parents[2] / "docs" / "quickstart.md"

SECONDS = 8
"""The customers' time to pay, in place of the 20 s of the page: two orders are placed meanwhile, and one is paid."""


def test_one_order_expires_and_the_other_is_paid(tmp_path: Path) -> None:
    # given the page, with less time for the customers
    page = PAGE.read_text()
    assert page.count("timedelta(seconds=20)") == 1
    found = blocks(page.replace("timedelta(seconds=20)", f"timedelta(seconds={SECONDS})"))
    reader = Reader.of(tmp_path, ORDERS_SWEEP_INTERVAL="1")
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
        told = reader.run(f"{placing.splitlines()[0]}\n{asking}")  # in the same terminal
    assert "order 1: lapsed\n" in told
    assert "too_late give the money back\nHealthy\nok " in told
    assert "lapsed: [2]" not in terminal.read_text()
