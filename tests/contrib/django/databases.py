"""Django's description of a database, from the URL by which SQLAlchemy knows it."""

from __future__ import annotations

from typing import Any

import pymysql  # type: ignore[import-untyped]
import sqlalchemy as sa

pymysql.install_as_MySQLdb()

ENGINES = {"sqlite": "sqlite3", "postgresql": "postgresql", "mysql": "mysql"}


def of_url(text: str) -> dict[str, Any]:
    """Return an entry of ``DATABASES``."""
    url = sa.make_url(text)
    backend = url.get_backend_name()
    options: dict[str, Any] = {name: value for name, value in url.query.items() if name != "host"}
    name = url.database
    if backend == "sqlite":
        options = {"timeout": float(options.get("timeout", 30))}
        name = f"{name}?mode={url.query['mode']}" if "mode" in url.query else name
    return {
        "ENGINE": f"django.db.backends.{ENGINES[backend]}",
        "NAME": name,
        "USER": url.username or "",
        "PASSWORD": url.password or "",
        "HOST": url.host or url.query.get("host", ""),
        "PORT": url.port or "",
        "OPTIONS": options,
        "CONN_MAX_AGE": None,
    }
