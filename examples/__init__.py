"""Worked examples. Run one with ``python -m examples.<name>``."""
