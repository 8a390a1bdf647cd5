"""The output of the demo: a live table on a terminal or a line every two seconds elsewhere, and the summary.

Warnings on standard error would tear the live table. While it is shown, they go into a file, and the table counts them.
"""

from __future__ import annotations

import time
from types import TracebackType
from typing import TYPE_CHECKING, Self

from rich.console import Console, Group
from rich.live import Live
from rich.progress import BarColumn, MofNCompleteColumn, Progress, TextColumn, TimeElapsedColumn
from rich.table import Table
from rich.text import Text

from orders.cli.demo.warning_file import WarningFile

if TYPE_CHECKING:
    from orders.cli.demo.shop import Shop, Summary

FRAME = 0.25
"""Seconds between two updates on a terminal."""

LINE = 2.0
"""Seconds between two lines elsewhere."""


class View:
    """The output of a demo.

    Args:
        orders: how many orders the demo places.
    """

    def __init__(self, orders: int) -> None:
        self._console = Console(highlight=False)
        self._orders = orders
        self._began = time.monotonic()
        self._next = 0.0
        self._progress = Progress(
            TextColumn("orders closed"),
            BarColumn(),
            MofNCompleteColumn(),
            TimeElapsedColumn(),
            console=self._console,
        )
        self._task = self._progress.add_task("", total=orders)
        self._live = Live(console=self._console, auto_refresh=False) if self._console.is_terminal else None
        self._warnings: WarningFile | None = None

    def say(self, text: str) -> None:
        """Print a line."""
        self._console.print(text)

    def __enter__(self) -> Self:
        self._began = time.monotonic()
        if self._live:
            self._warnings = WarningFile()
            self._live.start()
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, traceback: TracebackType | None
    ) -> None:
        if self._live:
            self._live.stop()
        if self._warnings:
            self._warnings.stop()

    def refresh(self, shop: Shop) -> float:
        """Show the state of the shop if an update is due; return the seconds until the next update."""
        now = time.monotonic()
        if now >= self._next:
            self._next = now + (FRAME if self._live else LINE)
            self._draw(shop.counts(), now - self._began)
        return max(self._next - time.monotonic(), 0.0)

    def _draw(self, counts: dict[str, int], elapsed: float) -> None:
        pending, paid, expired = (counts.get(state, 0) for state in ("pending", "paid", "expired"))
        numbers = {"placed": pending + paid + expired, "pending": pending, "paid": paid, "expired": expired}
        if self._live is None or self._warnings is None:
            counts_text = "".join(f"  {name} {number:>4}" for name, number in numbers.items())
            self._console.print(f"{elapsed:5.1f} s{counts_text}")
            return
        numbers["warnings"] = self._warnings.number
        table = Table(*numbers)
        table.add_row(*map(str, numbers.values()))
        where = [Text(f"warnings are in {self._warnings.baseFilename}")] if self._warnings.number else []
        self._progress.update(self._task, completed=paid + expired)
        self._live.update(Group(table, *where, self._progress), refresh=True)

    def show(self, summary: Summary) -> None:
        """Print the summary."""
        table = Table(
            "summary",
            "",
            show_header=False,
            title="Every order ended in the right state" if summary.is_right else "[bold red]Something went wrong[/]",
        )
        late = [
            summary.percentile(0.5),
            summary.percentile(0.99),
            summary.lateness[-1] if summary.lateness else 0.0,
        ]
        for name, value in {
            "placed": f"{summary.placed}",
            "paid": f"{summary.paid}",
            "expired": f"{summary.expired}",
            "payments accepted": f"{summary.accepted}",
            "repeated callbacks": f"{summary.duplicate}",
            "paid too late, to be refunded": f"{summary.too_late}",
            "found paid by the guard": f"{summary.found} of {summary.found + summary.missed}",
            "stock before, after": f"{summary.stock[0]}, {summary.stock[1]}",
            "events delivered": f"{summary.events[2]} of {summary.events[0]}",
            "expired although paid": f"{summary.expired_although_paid}",
            "changed twice": f"{summary.changed_twice}",
            "left over": f"{summary.left_over}",
            "lateness p50, p99, max": ", ".join(f"{value:.1f}" for value in late) + " ms",
        }.items():
            table.add_row(name, value)
        self._console.print(table)
