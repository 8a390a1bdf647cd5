"""What a release left behind (see `tests.upgrade.record`), put back as if it had been a moment ago.

All its times are moved by the same whole number of seconds: deadlines and times in rows, scores, leases in the sorted
set, in messages and in `{orders}:leases`, the `eta` and `expires` of messages, the times in failures, dead letters and
counters. A lease keeps its microseconds, and so remains the token that it was.
"""

from __future__ import annotations

import json
import time
from base64 import b64encode
from collections.abc import Iterator
from copy import deepcopy
from dataclasses import dataclass
from datetime import UTC, datetime, timedelta
from functools import cached_property
from pathlib import Path
from typing import Any
from uuid import uuid4

import sqlalchemy as sa
from redis import Redis

from tests.upgrade.record import SOON

AHEAD = 4.0
"""Seconds until the deadline of ``soon`` when the next release begins: it is to see it before."""

MOMENTS = {"at", "retry_at", "buried_at", "swept_at"}
"""What is called so is an instant, in Unix seconds."""


@dataclass(frozen=True)
class Release:
    """One recording."""

    name: str

    @cached_property
    def left(self) -> dict[str, Any]:
        recorded: dict[str, Any] = json.loads((Path(__file__).parent / f"{self.name}.json").read_text())
        return recorded

    @cached_property
    def shift(self) -> int:
        """Seconds from the recording until now."""
        recorded_at: float = self.left["recorded_at"]
        return round(time.time() + AHEAD - SOON - recorded_at)

    def restore(self, redis: Redis, engine: sa.Engine) -> None:
        """Put everything back, in a Redis and a database that are empty."""
        for name, (held,) in ((name, key.items()) for name, key in self.left["redis"].items()):
            kind, value = held
            if kind == "zset":
                redis.zadd(name, {self._member(name, each): f"{self._later(at):.6f}" for each, at in value.items()})
            elif kind == "hash":
                redis.hset(name, mapping={field: self._field(field, text) for field, text in value.items()})
            elif kind == "set":
                redis.sadd(name, *value)
            else:
                redis.rpush(name, *map(self.message, value))
        with engine.begin() as connection:
            for statement in self.left["statements"]:
                connection.exec_driver_sql(statement)
            for name, rows in self.left["tables"].items():
                self._insert(connection, name, rows)

    def resend(self, redis: Redis) -> None:
        """Send what its beat sends, once more: in a rolling upgrade it goes on."""
        for queue in ("orders.sweep", "orders.events"):
            for message in self.left["redis"].get(queue, {"list": []})["list"]:
                again = deepcopy(message)
                again["headers"]["id"] = again["properties"]["correlation_id"] = str(uuid4())
                redis.lpush(queue, self.message(again))

    def message(self, recorded: dict[str, Any]) -> str:
        """Return a message as the broker has it."""
        message = deepcopy(recorded)
        if "lease" in message["body"][1]:
            message["body"][1]["lease"] = self._later(message["body"][1]["lease"])
        for name in ("eta", "expires"):
            if message["headers"][name]:
                message["headers"][name] = self._moment(message["headers"][name]).isoformat()
        message["body"] = b64encode(json.dumps(message["body"]).encode()).decode()
        return json.dumps(message)

    def messages(self) -> Iterator[dict[str, Any]]:
        """Yield the messages for orders, as recorded."""
        yield from self.left["redis"]["orders.expire"]["list"]

    def deadline(self, order_id: str) -> float:
        """Return the deadline of an order's row, in Unix seconds."""
        [row] = [row for row in self.left["tables"]["orders"] if row["id"] == order_id]
        moment = self._moment(row["expires_at"])
        return (moment if moment.tzinfo else moment.replace(tzinfo=UTC)).timestamp()

    def _insert(self, connection: sa.Connection, name: str, rows: list[dict[str, Any]]) -> None:
        table = sa.Table(name, sa.MetaData(), autoload_with=connection)
        moments = {column.name for column in table.columns if isinstance(column.type, sa.DateTime)}
        given = [
            {key: self._moment(value) if value and key in moments else value for key, value in row.items()}
            for row in rows
        ]
        if given:
            connection.execute(sa.insert(table), given)
        if given and name == "order_events" and connection.dialect.name == "postgresql":
            connection.exec_driver_sql("SELECT setval('order_events_id_seq', max(id)) FROM order_events")

    def _later(self, moment: float) -> float:
        return round(moment + self.shift, 6)

    def _moment(self, text: str) -> datetime:
        return datetime.fromisoformat(text) + timedelta(seconds=self.shift)

    def _member(self, key: str, member: str) -> str:
        return f"{self._later(float(member)):.6f}" if key.endswith(":leases") else member

    def _field(self, field: str, text: str) -> str:
        if field in MOMENTS:
            return f"{self._later(float(text)):.6f}"
        if not text.startswith("{"):
            return text
        told = json.loads(text)
        return json.dumps({name: self._later(value) if name in MOMENTS else value for name, value in told.items()})
