"""Procrastinate: its app in the orders' database, and its task."""

from __future__ import annotations

import os
from typing import Any

import sqlalchemy as sa
from procrastinate import App, PsycopgConnector

from benchmarks.peers.job import DATABASE_URL, expire

CHUNK = 1000
CONNECTIONS = 9
"""Connections of each worker: one for each concurrent job, and one more."""

_url = sa.make_url(os.environ[DATABASE_URL]).set(drivername="postgresql")
app = App(
    connector=PsycopgConnector(
        conninfo=_url.render_as_string(hide_password=False), min_size=CONNECTIONS, max_size=CONNECTIONS
    )
)
task = app.task(expire)


def fill(orders: int) -> None:
    """Apply the schema, and defer one job per order."""
    with app.open():
        app.schema_manager.apply_schema()
        for first in range(1, orders + 1, CHUNK):
            ids = range(first, min(first + CHUNK, orders + 1))
            payloads: list[dict[str, Any]] = [{"order_id": order_id} for order_id in ids]
            task.batch_defer(*payloads)
        # Autovacuum would do this within a minute. Without it, fetching a job uses a plan for an empty table.
        app.connector.get_sync_connector().execute_query("ANALYZE")
