"""A deployment that can be broken: Redis, a database with an audit, and Celery processes."""

from __future__ import annotations

import json
import os
import subprocess
import sys
import time
from base64 import b64decode
from collections.abc import Callable, Iterator
from concurrent.futures import ThreadPoolExecutor
from contextlib import contextmanager, suppress
from dataclasses import asdict, dataclass, field
from pathlib import Path
from threading import Event
from typing import cast

import psutil
import pytest
import sqlalchemy as sa
from celery import Celery
from redis import Redis

from orders.config.settings import PREFIX, Settings
from orders.embedded import EmbeddedRedis
from orders.errors import ScheduleError
from orders.expiry.use_cases import OrderExpiry
from orders.store.engine import create_engine

SWEEP, LEASE = 1.0, 6.0
"""Seconds; a tenth and a twentieth of the defaults, so that a test need not wait for two minutes."""

PATIENCE = 3.0
"""How much longer than on an idle machine anything may take: other tests run at the same time."""

POOL = 8
"""Threads of a worker."""

BACKLOG = 500
"""Messages that may wait: so few that a slow machine takes them before their lease of six seconds ends."""

AHEAD = 12.0
"""``ORDERS_LOOKAHEAD`` with which the next sweep claims all that `Deployment.place_ahead` has placed."""

ROOT = str(Path(__file__).parents[2])

FRAMEWORKS = {
    "sqlalchemy": {},
    "django": {"DJANGO_SETTINGS_MODULE": "tests.faults.shops.django_settings", "PYTHONPATH": ROOT},
    "flask": {"ORDERS_APP": "tests.faults.shops.flask_shop:app", "PYTHONPATH": ROOT},
}
"""What the environment of Celery's processes tells of the framework whose adapter they are to use."""


@dataclass
class Report:
    """What a fault did: one line of the table that the run ends with (`tests.selection`)."""

    fault: str
    orders: int
    lost: int
    doubled: int
    recovery: float


@dataclass
class Deployment:
    """Redis, a database and Celery processes."""

    node: pytest.Item
    folder: Path
    redis_server: EmbeddedRedis
    database_url: str
    fault: str
    framework: str = "sqlalchemy"
    settings: Settings = field(init=False)
    redis: Redis = field(init=False)
    engine: sa.Engine = field(init=False)
    expiry: OrderExpiry = field(init=False)
    environment: dict[str, str] = field(default_factory=dict)
    processes: list[subprocess.Popen[bytes]] = field(default_factory=list)
    broken_at: float = 0.0
    dead: int = 0
    paid: list[int] = field(default_factory=list)
    """The orders whose payments were accepted, besides those that were placed as paid."""

    def __post_init__(self) -> None:
        self.settings = Settings(
            redis_url=self.redis_server.url,
            database_url=self.database_url,
            sweep_interval=SWEEP,
            lease=LEASE,
            max_backlog=BACKLOG,
        )
        self.redis = Redis.from_url(self.redis_server.url)
        self.engine = create_engine(self.database_url)
        self.expiry = OrderExpiry.connect(self.settings)

    # Processes

    def start(self, arguments: str, *, app: str = "tasks", **changes: str) -> subprocess.Popen[bytes]:
        given = {
            f"{PREFIX}{name.upper()}": str(getattr(self.settings, name)) for name in self.settings.model_fields_set
        }
        if self.framework != "sqlalchemy":  # which knows its database by itself
            given["SHOP_DATABASE_URL"] = given.pop(f"{PREFIX}DATABASE_URL")
        # Without coverage's hook: what is measured here is time.
        inherited = {name: value for name, value in os.environ.items() if "COVERAGE" not in name}
        command = [sys.executable, "-m", "celery", "-A", app, *arguments.split()]
        with (self.folder / f"{arguments.split(maxsplit=1)[0]}.log").open("ab") as log:
            process = subprocess.Popen(
                command,
                cwd=self.folder,
                env={**inherited, **FRAMEWORKS[self.framework], **self.environment, **given, **changes},
                stdout=log,
                stderr=log,
                start_new_session=True,
            )
        self.processes.append(process)
        return process

    def worker(
        self, name: str = "one", *, app: str = "tasks", pool: str = f"threads -c {POOL}"
    ) -> subprocess.Popen[bytes]:
        return self.start(f"worker -n {name}@%h -P {pool} -l INFO", app=app)

    @contextmanager
    def supervised(self, **options: str) -> Iterator[None]:
        """Run a worker that is started anew when it dies, as a supervisor does."""
        worker, is_over = self.worker(**options), Event()

        def supervise() -> None:
            nonlocal worker
            while not is_over.wait(0.1):
                if worker.poll() is not None:
                    worker = self.worker(**options)

        with ThreadPoolExecutor(1) as pool:
            pool.submit(supervise)
            try:
                yield
            finally:
                is_over.set()

    def change(self, **changes: float | str) -> None:
        """Change settings of the processes that are started from now on."""
        self.settings = Settings(**{**self.settings.model_dump(include=self.settings.model_fields_set), **changes})

    def kill(self, process: subprocess.Popen[bytes]) -> None:
        """Kill a process as a crash does; its pool dies with it."""
        process.kill()
        process.wait()

    def beat(self) -> subprocess.Popen[bytes]:
        return self.start("beat -l INFO")

    def deaf_worker(self) -> None:
        """Run a worker to which its broker sends nothing more, although the connection stands."""
        self.worker(app="deaf")
        self.ready()
        with Celery(broker=self.settings.broker_url, set_as_current=False) as app:
            [reply] = app.control.broadcast("deafen", reply=True, timeout=10 * PATIENCE, limit=1)
        assert list(reply.values()) == ["deaf"]

    def ready(self, workers: int = 1) -> None:
        """Wait until so many workers have started."""
        self.until(
            lambda: (self.folder / "worker.log").read_text(errors="replace").count(" ready.") >= workers,
            within=40,
            why="the workers did not start",
        )

    def log(self, name: str = "worker") -> str:
        return (self.folder / f"{name}.log").read_text(errors="replace")

    def breaks(self) -> None:
        """Note the instant of the fault."""
        self.broken_at = time.time()

    @staticmethod
    def until(is_so: Callable[[], object], *, within: float, why: str) -> None:
        give_up = time.monotonic() + within * PATIENCE
        while not is_so():
            assert time.monotonic() < give_up, why
            time.sleep(0.05)

    # Orders

    def place(
        self, number: int = 2000, *, first: int = 1, due: float = -1.0, spread: float = 0.0, enqueue: bool = True
    ) -> None:
        """Place orders, due from so many seconds from now on, over so many seconds; every tenth one is paid."""
        now = time.time()
        deadlines = {first + nth: now + due + spread * (nth + 1) / number for nth in range(number)}
        insert = """
            INSERT INTO orders SELECT n, CASE n % 10 WHEN 0 THEN 'paid' ELSE 'pending' END, to_timestamp(due)
            FROM unnest(CAST(:ids AS bigint[]), CAST(:deadlines AS float8[])) AS given (n, due)
        """
        with self.engine.begin() as connection:
            connection.execute(sa.text(insert), {"ids": list(deadlines), "deadlines": list(deadlines.values())})
        if enqueue:
            self.expiry.schedule.enqueue((str(order), deadline) for order, deadline in deadlines.items())

    def place_ahead(self) -> None:
        """Place orders that are due in ten seconds: with `AHEAD`, workers hold them for most of these."""
        self.place(due=AHEAD - 2, spread=2)

    def drain_half(self) -> None:
        """Start a worker and beat, place orders that are due, and wait until some of them have been expired."""
        self.beat()
        self.worker()
        self.ready()
        self.place()
        self.until_expired(300)
        self.breaks()

    def expired(self) -> int:
        """Return how many orders have been expired."""
        with self.engine.connect() as connection:
            return int(connection.scalar(sa.text("SELECT count(*) FROM orders WHERE status = 'expired'")) or 0)

    def leased(self) -> set[str]:
        """Return the ids of the orders that have been claimed."""
        members = cast("list[bytes]", self.redis.zrangebyscore("orders", time.time() + 100, "+inf"))
        return {member.decode() for member in members}

    def queued(self) -> list[str]:
        """Return the ids of the orders in the messages that wait for a worker."""
        messages = [json.loads(message) for message in self.redis.lrange("orders.expire", 0, -1)]
        return [order_id for message in messages for order_id in json.loads(b64decode(message["body"]))[0]]

    def until_swept(self) -> None:
        """Wait until the next sweep has claimed."""
        before = self.expiry.schedule.swept_at()
        self.until(lambda: self.expiry.schedule.swept_at() != before, within=20, why="nobody swept")

    def until_expired(self, number: int) -> None:
        """Wait until more than so many orders have been expired."""
        self.until(lambda: self.expired() > number, within=30, why="nothing was expired")

    def pending(self) -> int:
        with self.engine.connect() as connection:
            return int(connection.scalar(sa.text("SELECT count(*) FROM orders WHERE status = 'pending'")) or 0)

    def finish(self, within: float = 40.0) -> Report:
        """Wait until every order has come to its end; check the invariants; report how long recovery took."""
        try:
            self.until(self._is_over, within=within, why="orders were left")
        finally:
            report = self.audit()
            self.node.user_properties.append(("fault", asdict(report)))
        assert (report.lost, report.doubled) == (0, 0)
        assert self.redis.exists("{orders}:attempts", "{orders}:failures") == 0
        return report

    def _is_over(self) -> bool:
        try:
            stats = self.expiry.schedule.stats()
            return self.pending() == stats["dead"] == self.dead and stats["scheduled"] == 0
        except (ScheduleError, sa.exc.DBAPIError):
            return False

    def audit(self) -> Report:
        count = {
            "orders": "SELECT count(*) FROM orders",
            "lost": "SELECT count(*) FROM orders WHERE status = 'pending' AND expires_at < clock_timestamp()",
            "changed twice": "SELECT count(*) - count(DISTINCT order_id) FROM audit",
            "not from pending": """SELECT count(*) FROM audit WHERE was <> 'pending'
                OR became <> CASE WHEN order_id = ANY(CAST(:paid AS bigint[])) THEN 'paid' ELSE 'expired' END""",
            "early": "SELECT count(*) FROM audit WHERE at < deadline",
            "paid": "SELECT count(*) FROM orders WHERE id % 10 = 0 AND status <> 'paid'",
            "last": "SELECT extract(epoch FROM max(at)) FROM audit",
        }
        with self.engine.connect() as connection:
            paid = {"paid": self.paid}
            found = {name: float(connection.scalar(sa.text(select), paid) or 0) for name, select in count.items()}
        doubled = found["changed twice"] + found["not from pending"] + found["early"] + found["paid"]
        recovery = max(found["last"] - self.broken_at, 0.0) if self.broken_at else 0.0
        return Report(self.fault, int(found["orders"]), int(found["lost"]) - self.dead, int(doubled), recovery)

    def close(self) -> None:
        for process in self.processes:
            family = []
            if process.poll() is None:
                family = [psutil.Process(process.pid), *psutil.Process(process.pid).children(recursive=True)]
            for member in family:
                with suppress(psutil.NoSuchProcess):
                    member.kill()
            process.wait()
        self.expiry.close()
        self.redis.close()
        self.engine.dispose()
        sys.stdout.write(self.log()[-8000:] if (self.folder / "worker.log").exists() else "")
