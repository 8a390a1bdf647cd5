"""The hooks of the demo's shop. Its workers load them with ``ORDERS_HOOKS=orders.cli.demo.hooks``."""

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
    """Release the stock of the orders, one unit each."""
    session.execute(_RELEASE, {"units": len(order_ids)})


@process.guard
def ask(order_id: str) -> Answer:
    """Ask the gateway whether it has a payment whose callback was lost."""
    with urlopen(f"{os.environ[GATEWAY_URL]}/{order_id}", timeout=2) as response:  # noqa: S310 - the URL of our own gateway
        return Answer.PAID if json.load(response)["paid"] else Answer.UNPAID


@process.on_event
def hear(event: Event) -> None:
    """Record that this event was delivered."""
    with _engine().begin() as connection:
        connection.execute(_HEAR, {"event_id": event.id})


@cache
def _engine() -> sa.Engine:
    return create_engine(process.current().settings.database_url)
