"""What ``orders doctor`` finds: a deployment's servers, processes and settings, and what to do about each finding.

A check is a function that yields `Finding`s; those of one subject stand in one module. Checks about Celery's side come
from the package `tasks`, by the entry point ``order_expiry.checks``.
"""

from __future__ import annotations

from orders.operate.doctor.examination import Examination, examine
from orders.operate.doctor.findings import Check, Finding, Patient, Severity, error, ok, unknown, warning

__all__ = ["Check", "Examination", "Finding", "Patient", "Severity", "error", "examine", "ok", "unknown", "warning"]
