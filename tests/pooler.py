"""A PgBouncer in front of a PostgreSQL: transaction pooling, and no prepared statements."""

from __future__ import annotations

import os
import shutil
import subprocess
import tempfile
import time
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

import psycopg
import pytest
import sqlalchemy as sa

from orders.embedded import free_port
from tests.servers import SBIN

SESSIONS = 6
"""The sessions of the database that all clients share: fewer than there are clients."""

CONFIGURATION = """
[databases]
* = host={host} user={user}

[pgbouncer]
listen_addr = 127.0.0.1
listen_port = {port}
unix_socket_dir =
auth_type = any
pool_mode = transaction
default_pool_size = {sessions}
server_round_robin = 1
logfile = {folder}/pgbouncer.log
"""
"""``server_round_robin`` gives consecutive transactions different sessions, as a busy pooler does by itself."""


@contextmanager
def pooled(postgres: str) -> Iterator[str]:
    """Start a PgBouncer for the server of a database; yield the URL of the database through it.

    Args:
        postgres: the URL of the database.
    """
    program = shutil.which("pgbouncer", path=SBIN)
    if program is None:
        assert not os.environ.get("CI"), "pgbouncer is missing"
        pytest.skip("pgbouncer is not installed")
    server, port = sa.make_url(postgres), free_port()
    # Not in pytest's folder, which another user cannot enter. PgBouncer refuses to run as root, so it is
    # the user of PostgreSQL, who can enter the folder with its socket.
    with tempfile.TemporaryDirectory(prefix="orders-bouncer-") as folder:
        host, user = str(server.query.get("host", server.host)), server.username
        text = CONFIGURATION.format(host=host, user=user, port=port, sessions=SESSIONS, folder=folder)
        (Path(folder) / "pgbouncer.ini").write_text(text)
        owner = None
        if os.geteuid() == 0:
            owner = Path(host).stat().st_uid
            os.chown(folder, owner, -1)
        url = sa.URL.create(
            "postgresql", username=user, password="secret", host="127.0.0.1", port=port, database=server.database
        ).render_as_string(hide_password=False)
        with subprocess.Popen([program, "-q", f"{folder}/pgbouncer.ini"], user=owner) as process:
            try:
                _wait(url, process)
                yield url
            finally:
                process.kill()


def _wait(url: str, process: subprocess.Popen[bytes]) -> None:
    give_up = time.monotonic() + 30
    while True:
        assert process.poll() is None, "pgbouncer did not start"
        try:
            psycopg.connect(url, connect_timeout=5).close()
        except psycopg.OperationalError:
            assert time.monotonic() < give_up, "pgbouncer is not ready"
            time.sleep(0.05)
        else:
            return
