"""What every contender is: something that expires orders 1 to n which are due, by the same conditional SQL.

A round of the drain, the same for all::

    place      a fresh table of n pending, overdue orders (benchmarks/orders_table.py); Redis is empty
    fill       the contender puts its work for the ids 1…n where it keeps it; nothing runs yet
    run        its workers start; the round waits until no order is pending, or until its time is up; they stop
    audit      each order was changed exactly once, or the round is reported as wrong
"""

from __future__ import annotations

import subprocess
from collections.abc import Sequence
from contextlib import AbstractContextManager
from dataclasses import dataclass
from pathlib import Path
from typing import Literal, Protocol, TypeAlias

EXPIRE = (
    "UPDATE orders SET status = 'expired' WHERE id = :id AND status = 'pending' AND expires_at <= statement_timestamp()"
)
"""What every contender with one job per order runs, in a transaction of its own, through SQLAlchemy Core."""

Shape: TypeAlias = Literal["one job per order", "batches"]
"""Whether a job, and a transaction, is one order or many. Only contenders of one shape are compared."""


@dataclass(frozen=True)
class Bench:
    """Where a round takes place."""

    redis_url: str
    """``redis://127.0.0.1:port/0``; empty when a round begins."""
    database_url: str
    """SQLAlchemy's: ``postgresql+psycopg://…``; holds the table ``orders`` with the orders of the round."""
    folder: Path
    """A temporary folder, empty when a round begins: for modules, configuration and logs."""
    python: Path
    """The Python that runs the benchmarks."""


class Contender(Protocol):
    """A system that takes part. It keeps no state between rounds."""

    @property
    def name(self) -> str:
        """What the tables call it: ``Huey``, ``this project, one task per order``."""
        ...

    @property
    def version(self) -> str:
        """Of the package."""
        ...

    @property
    def shape(self) -> Shape:
        """What one job is."""
        ...

    @property
    def note(self) -> str:
        """The settings that are used, and the documentation that recommends them."""
        ...

    def fill(self, bench: Bench, orders: int) -> None:
        """Put work for the ids 1 to *orders* where it is kept, due at once; nothing runs yet."""
        ...

    def run(self, bench: Bench) -> AbstractContextManager[Sequence[subprocess.Popen[bytes]]]:
        """Start workers, two processes' worth, and stop them at the end, by their pids; yield them.

        Their children are found, and their CPU time is counted, through these processes. They need not be ready
        when this returns: the clock of a round runs from the first order that is expired to the last.
        """
        ...
