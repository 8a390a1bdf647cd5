"""Benchmarks that anyone can run again: ``python -m benchmarks``. What is measured, and how, is in README.md here."""
