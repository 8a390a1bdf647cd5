"""Log lines: their fields, and their format as text or JSON.

A log line says in words what happened, and carries the same facts as fields, with `about`::

    logger.info("sweep claimed=%d sent=%d", 3, 3, extra=about("sweep", claimed=3, sent=3))

The fields are attributes of the log record, as in the standard library, so a shop gets them with its own logging
configuration and formatters too. docs/how-to/logs.md lists the names of the fields.
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
"""The text format of log lines in commands."""

SAID = {"paused", "resumed"}
"""The events whose warnings a command repeats on standard output."""

_NOT_FIELDS = [*RESERVED_ATTRS, "taskName", "data"]
"""Attributes of a record that are not fields: the formatter's reserved ones, asyncio's task name, Celery's data."""


def about(event: str, order_ids: Sequence[str] = (), **fields: object) -> dict[str, object]:
    """Return the fields of a log line, for ``extra``.

    Args:
        event: the name of the event, one word, the same in all lines of its kind.
        order_ids: the orders.
        fields: other fields. A name means the same in all lines: "lease" is a fencing token.
    """
    named = {"order_ids": ids.all_printable(order_ids)} if order_ids else {}
    return {"event": event, **named, **fields}


class JsonFormatter(json.JsonFormatter):
    """Writes each log line as a JSON object, with passwords masked.

    It takes no arguments, so that ``dictConfig`` can use it: ``{"()": "orders.logs.JsonFormatter"}``.
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
            reserved_attrs=_NOT_FIELDS,
        )

    def formatTime(self, record: logging.LogRecord, datefmt: str | None = None) -> str:  # noqa: ARG002, N802 - logging's signature
        """Return the time in UTC, as in 2026-01-31T12:00:00.000+00:00."""
        return datetime.fromtimestamp(record.created, UTC).isoformat(timespec="milliseconds")

    def process_log_record(self, log_data: dict[str, Any]) -> dict[str, Any]:
        """Mask passwords in all text except order ids, of which there may be a thousand."""
        return {name: value if name == "order_ids" else _masked(value) for name, value in log_data.items()}


class MaskingFormatter(logging.Formatter):
    """Masks passwords in the lines of another formatter, including messages of libraries and tracebacks.

    Args:
        formatter: the other formatter.
    """

    def __init__(self, formatter: logging.Formatter) -> None:
        super().__init__()
        self._formatter = formatter

    def format(self, record: logging.LogRecord) -> str:
        """Return the log line."""
        return mask(self._formatter.format(record))


def formatter(log_format: str, text: logging.Formatter) -> logging.Formatter:
    """Return the formatter for a log format.

    Args:
        log_format: as in ``ORDERS_LOG_FORMAT``.
        text: the formatter for text.
    """
    return JsonFormatter() if log_format == "json" else MaskingFormatter(text)


def set_up(log_format: str) -> None:
    """Write warnings and errors of a command to standard error, unless logging is configured already.

    As text, without warnings about a pause: the command itself says that it has begun or ended one.
    """
    handler = logging.StreamHandler(sys.stderr)
    if log_format == "text":
        handler.addFilter(lambda record: record.levelno > logging.WARNING or getattr(record, "event", "") not in SAID)
    handler.setFormatter(formatter(log_format, logging.Formatter(TEXT)))
    logging.basicConfig(handlers=[handler], level=logging.WARNING)


def _masked(value: Any) -> Any:
    if isinstance(value, str):
        return mask(value)
    if isinstance(value, dict):
        return {name: _masked(part) for name, part in value.items()}
    return [_masked(part) for part in value] if isinstance(value, list | tuple) else value
