"""Numbers and texts of others in what people read."""

from __future__ import annotations


def counted(number: int, noun: str) -> str:
    """Return a number with its noun: "1 order", "2,500 orders"."""
    return f"{number:,} {noun}" if number == 1 else f"{number:,} {noun}s"


def plain(text: object) -> str:
    """Return a text of others for a terminal: with control characters replaced, except newlines."""
    return "".join(each if each.isprintable() or each == "\n" else "\ufffd" for each in str(text))
