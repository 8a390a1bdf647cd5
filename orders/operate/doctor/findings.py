"""Findings, and the argument of checks."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from dataclasses import dataclass
from enum import IntEnum
from typing import TYPE_CHECKING, TypeAlias

from orders.config import mask
from orders.errors import OrdersError
from orders.expiry import OrderExpiry

if TYPE_CHECKING:
    from orders.config import Settings


class Severity(IntEnum):
    """How bad a finding is. The highest one is the exit status of the command; OK and UNKNOWN are 0."""

    OK = 0
    """No problem."""
    UNKNOWN = -1
    """Not checked: a permission is missing, or there is nothing to compare with."""
    WARNING = 1
    """Works now, but will fail in a foreseeable case."""
    ERROR = 2
    """Orders expire late or not at all, or work is wasted."""


@dataclass(frozen=True, slots=True)
class Finding:
    """The result of a check."""

    name: str
    """The name of the check, ``subject.aspect``. docs/how-to/troubleshoot.md has a section for each."""
    severity: Severity
    found: str
    """What the check found, with figures."""
    advice: str = ""
    """What to do about it; empty if there is no problem."""

    def masked(self) -> Finding:
        """Return a copy without passwords."""
        return Finding(self.name, self.severity, mask(self.found), mask(self.advice))


@dataclass(frozen=True, slots=True)
class Patient:
    """The deployment to examine."""

    expiry: OrderExpiry
    """The use cases, as `orders.current` returns them."""

    @property
    def settings(self) -> Settings:
        """The settings."""
        return self.expiry.settings


class Unreachable(OrdersError):
    """A server of the deployment cannot be reached. The first check that raises it tells so, others are unknown.

    Args:
        server: which server, the same for all checks.
        problem: what happened.
    """

    def __init__(self, server: str, problem: str) -> None:
        super().__init__(problem)
        self.server = server


REDIS, DATABASE, BROKER = "Redis", "the database", "the broker"
"""The servers of a deployment."""

Check: TypeAlias = Callable[[Patient], Iterator[Finding]]
"""A check. An exception that it raises becomes a finding with its name."""


def ok(name: str, found: str) -> Finding:
    """Return a finding without a problem."""
    return Finding(name, Severity.OK, found)


def unknown(name: str, found: str, advice: str = "") -> Finding:
    """Return a finding for something that could not be checked."""
    return Finding(name, Severity.UNKNOWN, found, advice)


def warning(name: str, found: str, advice: str) -> Finding:
    """Return a finding for something that works now, but will fail in a foreseeable case."""
    return Finding(name, Severity.WARNING, found, advice)


def error(name: str, found: str, advice: str) -> Finding:
    """Return a finding for something that does not work."""
    return Finding(name, Severity.ERROR, found, advice)
