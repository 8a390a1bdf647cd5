"""The shop of the demo: its tables, its customers, and an audit that is independent of the code under test.

The audit is a database trigger. It writes a row whenever the status of an order changes, whoever changes it.
"""

from __future__ import annotations

from collections import Counter
from contextlib import closing
from dataclasses import dataclass
from datetime import UTC, datetime, timedelta

import sqlalchemy as sa

from orders.cli.demo.gateway import Gateway
from orders.cli.demo.plan import Act, Event
from orders.expiry import OrderExpiry
from orders.schedule import client
from orders.store import Payment, PaymentVerdict, SqlStore, create_engine

_TABLES = (
    "CREATE TABLE stock (units INTEGER NOT NULL)",
    "CREATE TABLE heard (event_id INTEGER NOT NULL)",
    "CREATE TABLE audit (order_id INTEGER, was TEXT, became TEXT, at TEXT)",
    """
    CREATE TRIGGER audited AFTER UPDATE OF status ON orders BEGIN
        INSERT INTO audit VALUES (new.id, old.status, new.status, strftime('%Y-%m-%d %H:%M:%f', 'now'));
    END
    """,
)
_PLACE = sa.text("INSERT INTO orders (id, status, expires_at) VALUES (:id, 'pending', :expires_at)")
_STOCK = sa.text("INSERT INTO stock VALUES (:units)")
_TAKE = sa.text("UPDATE stock SET units = units - 1")
_UNITS = sa.text("SELECT units FROM stock")
_EVENTS = sa.text(
    "SELECT count(*) AS written, count(event_id) AS delivered, count(DISTINCT event_id) AS heard"
    " FROM order_events LEFT JOIN heard ON event_id = id WHERE id > 0"
)
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
    accepted: int
    """Accepted payments."""
    duplicate: int
    """Repeated callbacks."""
    too_late: int
    """Payments for expired orders. Each has a refund key."""
    found: int
    """Orders without a callback that the guard found to be paid."""
    missed: int
    """Paid orders without a callback that the guard did not find."""
    stock: tuple[int, int]
    """Units in stock before the first order and after the last."""
    events: tuple[int, int, int]
    """Events written, deliveries, and events delivered at least once."""
    expired_although_paid: int
    changed_twice: int
    left_over: int
    """Orders that are still pending, plus ids that are still scheduled."""
    lateness: list[float]
    """Milliseconds from each expired order's deadline to its expiry, in ascending order."""

    @property
    def is_right(self) -> bool:
        """Whether every order ended in the right state."""
        wrong = self.expired_although_paid + self.changed_twice + self.left_over + self.missed
        all_ended = self.paid + self.expired == self.placed
        none_early = not self.lateness or self.lateness[0] > -1
        balances = self.stock[0] - self.stock[1] == self.paid == self.accepted + self.found
        written, _, heard = self.events
        all_delivered = wrong == 0 and written == heard
        return all_delivered and all_ended and none_early and balances and len(self.lateness) == self.expired

    def percentile(self, share: float) -> float:
        """Return a percentile of the lateness in ms, such as 0.99; 0.0 if no order expired."""
        return self.lateness[min(int(len(self.lateness) * share), len(self.lateness) - 1)] if self.lateness else 0.0


class Shop:
    """The application. It places and extends orders and takes payments, and calls `orders` like any application."""

    def __init__(self, expiry: OrderExpiry, gateway: Gateway, orders: int) -> None:
        self._expiry = expiry
        self._gateway = gateway
        self._units = orders
        self._redis = client(expiry.settings)
        self._engine = create_engine(expiry.settings.database_url)
        self._payments: list[Payment] = []
        with closing(SqlStore(expiry.settings)) as store:
            store.create_table("integer")
            store.create_outbox()
        with self._engine.begin() as connection:
            for statement in _TABLES:
                connection.exec_driver_sql(statement)
            connection.execute(_STOCK, {"units": orders})

    def close(self) -> None:
        """Close the connections."""
        self._redis.close()
        self._engine.dispose()

    def act(self, event: Event) -> None:
        """Carry out one event of the plan."""
        match event.act:
            case Act.PLACE | Act.PLACE_BY_ZADD:
                self._place(event)
            case Act.PAY:
                self._payments.append(self._expiry.pay(event.order, reference=f"payment-{event.order}"))
            case Act.PAY_UNHEARD:
                self._gateway.paid.add(str(event.order))
            case Act.EXTEND:
                self._expiry.extend(event.order, timeout=event.timeout)

    def counts(self) -> dict[str, int]:
        """Return the number of orders by status."""
        with self._engine.connect() as connection:
            return {row.status: row.number for row in connection.execute(_COUNT)}

    def has_delivered_all(self) -> bool:
        """Return whether all events have been delivered."""
        with self._engine.connect() as connection:
            written, _, heard = connection.execute(_EVENTS).one()
        return bool(written == heard)

    def sum_up(self) -> Summary:
        """Return the results of the audit."""
        with self._engine.connect() as connection:
            changes = connection.execute(_CHANGES).all()
            units = connection.execute(_UNITS).scalar_one()
            events = connection.execute(_EVENTS).one()
        counts = self.counts()
        final = {str(change.order_id): change.status for change in changes}
        found = sum(final.get(order) == "paid" for order in self._gateway.paid)
        verdicts = Counter(payment.verdict for payment in self._payments)
        return Summary(
            placed=sum(counts.values()),
            paid=counts.get("paid", 0),
            expired=counts.get("expired", 0),
            accepted=verdicts[PaymentVerdict.ACCEPTED],
            duplicate=verdicts[PaymentVerdict.DUPLICATE],
            too_late=sum(payment.refund_key is not None for payment in self._payments),
            found=found,
            missed=len(self._gateway.paid) - found,
            stock=(self._units, units),
            events=(events.written, events.delivered, events.heard),
            expired_although_paid=sum(
                final.get(payment.order_id) != "paid" for payment in self._payments if payment.is_accepted
            ),
            changed_twice=len(changes) - len(final),
            left_over=counts.get("pending", 0) + int(self._expiry.schedule.stats()["scheduled"]),
            lateness=sorted(
                _lateness(change.at, change.expires_at) for change in changes if change.became == "expired"
            ),
        )

    def _place(self, event: Event) -> None:
        deadline = datetime.now(UTC) + timedelta(seconds=event.timeout)
        with self._engine.begin() as connection:
            connection.execute(_TAKE)
            connection.execute(_PLACE, {"id": event.order, "expires_at": f"{deadline:%Y-%m-%d %H:%M:%S.%f}"})
        if event.act is Act.PLACE_BY_ZADD:
            self._redis.zadd(self._expiry.settings.key, {str(event.order): deadline.timestamp()})
        else:
            self._expiry.enqueue(event.order, expires_at=deadline)


def _lateness(at: str, expires_at: str) -> float:
    return (datetime.fromisoformat(at) - datetime.fromisoformat(expires_at)).total_seconds() * 1000
