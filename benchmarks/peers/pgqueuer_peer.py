"""PGQueuer: a worker in the orders' database. ``python -m benchmarks.peers.pgqueuer_peer`` runs one."""

from __future__ import annotations

import asyncio
import os
import signal

import asyncpg
import sqlalchemy as sa
import uvloop
from pgqueuer import PgQueuer
from pgqueuer.models import Job
from pgqueuer.queries import Queries

from benchmarks.peers.async_job import expire
from benchmarks.peers.job import DATABASE_URL

CHUNK = 1000
BATCH_SIZE = 50
"""Jobs per fetch."""

ENTRYPOINT = "expire"

_url = sa.make_url(os.environ[DATABASE_URL]).set(drivername="postgresql").render_as_string(hide_password=False)


async def serve() -> None:
    """Run jobs until SIGTERM, on the event loop that ``pgq run`` uses."""
    connection = await asyncpg.connect(_url)
    pgqueuer = PgQueuer.from_asyncpg_connection(connection)

    @pgqueuer.entrypoint(ENTRYPOINT)
    async def expire_order(job: Job) -> None:
        await expire(int(job.payload or b""))

    asyncio.get_running_loop().add_signal_handler(signal.SIGTERM, pgqueuer.shutdown.set)
    await pgqueuer.run(batch_size=BATCH_SIZE)
    await connection.close()


def fill(orders: int) -> None:
    """Install the schema, and enqueue one job per order."""
    asyncio.run(_fill(orders))


async def _fill(orders: int) -> None:
    connection = await asyncpg.connect(_url)
    queries = Queries.from_asyncpg_connection(connection)
    await queries.install()
    await queries.optimize_autovacuum()
    for first in range(1, orders + 1, CHUNK):
        ids = range(first, min(first + CHUNK, orders + 1))
        await queries.enqueue([ENTRYPOINT] * len(ids), [b"%d" % order_id for order_id in ids], [0] * len(ids))
    # Autovacuum would do this within a minute. Procrastinate, which also uses the database, gets the same.
    await connection.execute("ANALYZE")
    await connection.close()


if __name__ == "__main__":
    uvloop.run(serve())
