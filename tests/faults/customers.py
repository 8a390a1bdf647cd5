"""Customers who pay at the deadline of their orders, which is when a worker expires them."""

from __future__ import annotations

import time
from collections.abc import Iterable, Sequence
from concurrent.futures import ThreadPoolExecutor

import sqlalchemy as sa

from orders.errors import OrdersError
from tests.faults.deployment import Deployment

THREADS = 8


def half_of_them_pay(deployment: Deployment) -> None:
    """Place 2,000 orders, of which every second is paid while it expires; no payment fails, every order ends once."""
    deployment.beat()
    deployment.worker()
    deployment.ready()
    deployment.place(spread=8.0, due=2.0)
    deployment.breaks()
    assert pay(deployment, range(1, 2001, 2)) == []
    deployment.finish()


def pay(deployment: Deployment, order_ids: Iterable[int]) -> Sequence[OrdersError]:
    """Pay orders, each at its deadline; return the errors. The deployment's audit expects what was accepted."""
    select = sa.text("SELECT id, extract(epoch FROM expires_at)::float8 FROM orders WHERE id = ANY(:ids) ORDER BY 2, 1")
    with deployment.engine.connect() as connection:
        deadlines = connection.execute(select, {"ids": list(order_ids)}).all()

    def pay(order_id: int, deadline: float) -> OrdersError | None:
        time.sleep(max(deadline - time.time(), 0))  # any earlier, nobody would compete
        try:
            if deployment.expiry.pay(str(order_id)).is_accepted:
                deployment.paid.append(order_id)
        except OrdersError as error:
            return error
        return None

    with ThreadPoolExecutor(THREADS) as pool:
        return [error for error in pool.map(pay, *zip(*deadlines, strict=True)) if error]
