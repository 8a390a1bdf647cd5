"""The URL of the database, as SQLAlchemy has it."""

from __future__ import annotations

import re
from contextlib import suppress

from sqlalchemy.engine import URL, make_url
from sqlalchemy.exc import ArgumentError, NoSuchModuleError

DATABASES = (
    "the SQLAlchemy URL of a PostgreSQL, MySQL, MariaDB or SQLite database, with a driver that is not for asyncio, "
    "such as postgresql+psycopg://user:password@host/database or mysql+pymysql://…"
)
"""What is accepted, for error messages."""


def normalized(url: str) -> str:
    """Return a URL with the name that SQLAlchemy has for PostgreSQL, for which other programs accept ``postgres://``.

    Raises:
        ValueError: it is not one of the `DATABASES`.
    """
    url = re.sub(r"^postgres(?=[+:])", "postgresql", url)
    try:
        place = make_url(url)
    except ArgumentError as error:
        raise ValueError("not a URL") from error
    if (backend := place.get_backend_name()) not in {"postgresql", "mysql", "mariadb", "sqlite"}:
        raise ValueError(f"{backend} is not supported")
    with suppress(NoSuchModuleError):  # a process that only schedules orders needs no driver
        if place.get_dialect().is_async:
            raise ValueError("the driver is for asyncio")
    return url


def prepare_threshold(url: URL) -> int | None:
    """Return after how many uses psycopg prepares a statement on the server: ``?prepare_threshold=``, None for never.

    Raises:
        ValueError: it is neither a whole number nor ``none``.
    """
    given = url.query.get("prepare_threshold", "none")
    if given == "none":
        return None
    if isinstance(given, str) and given.isdecimal():
        return int(given)
    raise ValueError(f"prepare_threshold in ORDERS_DATABASE_URL is {given!r}: it must be a whole number, or none")
