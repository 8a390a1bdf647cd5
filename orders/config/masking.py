"""Masking of passwords in logs and errors."""

from __future__ import annotations

import re

_IN_URL = re.compile(r"(\w://[^:/@\s\[]*:)(?:(?!\w://)\S)*@")
"""From the user name to the last @ before a blank or the next URL: a password may contain any other character."""

_SECRETS = ("password", "passwd", "passphrase", "pwd", "secret", "token")
"""Names of secrets in the query of a URL, in a driver's connection string, and in a mapping."""

_NAMED = re.compile(
    rf"""((?:{"|".join(_SECRETS)})(?:=|["']:\s*))('[^']*'|"[^"]*"|[^\s&;,'")]*[^\s&;,'"):])""", re.IGNORECASE
)


_SIGNING = re.compile(r"(whsec_)[\w+/=-]+")
"""A secret that signs webhooks."""


def mask(text: str) -> str:
    """Return the text with passwords in URLs, and values named like a secret, replaced by ``***``."""
    if "whsec_" in text:
        text = _SIGNING.sub(r"\1***", text)
    if "://" in text:
        text = _IN_URL.sub(r"\1***@", text)
    lower = text.lower()
    if any(name in lower for name in _SECRETS):  # on a line with 1,000 ids, the expression is as slow as expiring them
        text = _NAMED.sub(r"\1***", text)
    return text
