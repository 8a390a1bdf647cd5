"""The deadline of an order: as given, by the shop's rule, or by default."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from datetime import datetime, timedelta
from functools import partial
from typing import TYPE_CHECKING, Any

from orders.arguments import check_type
from orders.clock import Clock, resolve_deadline
from orders.errors import InvalidDeadline
from orders.hooks import Hooks, call_hook

if TYPE_CHECKING:
    from orders.config import Settings


def decide_deadline(
    order_id: str,
    given: tuple[datetime | None, float | timedelta | None],
    context: Mapping[str, Any] | None,
    *,
    hooks: Hooks,
    clock: Clock,
    settings: Settings,
) -> datetime:
    """Return the deadline of an order, in UTC; see `orders.deadline`.

    Args:
        order_id: the order's id.
        given: the deadline and the timeout that the caller gave.
        context: for the shop's rule.
        hooks: the shop's hooks.
        clock: the clock from whose time timeouts count.
        settings: the settings.
    """
    check_type("context", context, Mapping | None)
    expires_at, timeout = given
    resolve: Callable[..., datetime] = partial(resolve_deadline, clock, default=settings.timeout)
    if expires_at is not None or timeout is not None or hooks.rule is None:
        return resolve(expires_at=expires_at, timeout=timeout)
    ruled = call_hook(hooks.rule, order_id, context or {})
    try:
        if isinstance(ruled, datetime):
            return resolve(expires_at=ruled, timeout=None)
        return resolve(expires_at=None, timeout=ruled)
    except InvalidDeadline as error:
        raise InvalidDeadline(f"the deadline rule of the shop returned {ruled!r}: {error}") from error
