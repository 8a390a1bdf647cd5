"""The URL of a Redis server, of a master behind Sentinels, or of a Redis Cluster.

| URL | meaning |
| --- | --- |
| ``redis://[user:password@]host[:6379][/db]`` | one server |
| ``rediss://…`` | the same over TLS |
| ``unix:///path/to/socket[?db=0]`` | the same over a socket |
| ``sentinel://[user:password@]host[:26379],…/master[/db]`` | the master of that name, which these Sentinels monitor |
| ``sentinels://…`` | the same over TLS, also to the Sentinels |
| ``cluster://[user:password@]host[:6379],…`` | the cluster to which these servers belong |
| ``clusters://…`` | the same over TLS |

User and password are for the Redis servers; for the Sentinels, add ``?sentinel_username=…&sentinel_password=…``. Other
options in the query (``ssl_ca_certs``, ``socket_timeout``, …) are those of redis-py. The schemes ``redis+sentinel://``,
``rediss+sentinel://``, ``redis+cluster://`` and ``rediss+cluster://`` of other libraries work, too.
"""

from __future__ import annotations

import re
from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Any, Literal, Self
from urllib.parse import parse_qsl, unquote, urlencode, urlsplit

from redis.connection import Connection, parse_url
from redis.exceptions import RedisError

Kind = Literal["server", "socket", "sentinel", "cluster"]

FORMS = (
    "redis://[user:password@]host[:port][/db], rediss://… for TLS, unix:///path/to/socket[?db=0], "
    "sentinel://[user:password@]host[:port],host[:port]/master[/db], or "
    "cluster://[user:password@]host[:port],host[:port] (sentinels://… and clusters://… for TLS), "
    "with options of redis-py"
)
"""What is accepted, for error messages."""

_KINDS: Mapping[str, tuple[Kind, str, int]] = {
    "redis": ("server", "redis", 6379),
    "rediss": ("server", "rediss", 6379),
    "unix": ("socket", "unix", 0),
    "sentinel": ("sentinel", "redis", 26379),
    "sentinels": ("sentinel", "rediss", 26379),
    "redis+sentinel": ("sentinel", "redis", 26379),
    "rediss+sentinel": ("sentinel", "rediss", 26379),
    "cluster": ("cluster", "redis", 6379),
    "clusters": ("cluster", "rediss", 6379),
    "redis+cluster": ("cluster", "redis", 6379),
    "rediss+cluster": ("cluster", "rediss", 6379),
}
"""For each scheme: the kind, redis-py's scheme, and the default port."""

_OF_SENTINELS = "sentinel_"


@dataclass(frozen=True, slots=True)
class RedisUrl:
    """The parts of a URL."""

    kind: Kind
    hosts: tuple[tuple[str, int], ...]
    """Hosts and ports of the server, of the Sentinels, or of some servers of the cluster. Empty for a socket."""
    is_tls: bool
    """Whether connections are encrypted."""
    options: Mapping[str, Any] = field(repr=False)
    """redis-py's connection options: ``username``, ``password``, ``db``, ``ssl_ca_certs``, …"""
    master: str = ""
    """The name of the master behind the Sentinels."""
    sentinel_options: Mapping[str, Any] | None = field(default=None, repr=False)
    """redis-py's options for connections to the Sentinels."""

    @classmethod
    def parse(cls, url: str) -> Self:
        """Parse a URL.

        Raises:
            ValueError: it has none of the `FORMS`.
        """
        parts = urlsplit(url)
        if parts.scheme not in _KINDS:
            raise ValueError("not a Redis URL")
        kind, scheme, port = _KINDS[parts.scheme]
        if kind == "socket":
            if not parts.path:
                raise ValueError("the path of the socket is missing")
            return cls(kind, (), is_tls=False, options=_options(url))
        user, at, listed = parts.netloc.rpartition("@")
        hosts = tuple(_host(each, port) for each in listed.split(","))
        if kind == "server" and len(hosts) > 1:
            raise ValueError("a server has only one host")
        master, database = "", parts.path.removeprefix("/")
        if kind == "sentinel":
            master, _, database = database.partition("/")
        if not re.fullmatch(r"\d*/?", database):  # redis-py takes "shop" for 0, and "1/2" for 12
            raise ValueError("the database is not a number")
        if kind == "sentinel" and not master:
            raise ValueError("the name of the master is missing")
        if kind == "cluster" and database.strip("0"):
            raise ValueError("a cluster has no databases")
        query, sentinel_query = _split(parts.query) if kind == "sentinel" else (parts.query, None)
        return cls(
            kind,
            hosts,
            is_tls=scheme == "rediss",
            options=_options(f"{scheme}://{user}{at}host/{database}?{query}"),
            master=unquote(master),
            sentinel_options=None if sentinel_query is None else _options(f"{scheme}://host?{sentinel_query}"),
        )


def is_ours(url: str) -> bool:
    """Return whether a URL has one of the `FORMS`. URLs joined by ``;`` are only for kombu."""
    return url.partition("://")[0] in _KINDS and ";" not in url


def _host(text: str, default_port: int) -> tuple[str, int]:
    parts = urlsplit(f"//{text}")
    if not parts.hostname:
        raise ValueError("a host is missing")
    return unquote(parts.hostname), parts.port or default_port  # an invalid port raises ValueError


def _split(query: str) -> tuple[str, str]:
    """Return the parts of a query that are for the master and for the Sentinels."""
    pairs = parse_qsl(query, keep_blank_values=True)
    master = [(name, value) for name, value in pairs if not name.startswith(_OF_SENTINELS)]
    # A private CA or a client certificate is for the Sentinels, too.
    sentinels = [
        (name.removeprefix(_OF_SENTINELS), value) for name, value in pairs if name.startswith((_OF_SENTINELS, "ssl_"))
    ]
    return urlencode(master), urlencode(sentinels)


def _options(url: str) -> Mapping[str, Any]:
    """Return the options that redis-py reads from the URL of one server, without its host and port."""
    options: dict[str, Any] = parse_url(url)
    options.pop("host", None)
    options.pop("port", None)
    connection_class = options.pop("connection_class", Connection)
    try:
        connection_class(**{name: value for name, value in options.items() if name != "max_connections"})
    except (TypeError, RedisError) as error:
        raise ValueError(f"invalid option: {error}") from error
    return options
