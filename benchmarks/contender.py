"""The protocol of a contender: it expires the due orders 1 to n with the same conditional SQL as all others.

A round of the drain has the same steps for every contender::

    place      a fresh table of n pending, overdue orders (benchmarks/orders_table.py); Redis is empty
    fill       the contender queues its jobs for the ids 1…n; nothing runs yet
    run        its workers start; the round waits until no order is pending or the time is up; the workers stop
    audit      checks that each order was changed exactly once; if not, the round is reported as wrong
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
"""The statement of every contender with one job per order. SQLAlchemy Core runs it, in a transaction per order."""

Shape: TypeAlias = Literal["one job per order", "batches"]
"""Whether a job and its transaction contain one order or many. Only contenders with the same shape are compared."""


@dataclass(frozen=True)
class Bench:
    """The servers and the folder of a round."""

    redis_url: str
    """``redis://127.0.0.1:port/0``. Redis is empty when a round begins."""
    database_url: str
    """``postgresql+psycopg://…``, for SQLAlchemy. Its table ``orders`` has the orders of the round."""
    folder: Path
    """A temporary folder for modules, configuration and logs. It is empty when a round begins."""
    python: Path
    """The Python that runs the benchmarks."""


class Contender(Protocol):
    """A system that takes part. It keeps no state between rounds."""

    @property
    def name(self) -> str:
        """The name in the tables: ``Huey``, ``this project, one task per order``."""
        ...

    @property
    def version(self) -> str:
        """The version of the package."""
        ...

    @property
    def shape(self) -> Shape:
        """What one job contains."""
        ...

    @property
    def note(self) -> str:
        """The settings used, and the documentation that recommends them."""
        ...

    def fill(self, bench: Bench, orders: int) -> None:
        """Queue jobs for the ids 1 to *orders*, due at once. Nothing runs yet."""
        ...

    def run(self, bench: Bench) -> AbstractContextManager[Sequence[subprocess.Popen[bytes]]]:
        """Start workers for two processes, yield them, and stop them by pid at the end.

        The round finds their children and counts their CPU time through these processes. The workers need not be
        ready when this yields: the clock of a round runs from the first expired order to the last.
        """
        ...
