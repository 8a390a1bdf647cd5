"""A deployment as the Procfile starts it, with passwords everywhere, and an operator before its Flower."""

from __future__ import annotations

import json
import subprocess
import urllib.error
import urllib.parse
import urllib.request
from base64 import b64encode
from collections.abc import Iterator
from contextlib import ExitStack, closing, contextmanager
from dataclasses import dataclass, field
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Any

import psutil
import psycopg
import sqlalchemy as sa
from honcho.environ import parse_procfile
from redis import Redis

from orders.cli import processes
from orders.config.settings import PREFIX, Settings
from orders.embedded import EmbeddedRedis, free_port
from orders.expiry.use_cases import OrderExpiry
from orders.store.engine import create_engine
from orders.store.sql_store import SqlStore
from tests.acceptance.conftest import wait_until

ROOT = Path(__file__).parents[2]

SECRET = "sesame"
"""What no line, no page and no key may hold: a part of each password."""

LOGIN = "operator:let-me-in"
"""Flower's."""

HOOKS = """
import os
import orders

@orders.on_expire
def give_back(session, order_ids):
    if "666" in order_ids:
        raise RuntimeError(f"the warehouse at {os.environ['ORDERS_DATABASE_URL']} takes nothing back")
"""
"""A shop that tells more than it should when it fails."""


@dataclass
class Deployment:
    """What the Procfile names, on a Redis and a PostgreSQL that ask for passwords."""

    folder: Path
    settings: Settings
    server: EmbeddedRedis
    redis: Redis
    expiry: OrderExpiry
    port: int
    running: dict[str, subprocess.Popen[bytes]] = field(default_factory=dict)

    @property
    def url(self) -> str:
        return f"http://127.0.0.1:{self.port}"

    def start(self) -> None:
        names = self.settings.model_fields_set
        values = {f"{PREFIX}{name.upper()}": str(getattr(self.settings, name)) for name in names}
        values |= {"ORDERS_HOOKS": "shop_hooks", "FLOWER_PORT": str(self.port), "FLOWER_BASIC_AUTH": LOGIN}
        values |= {"FLOWER_READ_ONLY": "true", "FLOWER_UNAUTHENTICATED_API": "true"}  # which opens nothing
        (self.folder / "shop_hooks.py").write_text(HOOKS)
        for name, command in parse_procfile((ROOT / "Procfile").read_text()).processes.items():
            self.running[name] = self.run(self.folder / f"{name}.log", ["sh", "-c", f"exec {command}"], values)

    def run(self, log: Path, command: list[str], values: dict[str, str]) -> subprocess.Popen[bytes]:
        """Start a command with so much in its environment, and its output in a file."""
        with log.open("wb") as output:
            return subprocess.Popen(
                command, cwd=self.folder, env=processes.environment(values), stdout=output, stderr=output
            )

    def log(self, name: str) -> str:
        return (self.folder / f"{name}.log").read_text(errors="replace")

    def lines(self, name: str) -> list[dict[str, Any]]:
        """Return the lines of a log that are JSON: all but Celery's banner."""
        return [json.loads(line) for line in self.log(name).splitlines() if line.startswith("{")]

    def place(self, *order_ids: str, status: str = "pending") -> None:
        """Place orders that are due."""
        due = datetime.now(UTC) - timedelta(seconds=1)
        insert = sa.text("INSERT INTO orders (id, status, expires_at) VALUES (:id, :status, :due)")
        engine = create_engine(self.settings.database_url)
        with engine.begin() as connection:
            connection.execute(insert, [{"id": one, "status": status, "due": due} for one in order_ids])
        engine.dispose()
        self.expiry.enqueue_many((order_id, due) for order_id in order_ids)

    def ask(self, path: str, *, login: str | None = LOGIN, data: bytes | None = None) -> tuple[int, str]:
        """Ask Flower; return the status and what it answers."""
        request = urllib.request.Request(self.url + path, data=data)
        if login:
            request.add_header("Authorization", f"Basic {b64encode(login.encode()).decode()}")
        try:
            with urllib.request.urlopen(request, timeout=10) as answer:
                return answer.status, answer.read().decode()
        except urllib.error.HTTPError as error:
            return error.code, error.read().decode()

    def tasks(self, search: str) -> list[dict[str, Any]]:
        """Return what Flower's API finds, the newest first."""
        status, answer = self.ask(f"/api/tasks?{urllib.parse.urlencode({'search': search})}")
        assert status == 200, answer
        return list(json.loads(answer).values())

    def listens_on(self) -> set[str]:
        """Return the addresses on which Flower can be reached."""
        process = psutil.Process(self.running["flower"].pid)
        return {found.laddr.ip for found in process.net_connections() if found.status == psutil.CONN_LISTEN}

    def is_ready(self) -> bool:
        """Tell whether Flower sees both workers, and the first sweep."""
        try:
            known = json.loads(self.ask("/api/workers?refresh=true")[1])
        except OSError:
            return False
        return len(known) == 2 and all(worker.get("active_queues") for worker in known.values())

    def stop(self) -> None:
        processes.stop(*self.running.values())


@contextmanager
def deployed(folder: Path, postgres: str) -> Iterator[Deployment]:
    """Yield a deployment that runs."""
    with ExitStack() as stack:
        server = stack.enter_context(EmbeddedRedis(folder / "redis"))
        redis = stack.enter_context(Redis(port=server.port))
        redis.config_set("requirepass", f"{SECRET}/red@s")
        redis.execute_command("AUTH", f"{SECRET}/red@s")
        settings = Settings(
            redis_url=f"redis://:{SECRET}%2Fred%40s@127.0.0.1:{server.port}/0",
            broker_url=f"redis://:{SECRET}%2Fred%40s@127.0.0.1:{server.port}/1",
            database_url=stack.enter_context(database(postgres)),
            sweep_interval=1.0,
            max_attempts=2,
            batch_threshold=100,
            log_format="json",
        )
        expiry = stack.enter_context(closing(OrderExpiry.connect(settings)))
        assert isinstance(expiry.store, SqlStore)
        expiry.store.create_table("text")
        expiry.store.create_outbox()
        deployment = Deployment(folder, settings, server, redis, expiry, free_port())
        stack.callback(deployment.stop)
        deployment.start()
        wait_until(deployment.is_ready, within=30, why="Flower does not see the workers")
        yield deployment


@contextmanager
def database(postgres: str) -> Iterator[str]:
    """Yield the URL of a database whose owner needs a password."""
    password = f"{SECRET}-postgres"
    with psycopg.connect(postgres, autocommit=True) as connection:
        connection.execute(f"CREATE ROLE keeper LOGIN PASSWORD '{password}'")
        connection.execute("CREATE DATABASE kept OWNER keeper")
        row = connection.execute("SHOW hba_file").fetchone()
        assert row
        rules = Path(row[0])
        rules.write_text(f"local kept keeper scram-sha-256\n{rules.read_text()}")
        connection.execute("SELECT pg_reload_conf()")
        try:
            url = sa.make_url(postgres).set(username="keeper", password=password, database="kept")
            yield url.render_as_string(hide_password=False)
        finally:
            connection.execute("DROP DATABASE kept WITH (FORCE)")
            connection.execute("DROP ROLE keeper")
            rules.write_text(rules.read_text().partition("\n")[2])
            connection.execute("SELECT pg_reload_conf()")
