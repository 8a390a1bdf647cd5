"""The machine, the versions and the settings of a run."""

from __future__ import annotations

import os
import platform
import subprocess
import sys
from collections.abc import Sequence
from importlib.metadata import PackageNotFoundError, version
from pathlib import Path
from typing import Any

import psutil
import psycopg

from benchmarks.orders_table import CREATE
from benchmarks.servers import POSTGRES_SETTINGS, REDIS_OPTIONS, Servers
from orders.embedded import find_redis_server

PACKAGES = ("order-expiry", "celery", "kombu", "redis", "hiredis", "sqlalchemy", "psycopg", "psycopg-binary")

TOLD = ("fsync", "synchronous_commit", "full_page_writes", "wal_level", "wal_sync_method", "jit", *POSTGRES_SETTINGS)
"""The PostgreSQL settings to record."""


def describe(servers: Servers) -> dict[str, Any]:
    """Return the machine, the versions and the servers' settings, ready for JSON."""
    with psycopg.connect(servers.postgres_uri, autocommit=True) as connection:
        select = "SELECT name, current_setting(name) FROM pg_settings WHERE name = ANY (%s)"
        postgres: dict[str, str] = dict(connection.execute(select, [list(TOLD)]).fetchall())
        postgres_version = connection.info.parameter_status("server_version")
    told = subprocess.run([find_redis_server(), "--version"], capture_output=True, text=True, check=True)  # noqa: S603
    return {
        "machine": {
            "cpu": _cpu(),
            "cores": os.cpu_count(),
            "memory_gb": round(psutil.virtual_memory().total / 1e9, 1),
            "system": platform.platform(),
            "load_before": os.getloadavg(),
        },
        "versions": {
            "python": sys.version.split()[0],
            "postgresql": postgres_version,
            "redis-server": told.stdout.strip(),
            **_versions(PACKAGES),
        },
        "command": [Path(sys.argv[0]).parent.name, *sys.argv[1:]],
        "settings": {"postgresql": postgres, "redis": list(REDIS_OPTIONS), "table": CREATE},
    }


def _versions(packages: Sequence[str]) -> dict[str, str]:
    found = {}
    for package in packages:
        try:
            found[package] = version(package)
        except PackageNotFoundError:
            found[package] = "-"
    return found


def _cpu() -> str:
    try:
        lines = Path("/proc/cpuinfo").read_text().splitlines()
    except OSError:
        return platform.processor()
    models = [line.partition(":")[2].strip() for line in lines if line.startswith("model name")]
    return models[0] if models else platform.processor()
