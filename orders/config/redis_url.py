"""The URL of a Redis: of one server, of what Sentinels watch over, or of a cluster.

| URL | what it names |
| --- | --- |
| ``redis://[user:password@]host[:6379][/db]`` | one server |
| ``rediss://…`` | the same over TLS |
| ``unix:///path/to/socket[?db=0]`` | the same over a socket |
| ``sentinel://[user:password@]host[:26379],…/master[/db]`` | the master of that name, as these Sentinels know it |
| ``sentinels://…`` | the same over TLS, to the Sentinels too |
| ``cluster://[user:password@]host[:6379],…`` | the cluster that these servers are of |
| ``clusters://…`` | the same over TLS |

User and password are those of the servers; those of the Sentinels are ``?sentinel_username=…&sentinel_password=…``. All
else in the query (``ssl_ca_certs``, ``socket_timeout``, …) means what it means to redis-py. Where others know the same
URL as ``redis+sentinel://``, ``rediss+sentinel://``, ``redis+cluster://`` or ``rediss+cluster://``, so do we.
"""

from __future__ import annotations

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
"""What is accepted, in words."""

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
"""The kind of each scheme, the scheme that redis-py has for it, and the usual port."""

_OF_SENTINELS = "sentinel_"


@dataclass(frozen=True, slots=True)
class RedisUrl:
    """A URL, taken apart."""

    kind: Kind
    hosts: tuple[tuple[str, int], ...]
    """Hosts and ports: of the server, of the Sentinels, or of some servers of the cluster. None of a socket."""
    is_tls: bool
    """Whether connections are encrypted."""
    options: Mapping[str, Any] = field(repr=False)
    """All else, in the words of redis-py: ``username``, ``password``, ``db``, ``ssl_ca_certs``, …"""
    master: str = ""
    """The name of the master."""
    sentinel_options: Mapping[str, Any] | None = field(default=None, repr=False)
    """The same as the options, for connections to the Sentinels."""

    @classmethod
    def parse(cls, url: str) -> Self:
        """Take a URL apart.

        Raises:
            ValueError: it is none of the `FORMS`.
        """
        parts = urlsplit(url)
        if parts.scheme not in _KINDS:
            raise ValueError("not the URL of a Redis")
        kind, scheme, port = _KINDS[parts.scheme]
        if kind == "socket":
            if not parts.path:
                raise ValueError("the path of a socket is lacking")
            return cls(kind, (), is_tls=False, options=_options(url))
        user, at, listed = parts.netloc.rpartition("@")
        hosts = tuple(_host(each, port) for each in listed.split(","))
        if kind == "server" and len(hosts) > 1:
            raise ValueError("a server has one host")
        master, database = "", parts.path.removeprefix("/")
        if kind == "sentinel":
            master, _, database = database.partition("/")
        if kind == "sentinel" and not master:
            raise ValueError("the name of the master is lacking")
        if kind == "cluster" and database.strip("0"):
            raise ValueError("a cluster has no databases")
        query = parse_qsl(parts.query, keep_blank_values=True)
        of_sentinels = [
            (name.removeprefix(_OF_SENTINELS), value)
            for name, value in query
            # A private authority, or a certificate of the client's, is for all of them.
            if kind == "sentinel" and name.startswith((_OF_SENTINELS, "ssl_"))
        ]
        rest = [(name, value) for name, value in query if kind != "sentinel" or not name.startswith(_OF_SENTINELS)]
        return cls(
            kind,
            hosts,
            is_tls=scheme == "rediss",
            options=_options(f"{scheme}://{user}{at}host/{database}?{urlencode(rest)}"),
            master=unquote(master),
            sentinel_options=_options(f"{scheme}://host?{urlencode(of_sentinels)}") if kind == "sentinel" else None,
        )


def is_ours(url: str) -> bool:
    """Tell whether a URL has one of the `FORMS`, and is not for kombu alone, such as several with ``;`` between."""
    return url.partition("://")[0] in _KINDS and ";" not in url


def _host(text: str, usual: int) -> tuple[str, int]:
    parts = urlsplit(f"//{text}")
    if not parts.hostname:
        raise ValueError("a host is lacking")
    return unquote(parts.hostname), parts.port or usual  # the port raises a ValueError of its own


def _options(url: str) -> Mapping[str, Any]:
    """Return what redis-py reads in the URL of one server, but for where that is."""
    options: dict[str, Any] = parse_url(url)
    options.pop("host", None)
    options.pop("port", None)
    made = options.pop("connection_class", Connection)
    try:
        made(**{name: value for name, value in options.items() if name != "max_connections"})
    except (TypeError, RedisError) as error:
        raise ValueError(f"an option is wrong: {error}") from error
    return options
