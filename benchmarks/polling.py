"""The processes of the pollers: ``python -m benchmarks.polling NAME ARGUMENT… NUMBER``.

Each runs until SIGTERM, as it would in production. NUMBER is its number among the processes of its contender, from 0.
"""

from __future__ import annotations

import json
import sys
import time
from collections.abc import Iterator
from typing import cast

import psycopg
import sqlalchemy as sa
from redis import Redis

from benchmarks.contender import EXPIRE
from benchmarks.servers import url_for_psycopg
from orders.config.settings import Settings
from orders.schedule.scripts import Scripts

SKIP_LOCKED = """
UPDATE orders SET status = 'expired' WHERE {by} = ANY (ARRAY(
    SELECT {by} FROM orders WHERE status = 'pending' AND expires_at <= statement_timestamp()
    ORDER BY expires_at, id LIMIT %s FOR UPDATE SKIP LOCKED
))
"""
"""One statement and one transaction. It finds the rows that it has locked by their key (``id``) or by their place in
the table (``ctid``, which is faster, and does not change while they are locked)."""

DUE = sa.text("SELECT id FROM orders WHERE status = 'pending' AND expires_at <= statement_timestamp()")

EXPIRE_MANY = b"""
UPDATE orders SET status = 'expired'
WHERE id = ANY (%s) AND status = 'pending' AND expires_at <= statement_timestamp() RETURNING id
"""

BATCH = 500
"""Ids per `EXPIRE_MANY`."""

PAUSE = 1.0
"""Seconds between two ticks."""


def skip_locked(database_url: str, by: str, batch: str) -> None:
    """Lock and expire up to *batch* due orders at a time; pause only if none are due."""
    statement, arguments = SKIP_LOCKED.format(by=by).encode(), [int(batch)]
    with psycopg.connect(url_for_psycopg(database_url), autocommit=True) as connection:
        while True:
            if connection.execute(statement, arguments, prepare=True).rowcount == 0:
                time.sleep(PAUSE)


def cron(database_url: str) -> None:
    """Read the ids of all due orders, then expire each in its own transaction."""
    engine = sa.create_engine(database_url)
    expire = sa.text(EXPIRE)
    while True:
        with engine.connect() as connection:
            due = connection.execute(DUE).scalars().all()
        for order_id in due:
            with engine.begin() as connection:
                connection.execute(expire, {"id": order_id})
        time.sleep(PAUSE)


def timer(database_url: str, redis_url: str) -> None:
    """Read the ids of all due orders from the sorted set, then expire and remove each."""
    engine = sa.create_engine(database_url)
    expire = sa.text(EXPIRE)
    redis = Redis.from_url(redis_url, decode_responses=True)
    while True:
        due = cast("list[str]", redis.zrangebyscore("timer", "-inf", time.time()))
        for order_id in due:
            with engine.begin() as connection:
                connection.execute(expire, {"id": int(order_id)})
            redis.zrem("timer", order_id)
        time.sleep(PAUSE)


def update(database_url: str, orders: str, share: int, number: int) -> None:
    """Expire every *share*-th batch of ids as fast as the database can, without claims or queries."""
    with psycopg.connect(url_for_psycopg(database_url), autocommit=True) as connection:
        for first in range(1 + number * BATCH, int(orders) + 1, share * BATCH):
            ids = list(range(first, min(first + BATCH, int(orders) + 1)))
            connection.execute(EXPIRE_MANY, [ids], prepare=True).fetchall()
        time.sleep(3600)


def loop(database_url: str, redis_url: str) -> None:
    """Claim with this project's script, update and remove in one loop: what a drain costs without messages."""
    redis = Redis.from_url(redis_url)
    with psycopg.connect(url_for_psycopg(database_url), autocommit=True) as connection:
        for members in claims(redis):
            for first in range(0, len(members), BATCH):
                ids = [int(member) for member in members[first : first + BATCH]]
                done = connection.execute(EXPIRE_MANY, [ids], prepare=True).fetchall()
                redis.zrem("orders", *(order_id for (order_id,) in done))
        time.sleep(3600)


def claims(redis: Redis) -> Iterator[list[str]]:
    """Claim at most 1,000 ids at a time and yield them, until nothing is due."""
    scripts = Scripts(Settings())
    script, keys = redis.register_script(scripts.source("claim").text), scripts.keys_of("claim")
    while found := json.loads(cast("list[bytes]", script(keys=keys, args=[0, 11, 120, 1000]))[2]):
        yield found[::2]


if __name__ == "__main__":
    match sys.argv[1:]:
        case ["skip-locked", database_url, by, batch, _]:
            skip_locked(database_url, by, batch)
        case ["cron", database_url, _]:
            cron(database_url)
        case ["timer", database_url, redis_url, _]:
            timer(database_url, redis_url)
        case ["update", database_url, orders, share, number]:
            update(database_url, orders, int(share), int(number))
        case ["loop", database_url, redis_url, _]:
            loop(database_url, redis_url)
        case arguments:
            sys.exit(f"unknown arguments: {arguments}")
