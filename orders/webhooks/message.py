"""What is posted: the body of an event, and the headers with its signatures."""

from __future__ import annotations

import json
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from datetime import datetime
from importlib.metadata import version
from uuid import uuid4

from pydantic import SecretStr
from standardwebhooks import Webhook

from orders import names
from orders.events import Event

USER_AGENT = f"{names.DISTRIBUTION}/{version(names.DISTRIBUTION)}"


@dataclass(frozen=True, slots=True)
class Message:
    """A message to sign and post."""

    id: str
    """The same in each try."""
    body: str

    def headers(self, secrets: Sequence[SecretStr], now: datetime) -> Mapping[str, str]:
        """Return the headers of a try.

        Args:
            secrets: each signs.
            now: the time of the try, in UTC. Receivers reject one that is more than 5 minutes from theirs.
        """
        signatures = [Webhook(secret.get_secret_value()).sign(self.id, now, self.body) for secret in secrets]
        return {
            "content-type": "application/json",
            "user-agent": USER_AGENT,
            "webhook-id": self.id,
            "webhook-timestamp": str(int(now.timestamp())),
            "webhook-signature": " ".join(signatures),
        }


def message_of(event: Event, message_id: str) -> Message:
    """Return the message of an event."""
    return _message(message_id, event.kind.value, event.at, {"order_id": event.order_id, **event.data})


def trial(now: datetime) -> Message:
    """Return a message that tells of no order, to try an endpoint."""
    return _message(f"evt_test_{uuid4().hex}", "test", now, {"order_id": "test"})


def _message(message_id: str, kind: str, at: datetime, data: Mapping[str, object]) -> Message:
    timestamp = at.isoformat().replace("+00:00", "Z")
    body = {"type": f"order.{kind}", "timestamp": timestamp, "data": data}
    return Message(message_id, json.dumps(body, separators=(",", ":")))
