"""What lines of the log carry, and how they are written."""

from __future__ import annotations

import ast
import json
import logging
import os
import re
import subprocess
import sys
from pathlib import Path
from typing import Any

import pytest

import orders
import tasks
from orders.logs import JsonFormatter, MaskingFormatter, about

URL = "redis://shop:s3cret@localhost/0"
ROOT = Path(__file__).parents[2]
LEVELS = {"debug", "info", "warning", "error", "exception", "critical"}


def record(message: str, *arguments: object, error: BaseException | None = None, **fields: Any) -> logging.LogRecord:
    exc_info = (type(error), error, error.__traceback__) if error else None
    given = logging.LogRecord("orders.attempt", logging.WARNING, __file__, 1, message, arguments, exc_info)
    given.created = 1_893_456_000.25
    vars(given).update(fields)
    return given


def test_a_line_in_json_has_the_fields_of_its_record() -> None:
    told: dict[str, Any] = about("retried", ["42", "\udcff"], lease=1896087720.000123, outcomes={"retried": 2})
    written = json.loads(JsonFormatter().format(record("%d orders failed", 2, **told, task_id="1", task_name="t")))
    assert written == {
        "time": "2030-01-01T00:00:00.250+00:00",
        "level": "WARNING",
        "logger": "orders.attempt",
        "message": "2 orders failed",
        "event": "retried",
        "order_ids": ["42", "\\udcff"],
        "lease": 1896087720.000123,
        "outcomes": {"retried": 2},
        "task_id": "1",
        "task_name": "t",
    }


def test_what_is_no_fact_is_no_field() -> None:
    written = json.loads(JsonFormatter().format(record("done", data={"args": "(1,)"}, taskName="Task-1")))
    assert set(written) == {"time", "level", "logger", "message"}


def test_passwords_are_masked_wherever_they_are() -> None:
    try:
        raise RuntimeError(f"{URL}?password=s3cret is down")
    except RuntimeError as error:
        given = record("cannot reach %s", URL, error=error, reasons=[URL], outcomes={"at": URL})
    in_json, in_text = JsonFormatter().format(given), MaskingFormatter(logging.Formatter()).format(given)
    assert "s3cret" not in in_json + in_text
    assert "in test_passwords" in json.loads(in_json)["exception"]
    assert "redis://shop:***@localhost/0?password=*** is down" in in_text


@pytest.mark.parametrize("package", [orders, tasks])
def test_each_line_of_ours_tells_what_it_is_about(package: Any) -> None:
    found = []
    for path in Path(package.__path__[0]).rglob("*.py"):
        for call in ast.walk(ast.parse(path.read_text())):
            if isinstance(call, ast.Call) and isinstance(call.func, ast.Attribute) and call.func.attr in LEVELS:
                of = call.func.value
                if isinstance(of, ast.Name) and of.id == "logger":
                    found.append((path.name, call.lineno, "extra" in {keyword.arg for keyword in call.keywords}))
    assert found
    assert [(name, line) for name, line, is_told in found if not is_told] == []


def test_each_event_is_documented() -> None:
    told = set(re.findall(r"^\| `(\w+)` \|", (ROOT / "docs/how-to/logs.md").read_text(), re.MULTILINE))
    sources = [path.read_text() for name in ("orders", "tasks") for path in (ROOT / name).rglob("*.py")]
    events = {event for source in sources for event in re.findall(r'about\(\s*"(\w+)"', source)}
    assert events - told == set()
    assert told - events == {"event", "order_ids", "lease", "outcomes"}  # the names of fields


INSTALLED = """
import logging
from celery import Celery
import tasks
app = Celery("shop")
tasks.install(app)
app.log.setup(loglevel="INFO")
"""

OWN_ROOT = """
import logging
logging.basicConfig(format="mine %(message)s", level="INFO")
from tasks import app
app.conf.worker_hijack_root_logger = False
app.log.setup(loglevel="INFO")
"""

OURS = """
import logging
from tasks import app
app.log.setup(loglevel="INFO")
"""

COMMAND = """
import logging
from orders import logs
logs.set_up("{log_format}")
for level in (logging.WARNING, logging.ERROR):
    logging.getLogger("orders").log(level, "paused by %d", level, extra=logs.about("paused"))
"""

LINES = f"""
logging.getLogger("shop").warning("shop at %s", "{URL}")
logging.getLogger("celery.worker.strategy").info("received", extra={{"data": {{"name": "shop.task"}}}})
logging.getLogger("celery.worker.strategy").info("received", extra={{"data": {{"name": "orders.expire"}}}})
"""


def told_by(script: str, log_format: str) -> list[str]:
    """Return what a process writes that sets up logging like this."""
    environment = {**os.environ, "ORDERS_LOG_FORMAT": log_format}
    command = [sys.executable, "-c", script + LINES]
    return subprocess.run(command, env=environment, capture_output=True, text=True, check=True).stderr.splitlines()


def test_a_shop_that_runs_our_tasks_in_its_app_keeps_its_lines() -> None:
    [line, received] = told_by(INSTALLED, "json")
    assert line.endswith(f"WARNING/MainProcess] shop at {URL}")
    assert received.endswith("received")  # its own task; of each order, the line of its attempt tells


def test_a_root_logger_that_is_set_up_stays_as_it_is() -> None:
    [line] = told_by(OWN_ROOT, "json")
    assert line == f"mine shop at {URL}"


@pytest.mark.parametrize("log_format", ["text", "json"])
def test_otherwise_the_setting_says_how_lines_are_written(log_format: str) -> None:
    [line] = told_by(OURS, log_format)
    message = json.loads(line)["message"] if log_format == "json" else line.partition("] ")[2]
    assert message == "shop at redis://shop:***@localhost/0"


def test_a_command_that_pauses_says_so_once() -> None:
    assert told_by(COMMAND.format(log_format="text"), "text") == [
        "ERROR: paused by 40",  # of the brake
        "WARNING: shop at redis://shop:***@localhost/0",
    ]
    assert len(told_by(COMMAND.format(log_format="json"), "json")) == 3


def test_a_configuration_of_the_shops_own_can_name_the_formatter() -> None:
    [described] = re.findall(r"```python\n(.*?)```", (ROOT / "docs/how-to/logs.md").read_text(), re.DOTALL)
    lines = told_by(f"import logging.config\n{described}\nlogging.config.dictConfig(LOGGING)", "text")
    assert [json.loads(line)["message"] for line in lines] == [
        "shop at redis://shop:***@localhost/0",
        *["received"] * 2,
    ]
