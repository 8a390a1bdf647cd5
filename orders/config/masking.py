"""Hiding passwords in what people read."""

from __future__ import annotations

import re

_IN_URL = re.compile(r"(\w://[^:/@\s\[]*:)(?:(?!\w://)\S)*@")
"""Between the name of a user and the last @ before a blank or the next URL: a password may hold any other character."""

_SECRETS = ("password", "passwd", "passphrase", "pwd", "secret", "token")
"""What a secret is called: in the query of a URL, in a driver's words for a connection, in a mapping."""

_NAMED = re.compile(
    rf"""((?:{"|".join(_SECRETS)})(?:=|["']:\s*))('[^']*'|"[^"]*"|[^\s&;,'")]*[^\s&;,'"):])""", re.IGNORECASE
)


def mask(text: str) -> str:
    """Return text fit for logs and errors: passwords in URLs, and what is called a password, are hidden."""
    if "://" in text:
        text = _IN_URL.sub(r"\1***@", text)
    lower = text.lower()
    if any(name in lower for name in _SECRETS):  # a line with 1,000 ids takes the expression as long as its orders
        text = _NAMED.sub(r"\1***", text)
    return text
