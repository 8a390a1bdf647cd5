"""The protocol `Deliveries`, and its words: an event for an endpoint is a delivery."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from datetime import datetime
from typing import Protocol

from orders.events import Event


@dataclass(frozen=True, slots=True)
class Delivery:
    """An event that is to be posted to an endpoint."""

    event: Event
    message_id: str
    """The same in each try, for each endpoint and for no other event, so that receivers can recognise duplicates."""
    refusals: int
    """How many tries have failed."""


@dataclass(frozen=True, slots=True)
class Unsent:
    """A delivery that was not made, and what happens to it."""

    event_id: int
    seconds: float | None
    """The wait until the next try; None if it becomes a dead letter."""
    error: str | None = None
    """Why the try has failed; None if there was none."""


@dataclass(frozen=True, slots=True)
class Rest:
    """An endpoint gets nothing for a while, or until an operator replays something."""

    seconds: Callable[[int], float] | None
    """Returns the seconds from how often in a row it had to rest; None for ever."""
    error: str


@dataclass(frozen=True, slots=True)
class Progress:
    """What became of the events for an endpoint."""

    endpoint: str
    waiting: int
    dead: int
    oldest: float
    """For how many seconds the oldest waiting event has been waiting; 0 if none is."""
    error: str | None
    """Why the endpoint rests or, if it does not, the last failure of what is waiting or dead."""
    rests: float
    """For how many more seconds it gets nothing."""
    is_gone: bool
    """Whether it answered 410 Gone, and gets nothing any more."""


class Deliveries(Protocol):
    """The progress of each endpoint. Each method is one transaction."""

    def fan_out(self, endpoint: str, *, look_back: float, limit: int) -> int:
        """Add deliveries of new events for an endpoint; return how many. An unknown endpoint gets events from now on.

        Args:
            endpoint: its name.
            look_back: how many seconds before the last call an event may have been written that was not visible then,
                because its transaction was still open.
            limit: the most to add.

        Raises:
            SchemaError: there is no table.
        """
        ...

    def claim(self, endpoint: str, *, limit: int, lease: float) -> Sequence[Delivery]:
        """Lease the first waiting delivery of at most *limit* orders, for *lease* seconds; none while it rests."""
        ...

    def settle(self, endpoint: str, delivered: Sequence[int], unsent: Sequence[Unsent], rest: Rest | None) -> None:
        """Mark deliveries as made and, in another transaction, release the others and have the endpoint rest.

        Args:
            endpoint: its name.
            delivered: the ids of events.
            unsent: the other claimed deliveries.
            rest: why the endpoint rests from now on; None if it does not.
        """
        ...

    def progress(self) -> Sequence[Progress]:
        """Return the progress of all endpoints that the table knows, by name; none without a table."""
        ...

    def delivered(self) -> dict[str, int]:
        """Return how many deliveries of each endpoint were made, as far as their events are kept. Reads the table."""
        ...

    def replay(
        self, endpoint: str, *, since: datetime | None = None, event_id: int | None = None, dead: bool = False
    ) -> int:
        """Have an endpoint get events again, and end its rest; return how many.

        Args:
            endpoint: its name.
            since: those that were written since then.
            event_id: this one.
            dead: its dead letters.
        """
        ...

    def exist(self) -> bool:
        """Return whether there is a table."""
        ...
