"""The endpoints of webhooks, as an operator sees them: how each one is, and a test event to try it."""

from __future__ import annotations

import time
from collections.abc import Sequence
from dataclasses import dataclass
from datetime import datetime, timedelta

from orders.clock import SystemClock
from orders.config import Endpoint, Settings
from orders.errors import ConfigError
from orders.expiry import OrderExpiry, webhook_tools
from orders.operate.wording import counted
from orders.store import Progress

NO_WEBHOOKS = "no webhooks: ORDERS_WEBHOOK_URL is not set"


@dataclass(frozen=True, slots=True)
class EndpointState:
    """An endpoint, and what became of the events for it."""

    name: str
    origin: str | None
    """Its URL without the path, which may be secret; None if it is no longer in ``ORDERS_WEBHOOK_URL``."""
    progress: Progress | None
    """None until the next ``orders.deliver`` makes it known."""

    @property
    def state(self) -> str:
        """Whether it gets events."""
        if self.progress is None:
            return "the next orders.deliver makes it known"
        if self.progress.is_gone:
            return "gone, gets nothing until a replay"
        if self.progress.rests:
            return f"rests for {self.progress.rests:,.0f} s"
        return "ok"

    @property
    def trouble(self) -> str | None:
        """Why it needs an operator; None if it does not, or cannot be replayed because it is no longer set."""
        if self.origin is None or self.progress is None:
            return None
        if self.progress.is_gone:
            return f"{self.name} is gone and gets nothing"
        return f"{self.name} has {counted(self.progress.dead, 'dead letter')}" if self.progress.dead else None

    def waiting_since(self, now: datetime) -> datetime | None:
        """Return since when its oldest waiting event has been waiting; None if none is."""
        if self.progress is None or not self.progress.waiting:
            return None
        return now - timedelta(seconds=self.progress.oldest)


@dataclass(frozen=True, slots=True)
class Trial:
    """What became of a test event."""

    message_id: str
    is_success: bool
    answer: str
    """The status and the beginning of the answer, or why there was none."""
    seconds: float
    """How long the answer took."""

    @property
    def details(self) -> str:
        """How long it took and what to look for in the receiver's log."""
        return f"{self.seconds * 1000:,.0f} ms, webhook-id {self.message_id}"


def endpoints_named(settings: Settings, name: str | None = None) -> Sequence[Endpoint]:
    """Return the endpoint with a name, or all.

    Raises:
        ConfigError: there is none.
    """
    endpoints = [each for each in settings.webhooks if name is None or each.name == name]
    if not endpoints:
        known = ", ".join(each.name for each in settings.webhooks) or "none"
        unknown = f"no endpoint {name!r}: those in ORDERS_WEBHOOK_URL are {known}"
        raise ConfigError(NO_WEBHOOKS if name is None else unknown)
    return endpoints


def endpoint_states(expiry: OrderExpiry) -> Sequence[EndpointState]:
    """Return the endpoints in ``ORDERS_WEBHOOK_URL`` and those that the table knows, by name.

    Raises:
        StoreError: the database failed.
    """
    origins = {each.name: each.origin for each in expiry.settings.webhooks}
    found = {each.endpoint: each for each in expiry.store.deliveries.progress()}
    return [EndpointState(name, origins.get(name), found.get(name)) for name in sorted({*origins, *found})]


def post_trial(endpoint: Endpoint, settings: Settings) -> Trial:
    """Post a signed event ``order.test`` now, once, and return what became of it.

    Raises:
        ConfigError: the extra ``webhooks`` is not installed.
    """
    tools, clock = webhook_tools(), SystemClock()
    message, started_at = tools.trial(clock.now()), time.monotonic()
    with tools.Sender(endpoint, settings, clock=clock) as sender:
        response = sender.send(message)
    return Trial(message.id, response.is_success, response.error, time.monotonic() - started_at)
