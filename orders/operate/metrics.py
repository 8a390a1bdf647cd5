"""Metrics for Prometheus: what Redis has counted, and how Redis, the database and the broker stand at the scrape.

It needs the extra ``metrics`` (prometheus-client). Nothing is kept in a process, so that any number of workers may come
and go; what is counted is counted by the scripts, in Redis (`orders.schedule.counters`).
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
"""How the names of all metrics begin."""

LIMIT = 3.0
"""Seconds that a scrape waits for a server. Prometheus itself waits for 10, unless it is told otherwise."""

QUEUES = ("orders.sweep", "orders.expire", "orders.events")
"""The queues of the tasks."""


@dataclass(frozen=True, slots=True)
class Described:
    """What is served under one name."""

    name: str
    """Without `PREFIX`, and of a counter without ``_total``."""
    kind: Literal["gauge", "counter", "histogram"]
    told: str
    label: str | None = None

    @property
    def full_name(self) -> str:
        """The name in PromQL; of a histogram, that of its family."""
        return f"{PREFIX}{self.name}{'_total' if self.kind == 'counter' else ''}"


UP = Described("up", "gauge", "Whether the server answered this scrape", "store")
BACKLOG = Described("backlog", "gauge", "Messages that wait in a queue of the broker", "queue")
OVERDUE = Described(
    "oldest_overdue_seconds", "gauge", "How long the oldest pending row in the database has been due; 0 if none is"
)
SINCE_SWEEP = Described("seconds_since_sweep", "gauge", "Since the last sweep claimed; of shards, since the oldest")
STANDING = {
    Where.PENDING: Described("pending", "gauge", "Scheduled orders that are not due yet"),
    Where.DUE: Described("due", "gauge", "Scheduled orders that are due, and that no sweep has claimed"),
    Where.LEASED: Described("leased", "gauge", "Orders that a sweep has claimed, and that no worker has settled yet"),
    Where.DEAD: Described("dead", "gauge", "Dead letters: orders that could not be expired, and wait for an operator"),
}
COUNTED = {
    EXPIRED: Described("expired", "counter", "Orders that workers expired"),
    CLOSED: Described("closed", "counter", "Orders that workers found paid, cancelled or expired, or marked as paid"),
    "retried": Described("retried", "counter", "Attempts after which an order was scheduled for another one"),
    "buried": Described("buried", "counter", "Orders that became dead letters"),
    "reconciled": Described("reconciled", "counter", "Pending orders that the schedule lacked, and reconciling added"),
    "rescued": Described("rescued", "counter", "Sweeps that workers sent, because beat sent none"),
}
GUARD = Described("guard_answers", "counter", "What the shop's guard said of orders", "answer")
LATENESS = Described("lateness_seconds", "histogram", "How long orders had been due when workers expired them")

METRICS = (UP, *STANDING.values(), OVERDUE, SINCE_SWEEP, BACKLOG, *COUNTED.values(), GUARD, LATENESS)
"""All that is served, in the order in which it is documented."""

Read: TypeAlias = Callable[[], list[Metric]]


class OrdersCollector(Collector):
    """Reads what Prometheus asks for, when it asks. A server that is down takes away its own metrics only.

    Args:
        expiry: the use cases, as `orders.current` returns them.
        limit: seconds that a scrape waits.
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
        """Return nothing: who registers this need not read."""
        return []

    def collect(self) -> Iterator[Metric]:
        """Yield the metrics of all servers that answer in time, and which did."""
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
                told = about("not_scraped", server=name, error=why)
                logger.warning("no metrics of the %s: %s", name, why, extra=told)
            else:
                yield from metrics
        yield up

    def _schedule(self) -> list[Metric]:
        overview = self._operations.overview()
        counters = overview.counters
        gauges = [_gauge(described, overview.counts[where]) for where, described in STANDING.items()]
        if overview.swept_ago is not None:
            gauges.append(_gauge(SINCE_SWEEP, overview.swept_ago))
        counted = [_counter(described, counters.get(name, 0)) for name, described in COUNTED.items()]
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
    """One server. Of a read that hangs there is never more than one: the next scrapes wait for the same."""

    def __init__(self, read: Read) -> None:
        self._read = read
        self._questions: SimpleQueue[Future[list[Metric]]] = SimpleQueue()
        self._last: Future[list[Metric]] | None = None
        # The same thread each time, because connections of some frameworks belong to one.
        Thread(target=self._work, name="orders-metrics", daemon=True).start()

    def ask(self) -> None:
        """Begin to read."""
        if self._last is None or self._last.done():
            self._last = Future()
            self._questions.put(self._last)

    def answer(self, give_up: float) -> list[Metric] | Exception:
        """Return what was read, or why nothing was; wait for it until the monotonic clock says *give_up*."""
        assert self._last is not None  # noqa: S101 - `ask` comes first
        try:
            return self._last.result(max(give_up - time.monotonic(), 0.0))
        except FutureTimeoutError as error:
            return error
        except Exception as error:  # noqa: BLE001 - whatever one server raises, the others are served
            return error

    def _work(self) -> None:
        while True:
            question = self._questions.get()
            try:
                question.set_result(self._read())
            except Exception as error:  # noqa: BLE001 - told to who asks
                question.set_exception(error)


def _gauge(described: Described, value: float | None = None) -> GaugeMetricFamily:
    return GaugeMetricFamily(described.full_name, described.told, value, _labels(described))


def _counter(described: Described, value: float | None = None) -> CounterMetricFamily:
    return CounterMetricFamily(described.full_name, described.told, value, _labels(described))


def _labels(described: Described) -> list[str] | None:
    return [described.label] if described.label else None


def _lateness(counters: Mapping[str, float]) -> HistogramMetricFamily:
    counts = accumulate(counters.get(name, 0) for name in BUCKETS)
    bounds = [*(str(float(bound)) for bound in BOUNDS[:-1]), "+Inf"]
    seconds = counters.get(LATENESS_SUM, 0) / 1e6
    return HistogramMetricFamily(LATENESS.full_name, LATENESS.told, list(zip(bounds, counts, strict=True)), seconds)
