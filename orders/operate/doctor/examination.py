"""The examination: all checks, beside each other, within a time."""

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
"""The group of entry points whose objects are mappings of names to checks, as the modules here have them."""


@dataclass(frozen=True, slots=True)
class Examination:
    """What was found."""

    findings: Sequence[Finding] = field(default_factory=list)

    @property
    def worst(self) -> Severity:
        """The worst of it."""
        return max((finding.severity for finding in self.findings), default=Severity.OK)


def checks() -> Mapping[str, Check]:
    """Return all checks by their names, in the order of their subjects."""
    ours = {**about_redis.CHECKS, **about_database.CHECKS, **about_schedule.CHECKS}
    for found in entry_points(group=ENTRY_POINT):
        ours.update(found.load())
    return ours


def examine(patient: Patient, *, seconds: float = 20.0) -> Examination:
    """Examine a deployment.

    Args:
        patient: what to examine.
        seconds: how long all of it may take. A check that has not come to its end by then is an error of its name.
    """
    give_up = time.monotonic() + seconds
    running = [_Running(name, check, patient) for name, check in checks().items()]
    for each in running:
        each.start()
    for each in running:
        each.join(max(give_up - time.monotonic(), 0.0))
    return Examination([finding.masked() for each in running for finding in each.told(seconds)])


class _Running(Thread):
    """A check that runs. A thread of its own, which ends with the process: a server that hangs holds up nobody."""

    def __init__(self, name: str, check: Check, patient: Patient) -> None:
        super().__init__(name=name, daemon=True)
        self._check = check
        self._patient = patient
        self._found: list[Finding] = []

    def run(self) -> None:
        """Run it."""
        found = []
        try:
            found = list(self._check(self._patient))
        except OrdersError as problem:
            found = [error(self.name, str(problem), "Mend this first: what depends on it cannot be checked.")]
        except Exception as problem:  # noqa: BLE001 - one check that fails must not hide what the others found
            advice = "This check itself failed: please report it."
            found = [error(self.name, f"{type(problem).__name__}: {problem}", advice)]
        self._found = found

    def told(self, seconds: float) -> Sequence[Finding]:
        if self.is_alive():
            advice = "What it asks hangs, or is very slow. Try again with --timeout, and look at that server."
            return [error(self.name, f"no answer within {seconds:g} s", advice)]
        return self._found
