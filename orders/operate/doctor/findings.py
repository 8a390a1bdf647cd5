"""Findings, and what checks are given to find them."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from dataclasses import dataclass
from enum import IntEnum
from typing import TYPE_CHECKING, TypeAlias

from orders.config import mask
from orders.expiry import OrderExpiry

if TYPE_CHECKING:
    from orders.config import Settings


class Severity(IntEnum):
    """How bad a finding is. The worst one is the exit status of the command, with OK and UNKNOWN as 0."""

    OK = 0
    """As it should be."""
    UNKNOWN = -1
    """Not to be told: a right is lacking, or there is nothing to tell by."""
    WARNING = 1
    """Works now, and will not in a case that comes."""
    ERROR = 2
    """Orders expire late or not at all, or work is done in vain."""


@dataclass(frozen=True, slots=True)
class Finding:
    """What a check has found."""

    name: str
    """Of the check: the subject, a dot, what about it. docs/how-to/troubleshoot.md has a section for each."""
    severity: Severity
    found: str
    """What is, with figures."""
    advice: str = ""
    """What to do about it; nothing if it is as it should be."""

    def masked(self) -> Finding:
        """Return the same without passwords."""
        return Finding(self.name, self.severity, mask(self.found), mask(self.advice))


@dataclass(frozen=True, slots=True)
class Patient:
    """What is examined."""

    expiry: OrderExpiry
    """The use cases, as `orders.current` returns them."""

    @property
    def settings(self) -> Settings:
        """The settings."""
        return self.expiry.settings


Check: TypeAlias = Callable[[Patient], Iterator[Finding]]
"""A check. What it raises becomes a finding with its name."""


def ok(name: str, found: str) -> Finding:
    """Return that something is as it should be."""
    return Finding(name, Severity.OK, found)


def unknown(name: str, found: str, advice: str = "") -> Finding:
    """Return that something is not to be told."""
    return Finding(name, Severity.UNKNOWN, found, advice)


def warning(name: str, found: str, advice: str) -> Finding:
    """Return that something will not work in a case that comes."""
    return Finding(name, Severity.WARNING, found, advice)


def error(name: str, found: str, advice: str) -> Finding:
    """Return that something does not work."""
    return Finding(name, Severity.ERROR, found, advice)
