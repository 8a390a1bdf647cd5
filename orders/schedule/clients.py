"""Redis clients for ``ORDERS_REDIS_URL``, whose forms `orders.config.redis_url` describes.

A client waits at most `TIMEOUT` for a connection and for a reply. It sends a command once more if the connection was
closed, or if the server is no longer the master (`orders.schedule.connections`), but not after a timeout. During a
failover, calls raise `ScheduleUnavailable` for a few seconds.
"""

from __future__ import annotations

import asyncio
from collections.abc import Mapping, Sequence
from threading import RLock
from typing import TYPE_CHECKING, Any, cast

import redis.asyncio as aredis
from redis import Connection, Redis, RedisCluster, SSLConnection, UnixDomainSocketConnection, exceptions
from redis.asyncio import sentinel as asentinel
from redis.asyncio.cluster import ClusterNode as AsyncClusterNode
from redis.asyncio.retry import Retry as AsyncRetry
from redis.backoff import NoBackoff
from redis.cluster import ClusterNode
from redis.retry import Retry
from redis.sentinel import (
    Sentinel,
    SentinelConnectionPool,
    SentinelManagedConnection,
    SentinelManagedSSLConnection,
)

from orders.config import RedisUrl
from orders.schedule.connections import async_leaving, leaving
from orders.schedule.scripts import RETRIED, TIMEOUT

if TYPE_CHECKING:
    from orders.config import Settings

CONNECTIONS = 16
"""The most connections of one event loop. Further calls wait, at most `TIMEOUT`."""

SENTINEL_TIMEOUT = 1.0
"""Seconds to wait for one Sentinel before asking the next, unless the URL sets ``?sentinel_socket_timeout=``."""

_SILENT = (exceptions.ConnectionError, exceptions.TimeoutError)

_AGAIN = (exceptions.ConnectionError, exceptions.ClusterDownError, exceptions.SlotNotCoveredError)
"""Errors after which a cluster client reads the slot map again and sends the command once more."""


def client(settings: Settings, *, timeout: float = TIMEOUT) -> Redis:
    """Return a client for threads. It connects on its first command.

    Args:
        settings: the settings.
        timeout: seconds to wait, unless the URL sets ``?socket_timeout=`` or ``?socket_connect_timeout=``.
    """
    url, retry = RedisUrl.parse(settings.redis_url), Retry(NoBackoff(), 1, supported_errors=RETRIED)
    options = {**_times(timeout), **url.options}
    if url.kind == "cluster":
        nodes = [ClusterNode(host, port) for host, port in url.hosts]
        # It has all methods of `Redis` that `orders` uses, but is not a subclass.
        return cast("Redis", _Cluster(startup_nodes=nodes, retry=retry, ssl=url.is_tls, **options))
    if url.kind == "sentinel":
        sentinel_options = {**to_sentinels(url, timeout), "retry": Retry(NoBackoff(), 0)}
        sentinels = _Sentinels(url.hosts, sentinel_kwargs=sentinel_options)
        kind = leaving(SentinelManagedSSLConnection if url.is_tls else SentinelManagedConnection)
        return Redis.from_pool(_Pool(url.master, sentinels, connection_class=kind, retry=retry, **options))
    plain = SSLConnection if url.is_tls else Connection
    kind = leaving(UnixDomainSocketConnection if url.kind == "socket" else plain)
    return Redis.from_url(settings.redis_url, connection_class=kind, retry=retry, **_times(timeout))


def async_client(settings: Settings) -> aredis.Redis:
    """Return a client for one event loop. It connects on its first command."""
    url, retry = RedisUrl.parse(settings.redis_url), AsyncRetry(NoBackoff(), 1, supported_errors=RETRIED)
    options = {**_times(TIMEOUT), **url.options}
    limits = {"max_connections": CONNECTIONS, "timeout": TIMEOUT}
    if url.kind == "cluster":
        nodes = [AsyncClusterNode(host, port) for host, port in url.hosts]
        return cast("aredis.Redis", _AsyncCluster(startup_nodes=nodes, retry=retry, ssl=url.is_tls, **options))
    if url.kind == "sentinel":
        sentinel_options = {**to_sentinels(url), "retry": AsyncRetry(NoBackoff(), 0)}
        sentinels = _AsyncSentinels(url.hosts, sentinel_kwargs=sentinel_options)
        options = {**limits, **options}
        managed = asentinel.SentinelManagedSSLConnection if url.is_tls else asentinel.SentinelManagedConnection
        kind = async_leaving(managed)
        return aredis.Redis.from_pool(_AsyncPool(url.master, sentinels, connection_class=kind, retry=retry, **options))
    plain = aredis.SSLConnection if url.is_tls else aredis.Connection
    kind = async_leaving(aredis.UnixDomainSocketConnection if url.kind == "socket" else plain)
    options = {"connection_class": kind, "retry": retry, **limits, **_times(TIMEOUT)}
    return aredis.Redis.from_pool(aredis.BlockingConnectionPool.from_url(settings.redis_url, **options))


def masters(connected: Redis) -> Sequence[Redis]:
    """Return a client for each master: one, unless it is a cluster."""
    if isinstance(connected, RedisCluster):
        return [connected.get_redis_connection(node) for node in connected.get_primaries()]
    return [connected]


def to_sentinels(url: RedisUrl, timeout: float = TIMEOUT) -> Mapping[str, Any]:
    """Return the connection options for Sentinels."""
    return {**_times(min(timeout, SENTINEL_TIMEOUT)), "ssl": url.is_tls, **(url.sentinel_options or {})}


def _times(timeout: float) -> dict[str, Any]:
    return {"socket_timeout": timeout, "socket_connect_timeout": timeout, "protocol": 2}


def _no_master(name: str, errors: list[str]) -> exceptions.TimeoutError:
    """Return an error that is not `RETRIED`: a failover takes seconds."""
    return exceptions.TimeoutError(f"no Sentinel knows a running master {name!r}. {' '.join(errors)}".strip())


class _Sentinels(Sentinel):
    """Sentinels that threads may share. redis-py swaps list items in steps, so two threads could lose a Sentinel."""

    def discover_master(self, service_name: str) -> tuple[str, int]:
        """Return the host and port of the master."""
        errors = []
        for sentinel in (sentinels := tuple(self.sentinels)):
            try:
                masters: Any = sentinel.sentinel_masters()
            except _SILENT as error:
                errors.append(str(error))
                continue
            state = masters.get(service_name)
            if state and self.check_master_state(state, service_name):
                self.sentinels = [sentinel, *(other for other in sentinels if other is not sentinel)]
                return state["ip"], state["port"]
        raise _no_master(service_name, errors)


class _Pool(SentinelConnectionPool):
    """Connections to a master. Closing them also closes those to its Sentinels."""

    def disconnect(self, inuse_connections: bool = True) -> None:  # noqa: FBT001, FBT002 - as in redis-py
        """Close the connections."""
        super().disconnect(inuse_connections)
        if inuse_connections:  # redis-py passes False when a Sentinel has reported a new master
            for sentinel in self.sentinel_manager.sentinels:
                sentinel.close()


class _Cluster(RedisCluster):
    """A client that reads the slot map on its first use, not when it is created."""

    ERRORS_ALLOW_RETRY = _AGAIN  # type: ignore[assignment]  # a shorter tuple

    def __init__(self, **options: Any) -> None:
        self._options = options
        self._connecting = RLock()
        self._is_connecting = False

    def __getattr__(self, name: str) -> Any:
        """Connect, then return the attribute that connecting has set."""
        if name in {"_connecting", "_is_connecting"} or name.startswith("__"):
            raise AttributeError(name)
        with self._connecting:
            if not self._is_connecting and name not in self.__dict__:
                self._is_connecting = True
                try:
                    super().__init__(**self._options)
                finally:
                    self._is_connecting = False
            if name not in self.__dict__:
                raise AttributeError(name)
            return self.__dict__[name]

    def close(self) -> None:
        """Close the connections, if there are any."""
        if "nodes_manager" in self.__dict__:
            super().close()


class _AsyncSentinels(asentinel.Sentinel):
    """`_Sentinels` for asyncio."""

    async def discover_master(self, service_name: str) -> tuple[str, int]:
        """Return the host and port of the master."""
        errors = []
        for sentinel in (sentinels := tuple(self.sentinels)):
            try:
                masters: Any = await sentinel.sentinel_masters()
            except _SILENT as error:
                errors.append(str(error))
                continue
            state = masters.get(service_name)
            if state and self.check_master_state(state, service_name):
                self.sentinels = [sentinel, *(other for other in sentinels if other is not sentinel)]
                return state["ip"], state["port"]
        raise _no_master(service_name, errors)


class _AsyncPool(asentinel.SentinelConnectionPool, aredis.BlockingConnectionPool):
    """Connections to a master. A call that finds none free waits. Closing them also closes those to the Sentinels."""

    async def disconnect(self, inuse_connections: bool = True) -> None:  # noqa: FBT001, FBT002 - as in redis-py
        """Close the connections."""
        await super().disconnect(inuse_connections)
        if inuse_connections:
            for sentinel in self.sentinel_manager.sentinels:
                await sentinel.aclose()


class _AsyncCluster(aredis.RedisCluster):
    """A client whose calls wait for a free connection instead of failing."""

    ERRORS_ALLOW_RETRY = _AGAIN  # type: ignore[assignment]  # a shorter tuple

    def __init__(self, **options: Any) -> None:
        super().__init__(max_connections=CONNECTIONS, **options)
        self._free = asyncio.Semaphore(CONNECTIONS)

    async def execute_command(self, *args: Any, **kwargs: Any) -> Any:
        """Send a command and return the reply.

        Raises:
            TimeoutError: no connection became free in time.
        """
        try:
            await asyncio.wait_for(self._free.acquire(), TIMEOUT)
        except TimeoutError as error:
            raise exceptions.TimeoutError(f"no connection became free within {TIMEOUT:g} s") from error
        try:
            return await super().execute_command(*args, **kwargs)
        finally:
            self._free.release()
