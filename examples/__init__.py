"""Worked examples: each runs by itself, ``python -m examples.<name>``."""
