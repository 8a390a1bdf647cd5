"""OpenTelemetry: links from the attempt that expires an order to the request that enqueued it, perhaps weeks earlier.

Celery messages carry the trace context of the sweep, not of the shop. So if a span is recording when an order is
enqueued, its context is kept in Redis (the key `Keys.traces`) until the order leaves the schedule, and the span of the
attempt gets a *link* to it. Without the extra ``tracing`` (opentelemetry-api), or outside a recording span, this module
does nothing.
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
"""The maximum number of links of an attempt's span: an attempt may have 1,000 orders, but SDKs keep 128 links."""

_HEADER = "traceparent"


def traceparent() -> str | None:
    """Return the W3C ``traceparent`` of the current span, or None if no span is recording."""
    if not is_installed or not trace.get_current_span().is_recording():
        return None
    carrier: dict[str, str] = {}
    TraceContextTextMapPropagator().inject(carrier)
    return carrier.get(_HEADER)


@contextmanager
def attempt(order_ids: Sequence[str], read: Callable[[Sequence[str]], Sequence[str]]) -> Iterator[SpanContext | None]:
    """Record a span for an attempt, with links to the spans that enqueued its orders; yield the span's context.

    Args:
        order_ids: the orders of the attempt.
        read: returns the stored `traceparent` of each of these orders that has one.
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
    """Add a link from the current span to another span."""
    if context is not None:
        trace.get_current_span().add_link(context)


def _context(found: str) -> SpanContext:
    return trace.get_current_span(TraceContextTextMapPropagator().extract({_HEADER: found})).get_span_context()
