"""OpenTelemetry: from the request that enqueued an order to the attempt that expires it, weeks later and elsewhere.

A trace would be torn in two there: messages carry the sweep's context, not the shop's. So, if a span is recorded where
an order is enqueued, its context is kept in Redis until the order leaves the schedule (the key `Keys.traces`), and
the attempt has a *link* to it. Without the extra ``tracing`` (opentelemetry-api), or outside of any recorded span, all
of this does nothing.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from itertools import islice
from typing import TYPE_CHECKING

try:
    from opentelemetry import trace
    from opentelemetry.trace.propagation.tracecontext import TraceContextTextMapPropagator
except ImportError:
    is_installed = False
else:
    is_installed = True

if TYPE_CHECKING:
    from opentelemetry.trace import SpanContext

LINKS = 100
"""Links that the span of one attempt has: it may be for 1,000 orders, and SDKs keep 128."""

_HEADER = "traceparent"


def traceparent() -> str | None:
    """Return the context of the span that is recorded here, in the words of W3C; None if there is none."""
    if not is_installed or not trace.get_current_span().is_recording():
        return None
    carrier: dict[str, str] = {}
    TraceContextTextMapPropagator().inject(carrier)
    return carrier.get(_HEADER)


@contextmanager
def attempt(order_ids: Sequence[str], read: Callable[[Sequence[str]], Sequence[str]]) -> Iterator[SpanContext | None]:
    """Have the attempt at some orders recorded, with links to where they were enqueued; yield its context.

    Args:
        order_ids: the orders.
        read: returns what `traceparent` returned when these orders were enqueued, of those that have any.
    """
    if not is_installed or not trace.get_current_span().is_recording():
        yield None
        return
    contexts = (_context(found) for found in dict.fromkeys(read(order_ids)))
    links = [trace.Link(context) for context in islice(contexts, LINKS) if context.is_valid]
    attributes = {"order_expiry.orders": len(order_ids)}
    tracer = trace.get_tracer("order_expiry")
    with tracer.start_as_current_span("orders.attempt", links=links, attributes=attributes) as span:
        yield span.get_span_context()


def link(context: SpanContext | None) -> None:
    """Have the span that is recorded here point to another."""
    if context is not None:
        trace.get_current_span().add_link(context)


def _context(found: str) -> SpanContext:
    return trace.get_current_span(TraceContextTextMapPropagator().extract({_HEADER: found})).get_span_context()
