"""The hooks of the demo's shop, which its workers find by ``ORDERS_HOOKS=orders.cli.demo.hooks``."""

from __future__ import annotations

import json
import os
from collections.abc import Sequence
from functools import cache
from typing import Any
from urllib.request import urlopen

import sqlalchemy as sa
from sqlalchemy.orm import Session

from orders import process
from orders.cli.demo.gateway import GATEWAY_URL
from orders.events import Event
from orders.hooks import Answer
from orders.store import create_engine

_RELEASE = sa.text("UPDATE stock SET units = units + :units")
_HEAR = sa.text("INSERT INTO heard (event_id) VALUES (:event_id)")


@process.on_expire
def release(session: Session, order_ids: Sequence[Any]) -> None:
    """Give back what the orders held: one unit each."""
    session.execute(_RELEASE, {"units": len(order_ids)})


@process.guard
def ask(order_id: str) -> Answer:
    """Ask the gateway whether it has a payment of which we have not heard."""
    with urlopen(f"{os.environ[GATEWAY_URL]}/{order_id}", timeout=2) as response:  # noqa: S310 - our own
        return Answer.PAID if json.load(response)["paid"] else Answer.UNPAID


@process.on_event
def hear(event: Event) -> None:
    """Write down that this event was delivered."""
    with _engine().begin() as connection:
        connection.execute(_HEAR, {"event_id": event.id})


@cache
def _engine() -> sa.Engine:
    return create_engine(process.current().settings.database_url)
