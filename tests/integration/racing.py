"""A process full of rivals: customers who pay, staff who extend and cancel, workers who expire, all the same orders."""

from __future__ import annotations

import json
import random
import time
from collections import Counter
from collections.abc import Callable, Sequence
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass, field
from functools import partial
from multiprocessing.synchronize import Barrier
from pathlib import Path
from typing import Any

import sqlalchemy as sa

from orders.config.settings import Settings
from orders.errors import DeliveryFailed, StoreUnavailable
from orders.events import Event
from orders.hooks import Hooks
from orders.schedule.sorted_set import Schedule
from orders.store.engine import create_engine
from orders.store.outcomes import Payment
from tests.conftest import Adapter, opened

ITEMS = sa.text("SELECT product, sum(units) AS units FROM items WHERE order_id IN :ids GROUP BY product").bindparams(
    sa.bindparam("ids", expanding=True)
)
RELEASE = sa.text("UPDATE stock SET units = units + :units WHERE product = :product")
CANCEL = sa.text("UPDATE orders SET status = 'cancelled' WHERE id = :id AND status = 'pending'")
READY = 60.0
"""Seconds that a process has to start."""
SEE = sa.text("INSERT INTO seen VALUES (:event_id, :order_id, :kind)")


@dataclass
class Account:
    """What one process did, and was told."""

    acts: Counter[str] = field(default_factory=Counter)
    payments: list[tuple[int, str, str, str | None]] = field(default_factory=list)
    """Order, reference, verdict, refund key."""


Rows = list[tuple[Any, ...]]
Query = Callable[..., Rows]
"""Executes a statement in a transaction, and returns the rows."""


def release(query: Query, order_ids: Sequence[Any]) -> None:
    """Give the stock of orders back: products in the order of their keys."""
    for product, units in sorted(query(ITEMS, ids=list(order_ids))):
        query(RELEASE, product=product, units=int(units))


def releasing(adapter: Adapter) -> Callable[[Any, Sequence[Any]], None]:
    """Return the hook that gives stock back."""
    return lambda given, order_ids: release(partial(adapter.rows, given), order_ids)


class Rivals:
    """Threads that do at random, for some seconds, what people and workers do."""

    def __init__(self, settings: Settings, orders: int, seed: int, adapter: Adapter) -> None:
        self._adapter = adapter
        self._hooks = Hooks()
        self._hooks.on_expire(releasing(adapter))
        self._hooks.on_event(self._see)
        self._engine = create_engine(settings.database_url)
        store, schedule = adapter.store(settings, hooks=self._hooks), Schedule.connect(settings)
        self._expiry = adapter.expiry(settings, schedule, store, hooks=self._hooks)
        self._orders = orders
        self._until = 0.0
        self._seed = seed
        self.account = Account()

    def run(self, seconds: float) -> None:
        self._until = time.time() + seconds
        rivals: list[Callable[[random.Random], None]] = [
            self._pay,
            self._pay,
            self._extend_or_cancel,
            self._check,
            self._work,
            self._work,
            self._deliver,
        ]
        with ThreadPoolExecutor(len(rivals)) as pool:
            runs = [self._adapter.tidy(partial(self._go_on, rival, number)) for number, rival in enumerate(rivals)]
            for ended in [pool.submit(run) for run in runs]:
                ended.result()
        self._expiry.close()
        self._engine.dispose()

    def _go_on(self, rival: Callable[[random.Random], None], number: int) -> None:
        chance = random.Random(f"{self._seed}/{number}")
        gives_way: tuple[type[Exception], ...] = (StoreUnavailable, DeliveryFailed, *self._adapter.gives_way)
        while time.time() < self._until:
            try:
                rival(chance)
            # A conflict, in a transaction of the shop's own too, or a lock that took too long: the next turn.
            except gives_way:
                self.account.acts["gave way"] += 1
            self.account.acts[rival.__name__.strip("_")] += 1
            time.sleep(chance.uniform(0, 0.02))  # so that all of them come to their turns

    def _order(self, chance: random.Random) -> int:
        return chance.randint(1, self._orders)

    def _pay(self, chance: random.Random) -> None:
        order = self._order(chance)
        reference = f"ch_{order}_{chance.randint(1, 2)}"  # few, so that callbacks repeat and customers pay twice
        if chance.random() < 0.5:
            self._note(order, reference, self._expiry.pay(order, reference=reference))
            return
        with self._adapter.transaction(self._engine) as joined:
            payment = self._expiry.pay(order, reference=reference, **joined)
        self._note(order, reference, payment)

    def _note(self, order: int, reference: str, payment: Payment) -> None:
        self.account.payments.append((order, reference, payment.verdict.value, payment.refund_key))

    def _extend_or_cancel(self, chance: random.Random) -> None:
        order = self._order(chance)
        if chance.random() < 0.5:
            self._expiry.extend(order, timeout=chance.uniform(0, 1))
            return

        def cancel() -> int:
            with self._engine.begin() as connection:
                cancelled = connection.execute(CANCEL, {"id": order}).rowcount
                if cancelled:
                    release(partial(Adapter().rows, connection), [order])
            return cancelled

        if cancel():
            self._expiry.remove(order)

    def _check(self, chance: random.Random) -> None:
        self._expiry.check(self._order(chance))

    def _work(self, chance: random.Random) -> None:
        claim = self._expiry.schedule.claim(chance.choice([1, 1, 5, 50]))
        ids = [claimed.order_id for claimed in claim.claimed]
        chance.shuffle(ids)
        if ids and chance.random() < 0.9:  # or the worker dies: the lease will end
            self._expiry.expire(ids, claim.lease)

    def _deliver(self, chance: random.Random) -> None:
        if chance.random() < 0.1:  # a worker dies when the handlers have had some events
            for event in self._expiry.store.claim_events(limit=3, lease=self._expiry.settings.lease):
                self._see(event)
            return
        self._expiry.deliver(is_over=lambda: time.time() >= self._until)

    def _see(self, event: Event) -> None:
        seen = {"event_id": event.id, "order_id": event.order_id, "kind": event.kind.value}
        with self._engine.begin() as connection:
            connection.execute(SEE, seen)


def race(
    settings: dict[str, Any], orders: int, seconds: float, begins: Barrier, seed: int, account: str, name: str
) -> None:
    """Run in a process of its own, once all are ready and the shop is open; write down what was done."""
    given = Settings(**settings)
    with opened(name, given) as adapter:
        rivals = Rivals(given, orders, seed, adapter)
        begins.wait(READY)
        begins.wait(READY)
        rivals.run(seconds)
    told = {"acts": rivals.account.acts, "payments": rivals.account.payments}
    Path(account).write_text(json.dumps(told))
