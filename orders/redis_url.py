"""The URL of a Redis: of one server, of what Sentinels watch over, or of a cluster.

| URL | what it names |
| --- | --- |
| ``redis://[user:password@]host[:6379][/db]`` | one server |
| ``rediss://…`` | the same over TLS |
| ``unix:///path/to/socket[?db=0]`` | the same over a socket |
| ``sentinel://[user:password@]host[:26379],…/master[/db]`` | the master of that name, as these Sentinels know it |
| ``sentinels://…`` | the same over TLS |
| ``cluster://[user:password@]host[:6379],…`` | the cluster that these servers are of |
| ``clusters://…`` | the same over TLS |

User and password are those of the servers; those of the Sentinels are ``?sentinel_username=…&sentinel_password=…``. All
else in the query (``ssl_ca_certs``, ``socket_timeout``, …) means what it means to redis-py.
"""

from __future__ import annotations

import re
from collections.abc import Mapping
from dataclasses import dataclass
from typing import Literal, NamedTuple, Self
from urllib.parse import parse_qsl, urlencode, urlsplit

Kind = Literal["server", "sentinel", "cluster"]

FORMS = (
    "redis://[user:password@]host[:port][/db], rediss://… for TLS, unix:///path/to/socket[?db=0], "
    "sentinel://[user:password@]host[:port],host[:port]/master[/db], or "
    "cluster://[user:password@]host[:port],host[:port] (sentinels://… and clusters://… for TLS)"
)
"""What is accepted, in words."""


class Broker(NamedTuple):
    """A broker, in Celery's words."""

    url: str
    options: Mapping[str, object]
    """For its ``broker_transport_options``."""
    is_tls: bool = False
    """Whether it needs ``broker_use_ssl``, because the URL cannot tell."""


_KINDS: dict[str, tuple[Kind, str, int]] = {
    "redis": ("server", "redis", 6379),
    "rediss": ("server", "rediss", 6379),
    "sentinel": ("sentinel", "redis", 26379),
    "sentinels": ("sentinel", "rediss", 26379),
    "cluster": ("cluster", "redis", 6379),
    "clusters": ("cluster", "rediss", 6379),
}
"""The kind of each scheme, the scheme that redis-py has for it, and the usual port."""

_OF_SENTINELS = "sentinel_"


@dataclass(frozen=True, slots=True)
class RedisUrl:
    """A URL, taken apart."""

    kind: Kind
    hosts: tuple[tuple[str, int], ...]
    """Hosts and ports: of the server, of the Sentinels, or of some servers of the cluster. None of a socket."""
    plain: str
    """The same as redis-py knows it, with the first host: it tells user, password, database, TLS and options."""
    master: str = ""
    """The name of the master."""
    sentinel_options: tuple[tuple[str, str], ...] = ()
    """Options for the connections to the Sentinels."""

    @classmethod
    def parse(cls, url: str) -> Self:
        """Take a URL apart.

        Raises:
            ValueError: it is none of the `FORMS`.
        """
        parts = urlsplit(url)
        if parts.scheme == "unix" and parts.path:
            return cls("server", (), url)
        if parts.scheme not in _KINDS:
            raise ValueError("not the URL of a Redis")
        kind, scheme, port = _KINDS[parts.scheme]
        user, at, listed = parts.netloc.rpartition("@")
        hosts = tuple(_host(each, scheme, port) for each in listed.split(","))
        if kind == "server" and len(hosts) > 1:
            raise ValueError("a server has one host")
        master, _, database = parts.path.removeprefix("/").partition("/") if kind == "sentinel" else ("", "", "")
        if kind == "sentinel" and not master:
            raise ValueError("the name of the master is lacking")
        if kind == "cluster" and parts.path.strip("/0"):
            raise ValueError("a cluster has no databases")
        query = parse_qsl(parts.query, keep_blank_values=True)
        path = {"server": parts.path, "sentinel": f"/{database}", "cluster": ""}[kind]
        first = listed.split(",")[0]
        options = urlencode([(name, value) for name, value in query if not name.startswith(_OF_SENTINELS)])
        return cls(
            kind=kind,
            hosts=hosts,
            plain=f"{scheme}://{user}{at}{first}{path}{'?' if options else ''}{options}",
            master=master,
            sentinel_options=tuple(
                (name.removeprefix(_OF_SENTINELS), value) for name, value in query if name.startswith(_OF_SENTINELS)
            ),
        )

    @property
    def is_tls(self) -> bool:
        """Whether connections are encrypted."""
        return self.plain.startswith("rediss://")

    @property
    def broker(self) -> Broker:
        """What kombu calls it. It has words of its own for a socket, and for what Sentinels watch over."""
        if self.kind == "sentinel":
            parts = urlsplit(self.plain)
            user, at, _ = parts.netloc.rpartition("@")
            urls = ";".join(f"sentinel://{user}{at}{host}:{port}{parts.path}" for host, port in self.hosts)
            options = {"master_name": self.master, "sentinel_kwargs": dict(self.sentinel_options)}
            return Broker(urls, options, is_tls=self.is_tls)
        if self.plain.startswith("unix://"):
            path = re.sub(r"([?&])db=", r"\1virtual_host=", self.plain.removeprefix("unix://"))
            return Broker(f"redis+socket://{path}", {})
        return Broker(self.plain, {})


def is_ours(url: str) -> bool:
    """Tell whether a URL has one of the `FORMS`, and is not for kombu alone, such as several with ``;`` between."""
    return url.partition("://")[0] in {"unix", *_KINDS} and ";" not in url


def _host(text: str, scheme: str, usual: int) -> tuple[str, int]:
    parts = urlsplit(f"{scheme}://{text}")
    if not parts.hostname:
        raise ValueError("a host is lacking")
    return parts.hostname, parts.port or usual  # the port raises a ValueError of its own
