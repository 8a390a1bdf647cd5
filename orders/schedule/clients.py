"""The one place that makes a Redis client from ``ORDERS_REDIS_URL``; its forms are those of `orders.config.redis_url`.

A client waits at most `TIMEOUT` for a connection and for an answer, and asks once more only if a connection was closed:
a Redis that hangs is not asked twice. What a failover makes of that is a `ScheduleUnavailable` for its seconds.
"""

from __future__ import annotations

import asyncio
from collections.abc import Mapping, Sequence
from threading import RLock
from typing import TYPE_CHECKING, Any, cast

import redis.asyncio as aredis
from redis import Redis, RedisCluster, exceptions
from redis.asyncio import sentinel as asentinel
from redis.asyncio.cluster import ClusterNode as AsyncClusterNode
from redis.asyncio.retry import Retry as AsyncRetry
from redis.backoff import NoBackoff
from redis.cluster import ClusterNode
from redis.retry import Retry
from redis.sentinel import Sentinel, SentinelConnectionPool

from orders.config import RedisUrl
from orders.schedule.scripts import RETRIED, TIMEOUT

if TYPE_CHECKING:
    from orders.config import Settings

CONNECTIONS = 16
"""Connections that one event loop opens at most. Who finds none free waits for one, as long as for Redis."""

SENTINEL_TIMEOUT = 1.0
"""Seconds to wait for one Sentinel, unless the URL says ``?sentinel_socket_timeout=``. There are others to ask."""

_SILENT = (exceptions.ConnectionError, exceptions.TimeoutError)

_AGAIN = (exceptions.ConnectionError, exceptions.ClusterDownError, exceptions.SlotNotCoveredError)
"""After what a cluster is asked how its slots are spread, and the command is tried once more."""


def client(settings: Settings, *, timeout: float = TIMEOUT) -> Redis:
    """Return a client, for threads. Nothing is sent before its first command.

    Args:
        settings: the settings.
        timeout: seconds to wait, unless the URL says ``?socket_timeout=`` or ``?socket_connect_timeout=``.
    """
    url, retry = RedisUrl.parse(settings.redis_url), Retry(NoBackoff(), 1, supported_errors=RETRIED)
    options = {**_times(timeout), **url.options}
    if url.kind == "cluster":
        nodes = [ClusterNode(host, port) for host, port in url.hosts]
        # It has what `orders` asks of a Redis; that it is none, only types tell.
        return cast("Redis", _Cluster(startup_nodes=nodes, retry=retry, ssl=url.is_tls, **options))
    if url.kind == "sentinel":
        asked = _Sentinels(url.hosts, sentinel_kwargs={**to_sentinels(url, timeout), "retry": Retry(NoBackoff(), 0)})
        return Redis.from_pool(_Pool(url.master, asked, ssl=url.is_tls, retry=retry, **options))
    return Redis.from_url(settings.redis_url, retry=retry, **_times(timeout))


def async_client(settings: Settings) -> aredis.Redis:
    """Return a client, for the tasks of one event loop. Nothing is sent before its first command."""
    url, retry = RedisUrl.parse(settings.redis_url), AsyncRetry(NoBackoff(), 1, supported_errors=RETRIED)
    options = {**_times(TIMEOUT), **url.options}
    limits = {"max_connections": CONNECTIONS, "timeout": TIMEOUT}
    if url.kind == "cluster":
        nodes = [AsyncClusterNode(host, port) for host, port in url.hosts]
        return cast("aredis.Redis", _AsyncCluster(startup_nodes=nodes, retry=retry, ssl=url.is_tls, **options))
    if url.kind == "sentinel":
        to_them = {**to_sentinels(url), "retry": AsyncRetry(NoBackoff(), 0)}
        asked = _AsyncSentinels(url.hosts, sentinel_kwargs=to_them)
        given = {**limits, **options}
        return aredis.Redis.from_pool(_AsyncPool(url.master, asked, ssl=url.is_tls, retry=retry, **given))
    pool = aredis.BlockingConnectionPool.from_url(settings.redis_url, retry=retry, **limits, **_times(TIMEOUT))
    return aredis.Redis.from_pool(pool)


def masters(connected: Redis) -> Sequence[Redis]:
    """Return a client for each server that is written to: one, unless it is a cluster."""
    if isinstance(connected, RedisCluster):
        return [connected.get_redis_connection(node) for node in connected.get_primaries()]
    return [connected]


def to_sentinels(url: RedisUrl, timeout: float = TIMEOUT) -> Mapping[str, Any]:
    """Return what clients of the Sentinels are told."""
    return {**_times(min(timeout, SENTINEL_TIMEOUT)), "ssl": url.is_tls, **(url.sentinel_options or {})}


def _times(timeout: float) -> dict[str, Any]:
    return {"socket_timeout": timeout, "socket_connect_timeout": timeout, "protocol": 2}


def _no_master(name: str, told: list[str]) -> exceptions.TimeoutError:
    """Return an error that is not `RETRIED`: a failover takes seconds."""
    return exceptions.TimeoutError(f"no Sentinel knows a master {name!r} that is up. {' '.join(told)}".strip())


class _Sentinels(Sentinel):
    """Sentinels that threads may share: redis-py's own reorders a list in steps, and two threads could lose one."""

    def discover_master(self, service_name: str) -> tuple[str, int]:
        """Return where the master is."""
        told = []
        for sentinel in (asked := tuple(self.sentinels)):
            try:
                masters: Any = sentinel.sentinel_masters()
            except _SILENT as error:
                told.append(str(error))
                continue
            state = masters.get(service_name)
            if state and self.check_master_state(state, service_name):
                self.sentinels = [sentinel, *(other for other in asked if other is not sentinel)]
                return state["ip"], state["port"]
        raise _no_master(service_name, told)


class _Pool(SentinelConnectionPool):
    """Connections to a master, and with them those to its Sentinels."""

    def disconnect(self, inuse_connections: bool = True) -> None:  # noqa: FBT001, FBT002 - as in redis-py
        """Close them."""
        super().disconnect(inuse_connections)
        if inuse_connections:  # else it is because a Sentinel has just told of another master
            self.sentinel_manager.close()


class _Cluster(RedisCluster):
    """A client that asks how the slots are spread when it is first used, not when it is made."""

    ERRORS_ALLOW_RETRY = _AGAIN  # type: ignore[assignment]  # fewer

    def __init__(self, **options: Any) -> None:
        self._options = options
        self._connecting = RLock()
        self._is_connecting = False

    def __getattr__(self, name: str) -> Any:
        """Connect, and return what there was not before."""
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
        """Close the connections, if it has any."""
        if "nodes_manager" in self.__dict__:
            super().close()


class _AsyncSentinels(asentinel.Sentinel):
    """The same for tasks."""

    async def discover_master(self, service_name: str) -> tuple[str, int]:
        """Return where the master is."""
        told = []
        for sentinel in (asked := tuple(self.sentinels)):
            try:
                masters: Any = await sentinel.sentinel_masters()
            except _SILENT as error:
                told.append(str(error))
                continue
            state = masters.get(service_name)
            if state and self.check_master_state(state, service_name):
                self.sentinels = [sentinel, *(other for other in asked if other is not sentinel)]
                return state["ip"], state["port"]
        raise _no_master(service_name, told)


class _AsyncPool(asentinel.SentinelConnectionPool, aredis.BlockingConnectionPool):
    """Connections to a master, and with them those to its Sentinels; who finds none free waits for one."""

    async def disconnect(self, inuse_connections: bool = True) -> None:  # noqa: FBT001, FBT002 - as in redis-py
        """Close them."""
        await super().disconnect(inuse_connections)
        if inuse_connections:
            for sentinel in self.sentinel_manager.sentinels:
                await sentinel.aclose()


class _AsyncCluster(aredis.RedisCluster):
    """A client whose tasks wait for a free connection, rather than fail for want of one."""

    ERRORS_ALLOW_RETRY = _AGAIN  # type: ignore[assignment]  # fewer

    def __init__(self, **options: Any) -> None:
        super().__init__(max_connections=CONNECTIONS, **options)
        self._free = asyncio.Semaphore(CONNECTIONS)

    async def execute_command(self, *args: Any, **kwargs: Any) -> Any:
        """Send a command, and return the answer."""
        async with self._free:
            return await super().execute_command(*args, **kwargs)
