"""Messages about invalid settings."""

from __future__ import annotations

import re
from collections.abc import Mapping

from pydantic import ValidationError
from pydantic.fields import FieldInfo

from orders.config.masking import mask


def explain(error: ValidationError, prefix: str, fields: Mapping[str, FieldInfo]) -> str:
    """Return a message with the name of each invalid setting, its value, and what is accepted.

    Args:
        error: what Pydantic found.
        prefix: the prefix of the settings' names.
        fields: the settings.
    """
    lines = []
    for problem in error.errors():
        name = "".join(str(part) for part in problem["loc"][:1])
        if problem["type"] == "extra_forbidden":
            known = ", ".join(sorted(known.upper() for known in fields))
            lines.append(f"unknown setting {prefix}{name.upper()}; the settings are {known}")
        elif name in fields:
            accepted = fields[name].description
            lines.append(f"{prefix}{name.upper()} is {_masked(name, problem['input'])}: it must be {accepted}")
        else:
            lines.append(problem["msg"].removeprefix("Value error, "))
    return "; ".join(lines)


def _masked(name: str, value: object) -> str:
    """Return the value of a setting, masked. In an invalid URL, better to mask too much than too little."""
    if name in {"web_login", "webhook_secret"}:  # it is wrong, so nobody knows which part is the secret
        return "***"
    text = repr(value)
    if name == "webhook_url":  # a path is often a secret
        return re.sub(r"[^\s,'\"()\[\]]+", _without_path, text)
    if name.endswith("_url"):
        text = re.sub(r"^(['\"](?:[\w+.-]*:/+)?[^:/@]*:).*@", r"\1***@", text, flags=re.DOTALL)
        text = re.sub(r"^(['\"][\w+.-]+:/+[^:/@]*:)(?!\d+\b)[^/@'\"]*(?!.*@)", r"\1***", text)
    return mask(text)


def _without_path(found: re.Match[str]) -> str:
    """Return the scheme and the host of a URL in an invalid list of URLs."""
    host = re.match(r"((?:[\w.-]+=)?\w+://)(?:.*@)?([^/?#]*)", found[0])
    return f"{host[1]}{host[2]}/***" if host else "***"
