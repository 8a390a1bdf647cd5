"""Metrics for Prometheus: the counters in Redis, and gauges of Redis, the database and the broker.

This needs the extra ``metrics`` (prometheus-client). The scripts count in Redis (`orders.schedule.counters`), not in
processes, so workers may start and stop at any time.
"""

from __future__ import annotations

import logging
import time
from collections.abc import Callable, Iterable, Iterator, Mapping
from concurrent.futures import Future
from concurrent.futures import TimeoutError as FutureTimeoutError
from dataclasses import dataclass
from itertools import accumulate
from queue import SimpleQueue
from threading import Lock, Thread
from typing import Literal, TypeAlias

from prometheus_client.core import CounterMetricFamily, GaugeMetricFamily, HistogramMetricFamily, Metric
from prometheus_client.registry import Collector

from orders.config import QUEUES, is_ours, mask
from orders.expiry import OrderExpiry
from orders.logs import about
from orders.operate.lists import Where
from orders.operate.operations import Operations
from orders.schedule import ANSWERS, BOUNDS, BUCKETS, CLOSED, EXPIRED, LATENESS_SUM, MISSING, REMINDED, client

logger = logging.getLogger(__name__)

PREFIX = "order_expiry_"
"""Prefix of the names of all metrics."""

LIMIT = 3.0
"""Seconds that a scrape waits for a server. The default timeout of Prometheus itself is 10."""


@dataclass(frozen=True, slots=True)
class MetricInfo:
    """The name, type and description of a metric."""

    name: str
    """Without `PREFIX` and, for a counter, without ``_total``."""
    kind: Literal["gauge", "counter", "histogram"]
    description: str
    label: str | None = None

    @property
    def full_name(self) -> str:
        """The name in PromQL; for a histogram, the name of its family."""
        return f"{PREFIX}{self.name}{'_total' if self.kind == 'counter' else ''}"


UP = MetricInfo("up", "gauge", "Whether the server answered this scrape", "store")
BEAT_SILENT = MetricInfo(
    "beat_silent", "gauge", "1 if a worker sent the last run of a task because beat did not", "task"
)
BACKLOG = MetricInfo("backlog", "gauge", "Messages waiting in a queue of the broker", "queue")
OVERDUE = MetricInfo(
    "oldest_overdue_seconds", "gauge", "How long the oldest row that may expire has been due; 0 if none is"
)
KEPT = MetricInfo("kept", "gauge", "Rows that are pending and due, but kept by the shop's condition")
SINCE_SWEEP = MetricInfo("seconds_since_sweep", "gauge", "Seconds since the last sweep; with shards, the longest")
PAUSED = MetricInfo("paused", "gauge", "Whether the schedule, or a part of it, is paused: 1 or 0")
WEBHOOKS = {
    "waiting": MetricInfo("webhooks_waiting", "gauge", "Events that wait to be posted to an endpoint", "endpoint"),
    "dead": MetricInfo("webhooks_dead", "gauge", "Events that an endpoint did not accept for days", "endpoint"),
    "oldest": MetricInfo(
        "webhooks_oldest_seconds", "gauge", "How long the oldest event has waited for an endpoint", "endpoint"
    ),
    "is_gone": MetricInfo("webhooks_gone", "gauge", "1 if an endpoint answered 410 Gone and gets nothing", "endpoint"),
}
STANDING = {
    Where.PENDING: MetricInfo("pending", "gauge", "Scheduled orders that are not due yet"),
    Where.DUE: MetricInfo("due", "gauge", "Scheduled orders that are due, or whose reminder is, and not yet claimed"),
    Where.LEASED: MetricInfo("leased", "gauge", "Orders that a sweep has claimed and no worker has settled yet"),
    Where.DEAD: MetricInfo("dead", "gauge", "Dead letters: orders that could not be expired and wait for an operator"),
}
COUNTED = {
    EXPIRED: MetricInfo("expired", "counter", "Orders that workers expired"),
    CLOSED: MetricInfo("closed", "counter", "Orders that workers found paid, cancelled or expired, or marked as paid"),
    REMINDED: MetricInfo("reminded", "counter", "Reminders that workers recorded (ORDERS_REMIND)"),
    MISSING: MetricInfo("missing", "counter", "Orders that workers settled because their rows were deleted"),
    "retried": MetricInfo("retried", "counter", "Failed attempts after which an order was rescheduled"),
    "buried": MetricInfo("buried", "counter", "Orders that became dead letters"),
    "reconciled": MetricInfo("reconciled", "counter", "Pending orders that reconcile added to the schedule"),
    "braked": MetricInfo("braked", "counter", "Pauses by the brake, with shards of each one"),
    "rescued": MetricInfo("rescued", "counter", "Tasks that workers sent because beat did not"),
    "stalled": MetricInfo("stalled", "counter", "Times that a worker got no messages and made a new consumer"),
}
GUARD = MetricInfo("guard_answers", "counter", "Answers of the guard", "answer")
LATENESS = MetricInfo("lateness_seconds", "histogram", "How long orders had been due when workers expired them")

METRICS = (
    UP,
    *STANDING.values(),
    OVERDUE,
    KEPT,
    SINCE_SWEEP,
    BEAT_SILENT,
    PAUSED,
    BACKLOG,
    *WEBHOOKS.values(),
    *COUNTED.values(),
    GUARD,
    LATENESS,
)
"""All metrics, in the order of docs/reference/metrics.md."""

Read: TypeAlias = Callable[[], list[Metric]]


class OrdersCollector(Collector):
    """Reads the metrics at each scrape. If a server is down, only its own metrics are missing.

    Args:
        expiry: the use cases, as `orders.current` returns them.
        limit: seconds that a scrape waits for a server.
    """

    def __init__(self, expiry: OrderExpiry, *, limit: float = LIMIT) -> None:
        self._operations = Operations(expiry)
        self._schedule = expiry.schedule
        self._store = expiry.store
        self._limit = limit
        self._lock = Lock()
        self._sources = {"redis": _Source(self._redis), "database": _Source(self._database)}
        settings = expiry.settings
        self._endpoints = {endpoint.name for endpoint in settings.webhooks}
        if is_ours(settings.broker_url):
            self._queues = settings.queues
            self._broker = client(settings.model_copy(update={"redis_url": settings.broker_url}))
            self._sources["broker"] = _Source(self._backlog)

    def describe(self) -> Iterable[Metric]:
        """Return nothing, so that registering this collector reads nothing."""
        return []

    def collect(self) -> Iterator[Metric]:
        """Yield the metrics of the servers that answer in time, and `UP` for all."""
        up = _gauge(UP)
        with self._lock:
            give_up = time.monotonic() + self._limit
            for source in self._sources.values():
                source.ask()
            found = {name: source.answer(give_up) for name, source in self._sources.items()}
        for name, metrics in found.items():
            up.add_metric([name], float(not isinstance(metrics, Exception)))
            if isinstance(metrics, Exception):
                why = mask(str(metrics)) or f"no answer within {self._limit:g} s"
                logger.warning(
                    "no metrics of the %s: %s", name, why, extra=about("not_scraped", server=name, error=why)
                )
            else:
                yield from metrics
        yield up

    def _redis(self) -> list[Metric]:
        overview = self._operations.overview()
        counters = overview.counters
        gauges = [_gauge(info, overview.counts[where]) for where, info in STANDING.items()]
        gauges.append(_gauge(PAUSED, float(overview.is_paused)))
        if overview.swept_ago is not None:
            gauges.append(_gauge(SINCE_SWEEP, overview.swept_ago))
        counted = [_counter(info, counters.get(name, 0)) for name, info in COUNTED.items()]
        answers = _counter(GUARD)
        for answer, name in ANSWERS.items():
            answers.add_metric([answer], counters.get(name, 0))
        silent, rescued = _gauge(BEAT_SILENT), self._schedule.rescued()
        for task in self._schedule.runs():
            silent.add_metric([task], float(task in rescued))
        return [*gauges, silent, *counted, answers, _lateness(counters)]

    def _database(self) -> list[Metric]:
        overdue = max(self._store.oldest_overdue() or 0.0, 0.0)
        return [_gauge(OVERDUE, overdue), _gauge(KEPT, self._store.count_kept()), *self._webhooks()]

    def _webhooks(self) -> list[Metric]:
        """Return the gauges of the endpoints; none without endpoints, so that nothing is read."""
        gauges = {name: _gauge(info) for name, info in WEBHOOKS.items()} if self._endpoints else {}
        for row in self._store.deliveries.progress() if gauges else ():
            if row.endpoint not in self._endpoints:
                continue
            for name, gauge in gauges.items():
                gauge.add_metric([row.endpoint], float(getattr(row, name)))
        return list(gauges.values())

    def _backlog(self) -> list[Metric]:
        backlog = _gauge(BACKLOG)
        with self._broker.pipeline(transaction=False) as pipeline:
            for queue in QUEUES:
                pipeline.llen(self._queues[queue])
            for queue, length in zip(QUEUES, pipeline.execute(), strict=True):
                backlog.add_metric([queue], length)
        return [backlog]


class _Source:
    """Reads one server, never twice at a time: while a read hangs, the next scrapes wait for the same read."""

    def __init__(self, read: Read) -> None:
        self._read = read
        self._questions: SimpleQueue[Future[list[Metric]]] = SimpleQueue()
        self._last: Future[list[Metric]] | None = None
        # Always the same thread, because some frameworks have one connection per thread.
        Thread(target=self._work, name="orders-metrics", daemon=True).start()

    def ask(self) -> None:
        """Start to read, unless a read is running."""
        if self._last is None or self._last.done():
            self._last = Future()
            self._questions.put(self._last)

    def answer(self, give_up: float) -> list[Metric] | Exception:
        """Return the metrics or the error; wait until *give_up* on the monotonic clock."""
        assert self._last is not None  # noqa: S101 - `ask` comes first
        try:
            return self._last.result(max(give_up - time.monotonic(), 0.0))
        except FutureTimeoutError as error:
            return error
        except Exception as error:  # noqa: BLE001 - the other servers' metrics are still served
            return error

    def _work(self) -> None:
        while True:
            question = self._questions.get()
            try:
                question.set_result(self._read())
            except Exception as error:  # noqa: BLE001 - `answer` returns it
                question.set_exception(error)


def _gauge(info: MetricInfo, value: float | None = None) -> GaugeMetricFamily:
    return GaugeMetricFamily(info.full_name, info.description, value, _labels(info))


def _counter(info: MetricInfo, value: float | None = None) -> CounterMetricFamily:
    return CounterMetricFamily(info.full_name, info.description, value, _labels(info))


def _labels(info: MetricInfo) -> list[str] | None:
    return [info.label] if info.label else None


def _lateness(counters: Mapping[str, float]) -> HistogramMetricFamily:
    counts = accumulate(counters.get(name, 0) for name in BUCKETS)
    bounds = [*(str(float(bound)) for bound in BOUNDS[:-1]), "+Inf"]
    seconds = counters.get(LATENESS_SUM, 0) / 1e6
    return HistogramMetricFamily(
        LATENESS.full_name, LATENESS.description, list(zip(bounds, counts, strict=True)), seconds
    )
