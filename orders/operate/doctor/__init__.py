"""The checks of ``orders doctor`` on the servers, processes and settings of a deployment.

A check is a function that yields `Finding`s. There is one module of checks per subject. The checks of Celery are in the
package `tasks` and are loaded through the entry point ``order_expiry.checks``.
"""

from __future__ import annotations

from orders.operate.doctor.examination import Examination, examine
from orders.operate.doctor.findings import (
    BROKER,
    REDIS,
    Check,
    Finding,
    Patient,
    Severity,
    Unreachable,
    error,
    ok,
    unknown,
    warning,
)

__all__ = [
    "BROKER",
    "REDIS",
    "Check",
    "Examination",
    "Finding",
    "Patient",
    "Severity",
    "Unreachable",
    "error",
    "examine",
    "ok",
    "unknown",
    "warning",
]
