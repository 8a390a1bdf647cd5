"""The settings of webhooks: where events are posted, with which secrets, and to which addresses they may go."""

from __future__ import annotations

import re
from base64 import b64decode
from collections import Counter
from collections.abc import Sequence
from dataclasses import dataclass, field
from functools import cached_property
from ipaddress import IPv4Network, IPv6Network, ip_network
from typing import Annotated, Self
from urllib.parse import urlsplit

from pydantic import Field, SecretStr, field_validator, model_validator
from pydantic_settings import BaseSettings, NoDecode

_NAME = r"[A-Za-z0-9][A-Za-z0-9._-]{0,63}"
_URL = re.compile(rf"(?:(?P<name>{_NAME})=)?(?P<url>https?://[!-~]+)", re.IGNORECASE)
_SECRET = re.compile(rf"(?:(?P<name>{_NAME})=)?(?P<secret>whsec_[A-Za-z0-9+/]+={{0,2}})")
_HOST = re.compile(r"[a-z0-9_]([a-z0-9_.-]{0,251}[a-z0-9_])?\.?")

LONGEST_NAME, LONGEST_URL = 64, 2048

SIZES = range(24, 65)
"""How many bytes a secret may have, by the specification."""

Network = IPv4Network | IPv6Network


@dataclass(frozen=True, slots=True)
class Endpoint:
    """A receiver of webhooks."""

    name: str
    """Unique, and stable: under this name the database knows what was delivered."""
    url: str = field(repr=False)
    """May contain a token: show the `origin` instead."""
    secrets: tuple[SecretStr, ...]
    """Each signs, so that a receiver can change from one to another."""

    @property
    def origin(self) -> str:
        """The URL without its path."""
        parts = urlsplit(self.url)
        return f"{parts.scheme}://{parts.netloc}"


class WebhookSettings(BaseSettings):
    """The settings of webhooks; see `orders.config.Settings`."""

    webhook_url: Annotated[tuple[str, ...], NoDecode] = Field(
        (),
        repr=False,
        description="URLs, separated by commas or spaces, such as https://erp.example.com/orders; with a name "
        "erp=https://… if two have the same host; without a user or password",
    )
    """Where events are posted; by default nowhere."""
    webhook_secret: Annotated[tuple[SecretStr, ...], NoDecode] = Field(
        (),
        repr=False,
        description="secrets, separated by commas or spaces: whsec_ and 24 to 64 bytes in base64; erp=whsec_… for one "
        "endpoint",
    )
    """The secrets that sign. Of several, each signs, so that receivers can change from the old one to the new one."""
    webhook_allow: Annotated[tuple[str, ...], NoDecode] = Field(
        (),
        description="names of hosts, addresses and networks, separated by commas or spaces, such as erp.internal or "
        "10.0.0.0/8",
    )
    """Where events may go besides public addresses over https; there also over http."""
    webhook_timeout: float = Field(
        15, gt=0, le=300, allow_inf_nan=False, description="a number of seconds above 0, at most 300"
    )
    """How long a receiver may take to answer."""

    @cached_property
    def webhooks(self) -> tuple[Endpoint, ...]:
        """The endpoints."""
        common, own = _secrets(self.webhook_secret)
        return tuple(
            Endpoint(name, url, own.get(name.lower(), common)) for name, url in map(_endpoint, self.webhook_url)
        )

    @cached_property
    def allowed_networks(self) -> tuple[Network, ...]:
        """The addresses and networks in ``ORDERS_WEBHOOK_ALLOW``."""
        return tuple(network for text in self.webhook_allow if (network := _network(text)))

    @cached_property
    def allowed_hosts(self) -> frozenset[str]:
        """The names of hosts in ``ORDERS_WEBHOOK_ALLOW``."""
        return frozenset(text.lower().rstrip(".") for text in self.webhook_allow if not _network(text))

    @field_validator("webhook_url", "webhook_secret", "webhook_allow", mode="before")
    @classmethod
    def _split_at_blanks(cls, text: object) -> object:
        return tuple(part for part in re.split(r"[\s,]+", text) if part) if isinstance(text, str) else text

    @field_validator("webhook_url")
    @classmethod
    def _are_urls(cls, urls: tuple[str, ...]) -> tuple[str, ...]:
        names = Counter(_endpoint(text)[0].lower() for text in urls)
        if any(number > 1 for number in names.values()):
            raise ValueError("two endpoints with the same name")
        return urls

    @field_validator("webhook_secret")
    @classmethod
    def _are_secrets(cls, secrets: tuple[SecretStr, ...]) -> tuple[SecretStr, ...]:
        _secrets(secrets)
        return secrets

    @field_validator("webhook_allow")
    @classmethod
    def _are_places(cls, places: tuple[str, ...]) -> tuple[str, ...]:
        if not all(_network(text) or _HOST.fullmatch(text.lower()) for text in places):
            raise ValueError("neither a host nor a network")
        return places

    @model_validator(mode="after")
    def _have_secrets(self) -> Self:
        _, own = _secrets(self.webhook_secret)
        names = {endpoint.name.lower(): endpoint for endpoint in self.webhooks}
        if unknown := sorted(own.keys() - names.keys()):
            known = f"the endpoints in ORDERS_WEBHOOK_URL are {', '.join(names) or 'none'}"
            raise ValueError(f"ORDERS_WEBHOOK_SECRET has a secret for {unknown[0]!r}: {known}")
        for name, endpoint in names.items():
            if not endpoint.secrets:
                raise ValueError(
                    f"ORDERS_WEBHOOK_URL has the endpoint {name!r}, and ORDERS_WEBHOOK_SECRET has no secret for it: it "
                    "must have one such as whsec_ and what `openssl rand -base64 32` prints"
                )
            if endpoint.url.lower().startswith("http:") and not self.webhook_allow:
                raise ValueError(
                    f"ORDERS_WEBHOOK_URL has the endpoint {name!r} with http: it must be https, or "
                    "ORDERS_WEBHOOK_ALLOW must name its host or network"
                )
        return self


def _endpoint(text: str) -> tuple[str, str]:
    """Return the name of an endpoint, by default its host and port, and its URL."""
    found = _URL.fullmatch(text)
    if not found or len(text) > LONGEST_URL:
        raise ValueError("not a URL")
    parts = urlsplit(found["url"])
    if not parts.hostname or parts.username is not None or parts.fragment or not _is_port(parts.port):
        raise ValueError("a URL without a host, or with what is not posted to")
    name = found["name"] or parts.netloc.lower()
    if len(name) > LONGEST_NAME:
        raise ValueError("a long host, which needs a short name")
    return name, found["url"]


def _is_port(port: int | None) -> bool:
    return port is None or port > 0


def _secrets(given: Sequence[SecretStr]) -> tuple[tuple[SecretStr, ...], dict[str, tuple[SecretStr, ...]]]:
    """Return the secrets of all endpoints, and those of single ones by name."""
    common: list[SecretStr] = []
    own: dict[str, tuple[SecretStr, ...]] = {}
    for each in given:
        found = _SECRET.fullmatch(each.get_secret_value())
        if not found or len(b64decode(found["secret"].removeprefix("whsec_"), validate=True)) not in SIZES:
            raise ValueError("not a secret")
        secret, name = SecretStr(found["secret"]), (found["name"] or "").lower()
        if name:
            own[name] = (*own.get(name, ()), secret)
        else:
            common.append(secret)
    return tuple(common), own


def _network(text: str) -> Network | None:
    """Return an address or a network; None if it is the name of a host."""
    try:
        return ip_network(text, strict=False)
    except ValueError:
        return None
