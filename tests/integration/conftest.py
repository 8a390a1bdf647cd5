"""The account of the races, at the end of a run."""

from __future__ import annotations

import pytest


def pytest_terminal_summary(terminalreporter: pytest.TerminalReporter) -> None:
    """Print what the rivals did."""
    told = [
        told for test in terminalreporter.getreports("passed") for name, told in test.user_properties if name == "race"
    ]
    if told:
        terminalreporter.section("races")
        for race in told:
            terminalreporter.line("  ".join(f"{name} {value}" for name, value in race.items()))
