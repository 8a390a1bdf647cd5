"""Run all checks concurrently, within a time limit."""

from __future__ import annotations

import time
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from importlib.metadata import entry_points
from threading import Thread

from orders.errors import OrdersError
from orders.operate.doctor import about_database, about_redis, about_schedule
from orders.operate.doctor.findings import Check, Finding, Patient, Severity, error

ENTRY_POINT = "order_expiry.checks"
"""The group of entry points with more checks: mappings of names to checks, like the ``CHECKS`` of the modules here."""


@dataclass(frozen=True, slots=True)
class Examination:
    """The findings of all checks."""

    findings: Sequence[Finding] = field(default_factory=list)

    @property
    def worst(self) -> Severity:
        """The highest severity."""
        return max((finding.severity for finding in self.findings), default=Severity.OK)


def checks() -> Mapping[str, Check]:
    """Return all checks by name, in the order of their subjects."""
    ours = {**about_redis.CHECKS, **about_database.CHECKS, **about_schedule.CHECKS}
    for found in entry_points(group=ENTRY_POINT):
        ours.update(found.load())
    return ours


def examine(patient: Patient, *, seconds: float = 20.0) -> Examination:
    """Examine a deployment.

    Args:
        patient: the deployment.
        seconds: the time limit for all checks. A check that is still running then becomes an error.
    """
    give_up = time.monotonic() + seconds
    running = [_Running(name, check, patient) for name, check in checks().items()]
    for each in running:
        each.start()
    for each in running:
        each.join(max(give_up - time.monotonic(), 0.0))
    return Examination([finding.masked() for each in running for finding in each.findings(seconds)])


class _Running(Thread):
    """A running check. Its thread is a daemon, so that a hanging server delays neither other checks nor the exit."""

    def __init__(self, name: str, check: Check, patient: Patient) -> None:
        super().__init__(name=name, daemon=True)
        self._check = check
        self._patient = patient
        self._findings: list[Finding] = []

    def run(self) -> None:
        """Run the check."""
        found = []
        try:
            found = list(self._check(self._patient))
        except OrdersError as problem:
            found = [error(self.name, str(problem), "Fix this first: checks that depend on it cannot run.")]
        except Exception as problem:  # noqa: BLE001 - a check that fails must not hide the findings of others
            advice = "The check itself failed. Please report it."
            found = [error(self.name, f"{type(problem).__name__}: {problem}", advice)]
        self._findings = found

    def findings(self, seconds: float) -> Sequence[Finding]:
        if self.is_alive():
            advice = "The server hangs or is very slow. Check it, or try again with a longer --timeout."
            return [error(self.name, f"no answer within {seconds:g} s", advice)]
        return self._findings
