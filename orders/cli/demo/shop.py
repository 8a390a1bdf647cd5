"""The shop of the demo: its table, its customers, and an audit that owes nothing to the code under it.

The audit is a trigger of the database: it writes a row whenever the state of an order changes, whoever does it.
"""

from __future__ import annotations

from contextlib import closing
from dataclasses import dataclass
from datetime import UTC, datetime, timedelta

import sqlalchemy as sa
from redis import Redis

from orders.cli.demo.plan import Act, Event
from orders.database import create_engine
from orders.expiry import OrderExpiry
from orders.sql import SqlStore

_AUDIT = (
    "CREATE TABLE audit (order_id INTEGER, was TEXT, became TEXT, at TEXT)",
    """
    CREATE TRIGGER audited AFTER UPDATE OF status ON orders BEGIN
        INSERT INTO audit VALUES (new.id, old.status, new.status, strftime('%Y-%m-%d %H:%M:%f', 'now'));
    END
    """,
)
_PLACE = sa.text("INSERT INTO orders (id, status, expires_at) VALUES (:id, 'pending', :expires_at)")
_PAY = sa.text("UPDATE orders SET status = 'paid' WHERE id = :id AND status = 'pending'")
_COUNT = sa.text("SELECT status, count(*) AS number FROM orders GROUP BY status")
_CHANGES = sa.text(
    "SELECT audit.order_id, audit.became, audit.at, orders.expires_at, orders.status"
    " FROM audit JOIN orders ON orders.id = audit.order_id"
)


@dataclass(frozen=True, slots=True)
class Summary:
    """How a demo ended."""

    placed: int
    paid: int
    expired: int
    too_late: int
    """Payments that found their order expired: all is well, the shop tells the customer."""
    expired_although_paid: int
    changed_twice: int
    left_over: int
    """Orders that are neither paid nor expired, and ids that are still scheduled."""
    lateness: list[float]
    """Milliseconds from each expired order's deadline to its expiry, in ascending order."""

    @property
    def is_right(self) -> bool:
        """Whether every order ended as it must."""
        wrong = self.expired_although_paid + self.changed_twice + self.left_over
        all_ended = self.paid + self.expired == self.placed
        none_early = not self.lateness or self.lateness[0] > -1
        return wrong == 0 and all_ended and none_early and len(self.lateness) == self.expired

    def percentile(self, share: float) -> float:
        """Return the lateness that this share of the expired orders did not exceed; 0.0 without any."""
        return self.lateness[min(int(len(self.lateness) * share), len(self.lateness) - 1)] if self.lateness else 0.0


class Shop:
    """The application: it places, extends and takes payments, and calls `orders` as any application would."""

    def __init__(self, expiry: OrderExpiry) -> None:
        self._expiry = expiry
        self._redis = Redis.from_url(expiry.settings.redis_url)
        self._engine = create_engine(expiry.settings.database_url)
        self._accepted: set[int] = set()
        self._refused: set[int] = set()
        with closing(SqlStore(expiry.settings)) as store:
            store.create_table("integer")
        with self._engine.begin() as connection:
            for statement in _AUDIT:
                connection.exec_driver_sql(statement)

    def close(self) -> None:
        """Close the connections."""
        self._redis.close()
        self._engine.dispose()

    def act(self, event: Event) -> None:
        """Do what the plan says."""
        match event.act:
            case Act.PLACE | Act.PLACE_BY_ZADD:
                self._place(event)
            case Act.PAY:
                self._pay(event.order)
            case Act.EXTEND:
                self._expiry.extend(event.order, timeout=event.timeout)

    def counts(self) -> dict[str, int]:
        """Return how many orders are in which state."""
        with self._engine.connect() as connection:
            return {row.status: row.number for row in connection.execute(_COUNT)}

    def sum_up(self) -> Summary:
        """Return what the audit found, and what is left in the schedule."""
        with self._engine.connect() as connection:
            changes = connection.execute(_CHANGES).all()
        counts = self.counts()
        final = {change.order_id: change.status for change in changes}
        scheduled = int(self._expiry.schedule.stats()["scheduled"])
        return Summary(
            placed=sum(counts.values()),
            paid=counts.get("paid", 0),
            expired=counts.get("expired", 0),
            too_late=len(self._refused),
            expired_although_paid=sum(final[order] != "paid" for order in self._accepted),
            changed_twice=len(changes) - len(final),
            left_over=counts.get("pending", 0) + scheduled,
            lateness=sorted(
                _lateness(change.at, change.expires_at) for change in changes if change.became == "expired"
            ),
        )

    def _place(self, event: Event) -> None:
        deadline = datetime.now(UTC) + timedelta(seconds=event.timeout)
        with self._engine.begin() as connection:
            connection.execute(_PLACE, {"id": event.order, "expires_at": f"{deadline:%Y-%m-%d %H:%M:%S.%f}"})
        if event.act is Act.PLACE_BY_ZADD:
            self._redis.zadd(self._expiry.settings.key, {str(event.order): deadline.timestamp()})
        else:
            self._expiry.enqueue(event.order, expires_at=deadline)

    def _pay(self, order: int) -> None:
        with self._engine.begin() as connection:
            accepted = connection.execute(_PAY, {"id": order}).rowcount
        if accepted:
            self._accepted.add(order)
            self._expiry.remove(order)
        else:
            self._refused.add(order)


def _lateness(at: str, expires_at: str) -> float:
    return (datetime.fromisoformat(at) - datetime.fromisoformat(expires_at)).total_seconds() * 1000
