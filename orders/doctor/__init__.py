"""What ``orders doctor`` finds: a deployment's servers, processes and settings, and what to do about each finding.

A check is a function that yields `Finding`s; those of one subject stand in one module. Checks about Celery's side come
from the package `tasks`, by the entry point ``order_expiry.checks``.
"""

from __future__ import annotations

from orders.doctor.examining import Examination, examine
from orders.doctor.findings import Check, Finding, Patient, Severity

__all__ = ["Check", "Examination", "Finding", "Patient", "Severity", "examine"]
