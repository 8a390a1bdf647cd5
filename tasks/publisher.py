"""How a sweep sends ``orders.expire``: a Celery message for each dispatch, many in one command."""

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

NAME = "orders.expire"

_LISTENED = (signals.before_task_publish, signals.after_task_publish, signals.task_sent)
_OF_CLAIM = attrgetter("lease", "expires", "shard")
_VARYING = {name: f"\0{name}\0" for name in ("id", "eta", "argsrepr", "body")}
"""Stands in the envelope of a claim for what differs from message to message."""


class CeleryPublisher:
    """Sends dispatches as ``orders.expire`` tasks over one connection."""

    def __init__(self, app: Celery, producer: Any) -> None:
        self._app = app
        self._producer = producer
        self._queue = app.amqp.queues[NAME]

    def backlog(self) -> int:
        """Return how many messages wait in the queue: every broker tells when the queue is declared again."""
        declared = self._queue.bind(self._producer.channel).queue_declare()
        return int(declared.message_count)

    def publish(self, dispatches: Sequence[Dispatch]) -> None:
        """Send messages: to a Redis in one command, to other brokers, and if somebody listens, as Celery does."""
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
                )  # (`backlog` has declared the queue)

    def _is_plain(self) -> bool:
        """Tell whether nobody adds to a message what `_envelope` does not know, and its queue is a list."""
        conf = self._app.conf
        return (
            isinstance(self._producer.channel, redis.Channel)
            and self._queue.exchange.type == "direct"
            and (conf.task_serializer, conf.task_compression, conf.task_protocol) == ("json", None, 2)
            and not conf.task_send_sent_event
            and not any(signal.receivers for signal in _LISTENED)
        )

    def _texts(self, dispatches: Sequence[Dispatch]) -> Iterator[str]:
        """Yield messages as a Redis has them: what those of a claim have in common is made once."""
        for _, group in groupby(dispatches, _OF_CLAIM):
            of_claim = list(group)
            envelope, rest = self._envelope(of_claim[0])
            for each in of_claim:
                body = f"[{json.dumps(each.order_ids)}, {rest}]"
                yield envelope % {
                    "id": json.dumps(uuid()),
                    "eta": json.dumps(each.eta and each.eta.isoformat()),
                    "argsrepr": json.dumps(repr(each.order_ids)),
                    "body": json.dumps(b64encode(body.encode()).decode()),
                }

    def _envelope(self, of_claim: Dispatch) -> tuple[str, str]:
        """Return a message, for ``%`` to complete, and the rest of its body: as kombu's virtual transports have them.

        A test compares it with what they make.
        """
        marks = _VARYING
        headers, properties, body, _ = self._message(of_claim, marks["id"], (), marks["eta"], marks["argsrepr"])
        properties |= {
            "delivery_mode": 2,
            "delivery_info": {"exchange": "", "routing_key": self._queue.name},
            "priority": 0,
            "expiration": str(int(_seconds_until(of_claim.expires) * 1000)),
            "body_encoding": "base64",
            "delivery_tag": marks["id"],
        }
        kind = {"content-encoding": "utf-8", "content-type": "application/json"}
        text = json.dumps({"body": marks["body"], **kind, "headers": headers, "properties": properties})
        text = text.replace("%", "%%")
        for name, mark in marks.items():
            text = text.replace(json.dumps(mark), f"%({name})s")
        return text, ", ".join(map(json.dumps, body[1:]))

    def _message(self, of_claim: Dispatch, task_id: str, order_ids: Sequence[str], eta: Any, argsrepr: str) -> Any:
        """Return a message of Celery's protocol 2: headers, properties and body."""
        held = {"lease": of_claim.lease}
        if of_claim.shard is not None:  # who knows of no shards is sent none
            held["shard"] = of_claim.shard
        parent = self._app.current_worker_task
        return self._app.amqp.as_task_v2(
            task_id,
            NAME,
            order_ids,
            held,
            eta=eta,
            expires=of_claim.expires,
            ignore_result=True,
            argsrepr=argsrepr,  # all of them: Flower searches in it
            kwargsrepr=repr(held),
            **({"root_id": parent.request.root_id, "parent_id": parent.request.id} if parent else {}),
        )


def _seconds_until(moment: datetime) -> float:
    return max((moment - datetime.now(UTC)).total_seconds(), 0.0)
