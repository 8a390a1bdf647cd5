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

from orders.config import is_ours, mask
from orders.expiry import OrderExpiry
from orders.logs import about
from orders.operate.operations import Operations, Where
from orders.schedule import ANSWERS, BOUNDS, BUCKETS, CLOSED, EXPIRED, LATENESS_SUM, client

logger = logging.getLogger(__name__)

PREFIX = "order_expiry_"
"""Prefix of the names of all metrics."""

LIMIT = 3.0
"""Seconds that a scrape waits for a server. The default timeout of Prometheus itself is 10."""

QUEUES = ("orders.sweep", "orders.expire", "orders.events")
"""The queues of the tasks."""


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
BACKLOG = MetricInfo("backlog", "gauge", "Messages waiting in a queue of the broker", "queue")
OVERDUE = MetricInfo(
    "oldest_overdue_seconds", "gauge", "How long the oldest pending row in the database has been due; 0 if none is"
)
SINCE_SWEEP = MetricInfo("seconds_since_sweep", "gauge", "Seconds since the last sweep; with shards, the longest")
STANDING = {
    Where.PENDING: MetricInfo("pending", "gauge", "Scheduled orders that are not due yet"),
    Where.DUE: MetricInfo("due", "gauge", "Scheduled orders that are due and not yet claimed by a sweep"),
    Where.LEASED: MetricInfo("leased", "gauge", "Orders that a sweep has claimed and no worker has settled yet"),
    Where.DEAD: MetricInfo("dead", "gauge", "Dead letters: orders that could not be expired and wait for an operator"),
}
COUNTED = {
    EXPIRED: MetricInfo("expired", "counter", "Orders that workers expired"),
    CLOSED: MetricInfo("closed", "counter", "Orders that workers found paid, cancelled or expired, or marked as paid"),
    "retried": MetricInfo("retried", "counter", "Failed attempts after which an order was rescheduled"),
    "buried": MetricInfo("buried", "counter", "Orders that became dead letters"),
    "reconciled": MetricInfo("reconciled", "counter", "Pending orders that reconcile added to the schedule"),
    "rescued": MetricInfo("rescued", "counter", "Sweeps that workers sent because beat did not"),
}
GUARD = MetricInfo("guard_answers", "counter", "Answers of the guard", "answer")
LATENESS = MetricInfo("lateness_seconds", "histogram", "How long orders had been due when workers expired them")

METRICS = (UP, *STANDING.values(), OVERDUE, SINCE_SWEEP, BACKLOG, *COUNTED.values(), GUARD, LATENESS)
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
        self._store = expiry.store
        self._limit = limit
        self._lock = Lock()
        self._sources = {"redis": _Source(self._schedule), "database": _Source(self._database)}
        settings = expiry.settings
        if is_ours(settings.broker_url):
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

    def _schedule(self) -> list[Metric]:
        overview = self._operations.overview()
        counters = overview.counters
        gauges = [_gauge(info, overview.counts[where]) for where, info in STANDING.items()]
        if overview.swept_ago is not None:
            gauges.append(_gauge(SINCE_SWEEP, overview.swept_ago))
        counted = [_counter(info, counters.get(name, 0)) for name, info in COUNTED.items()]
        answers = _counter(GUARD)
        for answer, name in ANSWERS.items():
            answers.add_metric([answer], counters.get(name, 0))
        return [*gauges, *counted, answers, _lateness(counters)]

    def _database(self) -> list[Metric]:
        return [_gauge(OVERDUE, max(self._store.oldest_overdue() or 0.0, 0.0))]

    def _backlog(self) -> list[Metric]:
        backlog = _gauge(BACKLOG)
        with self._broker.pipeline(transaction=False) as pipeline:
            for queue in QUEUES:
                pipeline.llen(queue)
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
