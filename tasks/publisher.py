"""Send ``orders.expire``: one Celery message per dispatch, and many messages per Redis command."""

from __future__ import annotations

import json
from base64 import b64encode
from collections.abc import Iterator, Sequence
from contextlib import nullcontext
from datetime import UTC, datetime
from itertools import groupby
from operator import attrgetter
from typing import Any

from celery import Celery, signals
from kombu.transport import redis
from kombu.utils.uuid import uuid

from orders.expiry import Dispatch
from tasks.broker import waiting

NAME = "orders.expire"

_SIGNALS = (signals.before_task_publish, signals.after_task_publish, signals.task_sent)
_CLAIM = attrgetter("lease", "expires", "shard")
_PLACEHOLDERS = {name: f"\0{name}\0" for name in ("id", "eta", "argsrepr", "body")}
"""Placeholders for the fields that differ between the messages of one claim."""


class CeleryPublisher:
    """Sends dispatches as ``orders.expire`` tasks over one connection."""

    def __init__(self, app: Celery, producer: Any) -> None:
        self._app = app
        self._producer = producer
        self._queue = app.amqp.router.route({}, NAME)["queue"]

    def backlog(self) -> int:
        """Return how many messages are in the queue."""
        return waiting(self._queue, self._producer.channel)

    def publish(self, dispatches: Sequence[Dispatch]) -> None:
        """Send messages: to Redis in one command; to other brokers, or with receivers of signals, through Celery."""
        if self._is_plain():
            with self._producer.channel.conn_or_acquire() as client:
                client.lpush(self._queue.name, *self._texts(dispatches))
            return
        with getattr(self._producer, "batch", nullcontext)():
            for each in dispatches:
                message = self._message(each, uuid(), each.order_ids, each.eta, repr(each.order_ids))
                expiration = _seconds_until(each.expires)
                self._app.amqp.send_task_message(
                    self._producer, NAME, message, queue=self._queue, declare=[], expiration=expiration, retry=False
                )  # `backlog` has declared the queue

    def _is_plain(self) -> bool:
        """Return whether the queue is a Redis list, and no setting or signal changes messages."""
        conf = self._app.conf
        return (
            isinstance(self._producer.channel, redis.Channel)
            and self._queue.exchange.type == "direct"
            and (conf.task_serializer, conf.task_compression, conf.task_protocol) == ("json", None, 2)
            and not conf.task_send_sent_event
            and not any(signal.receivers for signal in _SIGNALS)
        )

    def _texts(self, dispatches: Sequence[Dispatch]) -> Iterator[str]:
        """Yield messages as kombu stores them in Redis. The envelope is built once per claim."""
        for _, group in groupby(dispatches, _CLAIM):
            claim = list(group)
            envelope, rest = self._envelope(claim[0])
            for each in claim:
                body = f"[{json.dumps(each.order_ids)}, {rest}]"
                yield envelope % {
                    "id": json.dumps(uuid()),
                    "eta": json.dumps(each.eta and each.eta.isoformat()),
                    "argsrepr": json.dumps(repr(each.order_ids)),
                    "body": json.dumps(b64encode(body.encode()).decode()),
                }

    def _envelope(self, dispatch: Dispatch) -> tuple[str, str]:
        """Return a ``%`` template of the messages of a claim, and the end of their bodies.

        They have the form of kombu's virtual transports. A test compares them with what kombu builds.
        """
        marks = _PLACEHOLDERS
        headers, properties, body, _ = self._message(dispatch, marks["id"], (), marks["eta"], marks["argsrepr"])
        properties |= {
            "delivery_mode": 2,
            "delivery_info": {"exchange": "", "routing_key": self._queue.name},
            "priority": 0,
            "expiration": str(int(_seconds_until(dispatch.expires) * 1000)),
            "body_encoding": "base64",
            "delivery_tag": marks["id"],
        }
        kind = {"content-encoding": "utf-8", "content-type": "application/json"}
        text = json.dumps({"body": marks["body"], **kind, "headers": headers, "properties": properties})
        text = text.replace("%", "%%")
        for name, mark in marks.items():
            text = text.replace(json.dumps(mark), f"%({name})s")
        return text, ", ".join(map(json.dumps, body[1:]))

    def _message(self, dispatch: Dispatch, task_id: str, order_ids: Sequence[str], eta: Any, argsrepr: str) -> Any:
        """Return a message of Celery's protocol 2: headers, properties and body."""
        kwargs = {"lease": dispatch.lease}
        if dispatch.shard is not None:  # workers of releases without shards do not accept the argument
            kwargs["shard"] = dispatch.shard
        task = self._app.current_worker_task
        sweep = task.request if task else None
        return self._app.amqp.as_task_v2(
            task_id,
            NAME,
            order_ids,
            kwargs,
            eta=eta,
            expires=dispatch.expires,
            ignore_result=True,
            argsrepr=argsrepr,  # not shortened, because Flower searches it
            kwargsrepr=repr(kwargs),
            **({"root_id": sweep.root_id or sweep.id, "parent_id": sweep.id} if sweep else {}),
        )


def _seconds_until(time: datetime) -> float:
    return max((time - datetime.now(UTC)).total_seconds(), 0.0)
