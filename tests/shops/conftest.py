"""A shop made of packaged software: its project, on a database and a Redis of its own, and its real workers."""

from __future__ import annotations

import os
import shutil
import signal
from collections import Counter
from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import ExitStack, contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import psycopg
import pytest
import sqlalchemy as sa
from redis import Redis

from orders.embedded import EmbeddedRedis
from tests.blocks import Block, Reader
from tests.packages import install
from tests.servers import Databases

AUDIT = """
    CREATE TABLE audit (kind text, order_id bigint, transaction bigint);
    CREATE FUNCTION audited() RETURNS trigger LANGUAGE plpgsql AS
    'BEGIN INSERT INTO audit VALUES (TG_TABLE_NAME, (to_jsonb(new) ->> TG_ARGV[0])::bigint, txid_current());
    RETURN new; END'
"""

CHANGES = """
    SELECT order_id, string_agg(DISTINCT kind, ', ' ORDER BY kind) FROM audit GROUP BY order_id, transaction
"""

PATIENCE = 900
"""Seconds that migrations may take. Those of pretix take one and a half minutes on an idle machine."""

HOW_TO = Path(__file__).parents[2] / "docs" / "how-to"


def glue(found: Sequence[Block]) -> int:
    """Return how many lines of Python a page has, without comments and empty lines."""
    lines = [line.strip() for block in found if block.language == "python" for line in block.text.splitlines()]
    return sum(bool(line) and not line.startswith("#") for line in lines)


@dataclass
class Shop:
    """The project in its folder."""

    reader: Reader
    database: str

    def follow(self, found: Sequence[Block]) -> None:
        """Write the files of a page, and run its commands, up to those that go on."""
        for block in found:
            if block.file:
                self.reader.write(block)
            elif block.language == "sh":
                self.reader.run(block.text, within=PATIENCE)

    @contextmanager
    def running(self, commands: Block) -> Iterator[Callable[[], str]]:
        """Run commands that go on, side by side; yield what returns their output."""
        with ExitStack() as stack:
            logs = [
                stack.enter_context(self.reader.keeps_running(command, log=f"{number}.log", end=signal.SIGTERM))
                for number, command in enumerate(commands.text.splitlines())
            ]
            yield lambda: "".join(log.read_text(errors="replace") for log in logs)

    def rows(self, statement: str) -> list[tuple[Any, ...]]:
        with psycopg.connect(self.database, autocommit=True) as connection:
            result = connection.execute(statement)
            return result.fetchall() if result.description else []

    def audit(self, *tables: str) -> None:
        """Have the database write down which transaction changes what: "table, column with the order's id, event"."""
        self.rows(AUDIT)
        for table, column, event in (text.split(maxsplit=2) for text in tables):
            kind, _, only = event.partition(" ")
            trigger = f"CREATE TRIGGER audited AFTER {kind} ON {table} FOR EACH ROW {only}"
            self.rows(f"{trigger} EXECUTE FUNCTION audited('{column}')")

    def transactions(self) -> dict[str, int]:
        """Return for how many orders one transaction has changed these tables, and no other has changed any."""
        found = self.rows(CHANGES)
        assert len({order_id for order_id, _ in found}) == len(found), "an order was changed by several transactions"
        return dict(Counter(tables for _, tables in found))


@dataclass
class Installed:
    """An environment with the packaged software, and a database with its tables."""

    project: Path
    commands: Path
    environment: Mapping[str, str]
    databases: Databases
    template: str

    def shop(self, folder: Path, database: str, redis_url: str = "redis://localhost:1") -> Shop:
        """Return a copy of the project in a new folder."""
        shutil.copytree(self.project, folder, ignore=shutil.ignore_patterns("__pycache__"))
        url = sa.make_url(self.databases.url(database))
        environment = {
            **{name: value for name, value in os.environ.items() if name not in {"PYTHONPATH", "VIRTUAL_ENV"}},
            "PATH": os.pathsep.join([str(self.commands), os.environ["PATH"]]),
            **{name: value.format(database=database, redis=redis_url) for name, value in self.environment.items()},
            "ORDERS_REDIS_URL": redis_url,
            "ORDERS_SWEEP_INTERVAL": "1",
            "PGHOST": str(url.query["host"]),
            "PGUSER": str(url.username),
            "PGDATABASE": database,
        }
        return Shop(Reader(folder, environment), self.databases.url(database))


@pytest.fixture(scope="module")
def installed(
    request: pytest.FixtureRequest, wheel: Path, postgres_databases: Databases, tmp_path_factory: pytest.TempPathFactory
) -> Installed:
    """Install what the module names, with its lock, and migrate a database."""
    name, environment, migrate = request.module.PACKAGE
    commands = install(tmp_path_factory.mktemp(name), f"{name}.txt", wheel)
    installed = Installed(
        Path(__file__).parent / name, commands, environment, postgres_databases, postgres_databases.take()
    )
    installed.shop(tmp_path_factory.mktemp(name) / "shop", installed.template).reader.run(migrate, within=PATIENCE)
    return installed


@pytest.fixture
def shop(installed: Installed, redis_server: EmbeddedRedis, redis: Redis, tmp_path: Path) -> Iterator[Shop]:
    database = installed.databases.copy(installed.template)
    yield installed.shop(tmp_path / "shop", database, redis_server.url)
    installed.databases.give_back(database)
