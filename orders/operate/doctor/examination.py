"""Run all checks concurrently, within a time limit."""

from __future__ import annotations

import time
from collections.abc import Mapping, Sequence
from contextvars import copy_context
from dataclasses import dataclass, field
from importlib.metadata import EntryPoint, entry_points
from threading import Thread

from orders import names
from orders.errors import OrdersError, ScheduleUnavailable, StoreUnavailable
from orders.operate.doctor import about_database, about_pause, about_redis, about_schedule, about_webhooks
from orders.operate.doctor.findings import (
    BROKER,
    DATABASE,
    REDIS,
    Check,
    Finding,
    Patient,
    Severity,
    Unreachable,
    error,
    unknown,
)
from orders.operate.shadow import what_hides

SERVERS: Mapping[str, Sequence[str]] = {
    "redis": (REDIS,),
    "schedule": (REDIS, DATABASE),
    "database": (DATABASE,),
    "celery": (BROKER, REDIS),
}
"""The servers for which the checks of each subject may wait; the most likely one first."""

ADVICE = {
    REDIS: "Start it, or correct ORDERS_REDIS_URL. Until then nothing is scheduled or expired, and no order is lost.",
    DATABASE: "Start it, or correct its address and password. Until then orders wait, and no attempt is counted.",
    BROKER: "Start it, or correct its address. Until then no task runs; what is due is sent once it is back.",
}
"""What to do about a server that cannot be reached."""

ENTRY_POINT = "order_expiry.checks"
"""The group of entry points with more checks: mappings of names to checks, like the ``CHECKS`` of the modules here.

An entry point named ``orders`` or ``order_expiry`` is for processes that use the package by this name.
"""


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
    rooms = about_redis, about_database, about_webhooks, about_schedule, about_pause
    ours = {name: check for each in rooms for name, check in each.CHECKS.items()}
    for found in entry_points(group=ENTRY_POINT):
        if found.name == names.OTHER:
            continue
        try:
            ours.update(found.load())
        except Exception as problem:  # noqa: BLE001 - the other checks must run all the same
            ours[found.value] = _not_loaded(found, problem)
    return ours


def _not_loaded(found: EntryPoint, problem: Exception) -> Check:
    told = f"these checks cannot be loaded: {type(problem).__name__}: {problem}"
    advice = what_hides(found.module.partition(".")[0]) or "Reinstall the package that these checks are in."
    return lambda _: iter([error(found.value, told, advice)])


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
    causes = Causes(seconds)
    return Examination([finding.masked() for each in running for finding in each.findings(causes)])


class Causes:
    """Tells each cause once: what else fails because of it is unknown.

    Args:
        seconds: the time limit of the checks.
    """

    def __init__(self, seconds: float) -> None:
        self._seconds = seconds
        self._told: dict[str, str] = {}
        """The check that has told of each cause."""

    def judge(self, name: str, problem: Exception | None) -> Finding:
        """Return the finding for a check that could not be made.

        Args:
            name: the name of the check.
            problem: what it raised; None if it did not end in time.
        """
        possible = SERVERS.get(name.partition(".")[0], (name,)) if problem is None else (_cause(problem),)
        for cause in possible:
            if cause in self._told:
                return unknown(name, f"not checked, because of {self._told[cause]}")
        self._told[possible[0]] = name
        if problem is None:
            advice = "The server hangs or is very slow. Check it, or try again with a longer --timeout."
            return error(name, f"no answer within {self._seconds:g} s", advice)
        if isinstance(problem, OrdersError):
            return error(
                name, str(problem), ADVICE.get(possible[0], "Fix this first: checks that depend on it cannot run.")
            )
        return error(name, f"{type(problem).__name__}: {problem}", "The check itself failed. Please report it.")


def _cause(problem: Exception) -> str:
    """Return what an error is about: a server that is away, or else just this error."""
    if isinstance(problem, Unreachable):
        return problem.server
    if isinstance(problem, ScheduleUnavailable):
        return REDIS
    return DATABASE if isinstance(problem, StoreUnavailable) else f"{type(problem).__name__}: {problem}"


class _Running(Thread):
    """A running check. Its thread is a daemon, so that a hanging server delays neither other checks nor the exit."""

    def __init__(self, name: str, check: Check, patient: Patient) -> None:
        super().__init__(name=name, daemon=True)
        self._check = check
        self._patient = patient
        self._findings: list[Finding] = []
        self._problem: Exception | None = None
        self._context = copy_context()

    def run(self) -> None:
        """Run the check, with what its caller uses (`orders.process.using`)."""
        try:
            self._findings = self._context.run(lambda: list(self._check(self._patient)))
        except Exception as problem:  # noqa: BLE001 - a check that fails must not hide the findings of others
            self._problem = problem

    def findings(self, causes: Causes) -> Sequence[Finding]:
        """Return what the check has found."""
        if self.is_alive() or self._problem:
            return [causes.judge(self.name, None if self.is_alive() else self._problem)]
        return self._findings
