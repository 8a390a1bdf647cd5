"""The one place that makes a Redis client from ``ORDERS_REDIS_URL``; its forms are those of `orders.redis_url`."""

from __future__ import annotations

from collections.abc import Callable
from threading import Lock
from typing import TYPE_CHECKING, Any

import redis.asyncio as aredis
from redis import Redis, RedisCluster
from redis.asyncio.cluster import ClusterNode as AsyncClusterNode
from redis.asyncio.retry import Retry as AsyncRetry
from redis.asyncio.sentinel import Sentinel as AsyncSentinel
from redis.backoff import NoBackoff
from redis.cluster import ClusterNode
from redis.connection import parse_url
from redis.retry import Retry
from redis.sentinel import Sentinel

from orders.redis_url import RedisUrl
from orders.scripting import RETRIED, TIMEOUT

if TYPE_CHECKING:
    from orders.config import Settings

CONNECTIONS = 16
"""Connections that one event loop opens at most. Who finds none free waits for one, as long as for Redis."""


def client(settings: Settings) -> Redis:
    """Return a client. Nothing is sent before its first command."""
    url = RedisUrl.parse(settings.redis_url)
    options: dict[str, Any] = {**_TIMES, "retry": Retry(NoBackoff(), 1, supported_errors=RETRIED), **_options(url)}
    if url.kind == "sentinel":
        sentinels = Sentinel(url.hosts, sentinel_kwargs=_of_sentinels(url), **options)
        master: Redis = sentinels.master_for(url.master)
        return master
    if url.kind == "cluster":
        nodes = [ClusterNode(host, port) for host, port in url.hosts]
        del options["retry"]  # it has its own, of moved slots and of servers that are down
        return _Later(lambda: RedisCluster(startup_nodes=nodes, **options))  # type: ignore[return-value]
    return Redis.from_url(url.plain, **_TIMES, retry=options["retry"])


def async_client(settings: Settings) -> aredis.Redis:
    """Return a client for one event loop. Nothing is sent before its first command."""
    url = RedisUrl.parse(settings.redis_url)
    retry = AsyncRetry(NoBackoff(), 1, supported_errors=RETRIED)
    options: dict[str, Any] = {**_TIMES, **_options(url)}
    if url.kind == "sentinel":
        sentinels = AsyncSentinel(url.hosts, sentinel_kwargs=_of_sentinels(url), retry=retry, **options)
        master: aredis.Redis = sentinels.master_for(url.master)
        return master
    if url.kind == "cluster":
        nodes = [AsyncClusterNode(host, port) for host, port in url.hosts]
        return aredis.RedisCluster(startup_nodes=nodes, max_connections=CONNECTIONS, **options)  # type: ignore[return-value]
    pool = aredis.BlockingConnectionPool.from_url(
        url.plain, max_connections=CONNECTIONS, timeout=TIMEOUT, retry=retry, **_TIMES
    )
    return aredis.Redis.from_pool(pool)


_TIMES: dict[str, Any] = {"socket_timeout": TIMEOUT, "socket_connect_timeout": TIMEOUT, "protocol": 2}


def _options(url: RedisUrl) -> dict[str, Any]:
    """Return what a connection is told, but for whom it is to."""
    told = parse_url(url.plain)
    left = {name: value for name, value in told.items() if name not in {"host", "port", "path", "connection_class"}}
    return {**left, "ssl": True} if url.is_tls else left


def _of_sentinels(url: RedisUrl) -> dict[str, Any]:
    options = _options(url)
    shared = {name: value for name, value in options.items() if name.startswith(("ssl", "socket_"))}
    return {**_TIMES, **shared, **dict(url.sentinel_options)}


class _Later:
    """A client that is made when it is first used: the one of a cluster asks it at once how its slots are spread."""

    def __init__(self, make: Callable[[], Any]) -> None:
        self._make = make
        self._lock = Lock()
        self._made: Any = None

    def close(self) -> None:
        """Close its connections, if it was used."""
        if self._made:
            self._made.close()

    def __getattr__(self, name: str) -> Any:
        with self._lock:
            self._made = self._made or self._make()
        return getattr(self._made, name)
