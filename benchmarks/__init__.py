"""Benchmarks: ``python -m benchmarks``. README.md in this folder says what they measure, and how."""
