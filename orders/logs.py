"""What a line of the log tells, and how it is written: as text or as JSON.

A line of ours says in words what happened, and carries the same as fields, with `about`::

    logger.info("sweep claimed=%d sent=%d", 3, 3, extra=about("sweep", claimed=3, sent=3))

The fields are attributes of the record, as the standard library has it, so a shop that keeps its own logging gets them
too, whatever writes its lines. Names of fields are told in docs/how-to/logs.md.
"""

from __future__ import annotations

import logging
import sys
from collections.abc import Sequence
from datetime import UTC, datetime
from typing import Any

from pythonjsonlogger import json
from pythonjsonlogger.core import RESERVED_ATTRS

from orders import ids
from orders.config import mask

TEXT = "%(levelname)s: %(message)s"
"""How a command writes its lines, unless as JSON."""

_NOT_TOLD = [*RESERVED_ATTRS, "taskName", "data"]
"""Attributes of a record that are no fields: the library's own, asyncio's name of a task, Celery's for its messages."""


def about(event: str, order_ids: Sequence[str] = (), **facts: object) -> dict[str, object]:
    """Return what a line is about, for ``extra``.

    Args:
        event: its name, one word, the same for all lines of its kind.
        order_ids: the orders.
        facts: anything else, with the same names for the same things in all lines: "lease" for a fencing token.
    """
    named = {"order_ids": ids.all_printable(order_ids)} if order_ids else {}
    return {"event": event, **named, **facts}


class JsonFormatter(json.JsonFormatter):
    """Writes each line as a JSON object; passwords are masked.

    It takes no arguments, so it can be named in ``dictConfig``: ``{"()": "orders.logs.JsonFormatter"}``.
    """

    def __init__(self) -> None:
        super().__init__(
            "%(asctime)s %(levelname)s %(name)s %(message)s",
            rename_fields={
                "asctime": "time",
                "levelname": "level",
                "name": "logger",
                "exc_info": "exception",
                "stack_info": "stack",
            },
            reserved_attrs=_NOT_TOLD,
        )

    def formatTime(self, record: logging.LogRecord, datefmt: str | None = None) -> str:  # noqa: ARG002, N802 - logging's signature
        """Return the time in UTC, as in 2026-01-31T12:00:00.000+00:00."""
        return datetime.fromtimestamp(record.created, UTC).isoformat(timespec="milliseconds")

    def process_log_record(self, log_data: dict[str, Any]) -> dict[str, Any]:
        """Mask passwords in all that is text, but for ids: there may be a thousand."""
        return {name: value if name == "order_ids" else _masked(value) for name, value in log_data.items()}


class MaskingFormatter(logging.Formatter):
    """Writes lines as another formatter does, with passwords masked: also in what libraries say, and in tracebacks.

    Args:
        formatter: the other one.
    """

    def __init__(self, formatter: logging.Formatter) -> None:
        super().__init__()
        self._formatter = formatter

    def format(self, record: logging.LogRecord) -> str:
        """Return the line."""
        return mask(self._formatter.format(record))


def formatter(log_format: str, text: logging.Formatter) -> logging.Formatter:
    """Return what writes lines.

    Args:
        log_format: as in ``ORDERS_LOG_FORMAT``.
        text: how lines are written as text.
    """
    return JsonFormatter() if log_format == "json" else MaskingFormatter(text)


def set_up(log_format: str) -> None:
    """Have a command write warnings and worse to standard error. What has set up logging before keeps it."""
    handler = logging.StreamHandler(sys.stderr)
    handler.setFormatter(formatter(log_format, logging.Formatter(TEXT)))
    logging.basicConfig(handlers=[handler], level=logging.WARNING)


def _masked(value: Any) -> Any:
    if isinstance(value, str):
        return mask(value)
    if isinstance(value, dict):
        return {name: _masked(part) for name, part in value.items()}
    return [_masked(part) for part in value] if isinstance(value, list | tuple) else value
