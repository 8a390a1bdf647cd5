"""This project, as its Procfile runs it: beat, a sweeper, and a worker for each core."""

from __future__ import annotations

import subprocess
from collections.abc import Iterator, Sequence
from contextlib import closing, contextmanager
from dataclasses import dataclass, replace
from importlib.metadata import version

import psycopg

from benchmarks import processes
from benchmarks.contender import Bench, Shape
from benchmarks.servers import url_for_psycopg
from orders.config.settings import PREFIX, Settings
from orders.expiry.use_cases import OrderExpiry
from orders.schedule.sorted_set import Schedule
from orders.store.sql_store import SqlStore

CELERYCONFIG = """
import importlib.util, pathlib, orders
path = pathlib.Path(orders.__file__).parents[1] / "celeryconfig.py"
spec = importlib.util.spec_from_file_location("installed_celeryconfig", path)
installed = importlib.util.module_from_spec(spec)
spec.loader.exec_module(installed)
globals().update({name: value for name, value in vars(installed).items() if not name.startswith("__")})
"""
"""The project's Celery settings, with a line added: README.md, "Deploy", says how to change them."""


@dataclass(frozen=True)
class ThisProject:
    """Workers and beat with the project's defaults, and as few changes as a variant needs.

    A sweep claims orders from the sorted set and publishes them while workers consume. The measured time includes
    this; the other queues have their jobs ready before it starts.
    """

    name: str
    shape: Shape
    note: str
    celery_events: bool = True
    """Whether workers send the events that Flower shows, which is the project's default."""
    events_table: bool = False
    """Whether ``orders init-db`` created the table of events, so that each expiry writes an event."""
    loglevel: str = "INFO"
    """Log level of the processes. At INFO, which the Procfile sets, a worker logs each attempt with its orders."""
    workers: int = 2
    """Number of workers. Each is one process with its default threads. The sweeper is an additional process: it does
    during the measured time what fills the queues of others beforehand."""

    @property
    def version(self) -> str:
        """The version of the package."""
        return version("order-expiry")

    batch_size: int | None = None
    """ORDERS_BATCH_SIZE; None for the default."""
    settings: tuple[tuple[str, str], ...] = ()
    """Other settings that differ from the defaults, by name without ``ORDERS_``."""

    def fill(self, bench: Bench, orders: int) -> None:
        """Schedule the orders with the deadlines of their rows."""
        given = {name.lower(): value for name, value in self.settings}
        settings = _settings(bench, **given)
        if self.events_table:
            with closing(SqlStore(settings)) as store:
                store.create_outbox()
        with (
            psycopg.connect(url_for_psycopg(bench.database_url)) as connection,
            closing(Schedule.connect(settings)) as schedule,
        ):
            rows = connection.execute("SELECT id, expires_at FROM orders WHERE id <= %s", [orders])
            OrderExpiry(settings, schedule, SqlStore(settings)).enqueue_many(rows)

    @contextmanager
    def run(self, bench: Bench) -> Iterator[Sequence[subprocess.Popen[bytes]]]:
        """Start workers and beat; stop them at the end."""
        (bench.folder / "celeryconfig.py").write_text(self.celeryconfig)
        given = self.environment(bench)
        celery = [str(bench.python), "-m", "celery", "-A", "tasks"]
        sweeper = [*self._worker(bench), "--queues=orders.sweep,orders.events", "--concurrency=4"]
        commands = {f"worker-{number}": self.worker(bench) for number in range(self.workers)}
        started = [
            processes.start([*command, f"--hostname={name}@%h"], log=bench.folder / f"{name}.log", **given)
            for name, command in {**commands, "sweeper": sweeper}.items()
        ]
        beat = [*celery, "beat", f"--loglevel={self.loglevel}"]
        started.append(processes.start(beat, log=bench.folder / "beat.log", **given))
        with processes.stopped_at_end(started):
            yield started

    def environment(self, bench: Bench) -> dict[str, str]:
        """Return the environment variables of the processes."""
        settings = _settings(bench)
        given = {name.upper(): str(getattr(settings, name)) for name in settings.model_fields_set}
        if self.batch_size:
            given["BATCH_SIZE"] = str(self.batch_size)
        return {f"{PREFIX}{name}": value for name, value in {**given, **dict(self.settings)}.items()}

    @property
    def celeryconfig(self) -> str:
        """The source of the module with Celery's settings."""
        return f"{CELERYCONFIG}\nworker_send_task_events = {self.celery_events}\n"

    def worker(self, bench: Bench) -> list[str]:
        """Return the command of a worker that expires orders."""
        return [*self._worker(bench), "--queues=orders.expire"]

    def _worker(self, bench: Bench) -> list[str]:
        return [str(bench.python), "-m", "celery", "-A", "tasks", "worker", f"--loglevel={self.loglevel}"]


ONE_TASK = ThisProject(
    name="this project, one task per order",
    shape="one job per order",
    note="defaults; at most 30,000 orders are due, so each has a task (ORDERS_BATCH_THRESHOLD); README.md, Deploy",
)
ONE_TASK_WITHOUT_EVENTS = replace(
    ONE_TASK,
    name="this project, one task per order, no Celery events",
    note="defaults, but worker_send_task_events = False; README.md, Deploy",
    celery_events=False,
)
ONE_TASK_QUIET = replace(
    ONE_TASK_WITHOUT_EVENTS,
    name="this project, one task per order, no Celery events, quiet",
    note="worker_send_task_events = False and --loglevel=WARNING: no line in a log for each job, as with the peers",
    loglevel="WARNING",
)
BATCHES = ThisProject(
    name="this project, batches",
    shape="batches",
    note="defaults; more than 30,000 orders are due, so a task has 1,000 (ORDERS_BATCH_SIZE); README.md, Deploy",
)
BATCHES_WITH_EVENTS_TABLE = ThisProject(
    name="this project, batches, with the table of order events",
    shape="batches",
    note="defaults; `orders init-db` made order_events, and each expiry writes one in its transaction; README.md, Use",
    events_table=True,
)

OURS = (ONE_TASK, ONE_TASK_WITHOUT_EVENTS, ONE_TASK_QUIET, BATCHES, BATCHES_WITH_EVENTS_TABLE)


def _settings(bench: Bench, **others: str) -> Settings:
    return Settings(redis_url=bench.redis_url, database_url=bench.database_url, **others)
