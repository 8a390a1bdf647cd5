"""What `orders.schedule.clients` uses of redis-py: how it finds a master, and how it looks after a cluster."""

from __future__ import annotations

import asyncio
import inspect
from typing import Any

import pytest
import redis.asyncio as aredis
from redis import Redis, RedisCluster, exceptions
from redis.asyncio import sentinel as asentinel
from redis.asyncio.cluster import ClusterNode as AsyncClusterNode
from redis.client import PubSub
from redis.connection import Connection, SSLConnection, UnixDomainSocketConnection, parse_url
from redis.sentinel import MasterNotFoundError, Sentinel, SentinelConnectionPool, SentinelManagedConnection

from tests.canaries.canary import canary

CLIENTS = "orders/schedule/clients.py"
CONNECTIONS = "orders/schedule/connections.py"
URL = "orders/config/redis_url.py"
UP = {"is_master": True, "is_sdown": False, "is_odown": False, "num-other-sentinels": 0, "ip": "10.0.0.1", "port": 1}
MOVED = [("10.0.0.1", 1), ("10.0.0.2", 2), ("10.0.0.2", 2)]


def untyped(kind: Any) -> Any:
    """Return a class of redis-py without the types that it has for parts of it."""
    return kind


@canary("redis", "Sentinel.discover_master", CLIENTS)
def test_discover_master() -> None:
    class Sentinels(Sentinel):
        def discover_master(self, service_name: str) -> Any:
            return service_name, 1

    pool = untyped(SentinelConnectionPool)("mymaster", untyped(Sentinels)([("localhost", 1)]))
    assert pool.get_master_address() == ("mymaster", 1)

    class AsyncSentinels(asentinel.Sentinel):
        async def discover_master(self, service_name: str) -> Any:
            return service_name, 1

    apool = untyped(asentinel.SentinelConnectionPool)("mymaster", untyped(AsyncSentinels)([("localhost", 1)]))
    assert asyncio.run(apool.get_master_address()) == ("mymaster", 1)


@canary("redis", "Sentinel.sentinels, check_master_state", CLIENTS)
def test_sentinels() -> None:
    made: list[tuple[Any, Any]] = [
        (Sentinel([("localhost", 1), ("localhost", 2)], sentinel_kwargs={"socket_timeout": 1}), Redis),
        (asentinel.Sentinel([("localhost", 1), ("localhost", 2)], sentinel_kwargs={"socket_timeout": 1}), aredis.Redis),
    ]
    for sentinel, kind in made:
        assert [type(each) for each in sentinel.sentinels] == [kind, kind]
        assert all(hasattr(each, "sentinel_masters") for each in sentinel.sentinels)
        assert sentinel.check_master_state(UP, "mymaster")
        for wrong in ({"is_sdown": True}, {"is_odown": True}, {"is_master": False}):
            assert not sentinel.check_master_state({**UP, **wrong}, "mymaster")


@canary("redis", "SentinelConnectionPool.disconnect(inuse_connections), sentinel_manager", CLIENTS)
def test_disconnect() -> None:
    asked, called = iter(MOVED), []

    class Sentinels(Sentinel):
        def discover_master(self, service_name: str) -> Any:
            return next(asked)

    class Pool(SentinelConnectionPool):
        def disconnect(self, inuse_connections: bool = True) -> None:
            called.append(inuse_connections)

    manager = untyped(Sentinels)([("localhost", 1)])
    pool = untyped(Pool)("mymaster", manager)
    for _ in MOVED:
        pool.get_master_address()
    assert called == [False, False]  # another master each time, but not the third
    client = Redis.from_pool(pool)
    client.close()
    assert called == [False, False, True]
    assert pool.sentinel_manager is manager
    for sentinel in manager.sentinels:
        sentinel.close()


@canary("redis", "asyncio.SentinelConnectionPool, mixed with BlockingConnectionPool", CLIENTS)
def test_async_pool() -> None:
    called: list[bool] = []

    class Pool(asentinel.SentinelConnectionPool, aredis.BlockingConnectionPool):
        async def disconnect(self, inuse_connections: bool = True) -> None:
            called.append(inuse_connections)

    async def run() -> None:
        manager = asentinel.Sentinel([("localhost", 1)])
        pool = untyped(Pool)("mymaster", manager, ssl=False, max_connections=3, timeout=2.5)
        assert (pool.max_connections, pool.timeout) == (3, 2.5)
        assert pool.sentinel_manager is manager
        assert pool.get_connection.__func__ is aredis.BlockingConnectionPool.get_connection
        await aredis.Redis.from_pool(pool).aclose()
        for sentinel in manager.sentinels:
            await sentinel.aclose()

    asyncio.run(run())
    assert called == [True]


@canary("redis", "RedisCluster.nodes_manager: set in __init__, every command needs it", CLIENTS)
def test_lazy_cluster() -> None:
    for name in ("nodes_manager", "_options", "_connecting", "_is_connecting", "__getattr__"):
        assert not hasattr(RedisCluster, name), name
    cluster: Any = RedisCluster.__new__(RedisCluster)
    for use in (cluster.get_primaries, cluster.pipeline, lambda: cluster.execute_command("GET", "key")):
        with pytest.raises(AttributeError):
            use()
    with pytest.raises(exceptions.RedisClusterException):
        RedisCluster(host="localhost", port=1, retry=None)  # asks at once, which is why ours does so later


@canary("redis", "RedisCluster.ERRORS_ALLOW_RETRY", CLIENTS)
def test_errors_that_are_tried_again() -> None:
    for cluster in (RedisCluster, aredis.RedisCluster):
        assert {exceptions.ConnectionError, exceptions.TimeoutError} < set(cluster.ERRORS_ALLOW_RETRY)
        assert "type(e) in self.__class__.ERRORS_ALLOW_RETRY" in inspect.getsource(cluster)


@canary("redis", "asyncio.RedisCluster.execute_command: every command calls it", CLIENTS)
def test_async_commands() -> None:
    sent: list[Any] = []

    class Cluster(aredis.RedisCluster):
        async def execute_command(self, *args: Any, **kwargs: Any) -> Any:
            sent.append(args[0])

    async def run() -> None:
        cluster: Any = Cluster(startup_nodes=[AsyncClusterNode("localhost", 1)], max_connections=3)
        assert cluster.connection_kwargs.get("max_connections", 3) == 3
        await cluster.evalsha("sha", 0)
        await cluster.eval("return 1", 0)

    asyncio.run(run())
    assert sent == ["EVALSHA", "EVAL"]


@canary("redis", "Connection.read_response: every reply goes through it", CONNECTIONS)
def test_read_response() -> None:
    for kind in (Connection, SentinelManagedConnection, aredis.Connection, asentinel.SentinelManagedConnection):
        assert callable(kind.read_response)
        assert callable(kind.disconnect)
    for reader in (Redis.parse_response, PubSub.parse_response, aredis.Redis.parse_response):
        assert "read_response" in inspect.getsource(reader)


@canary("redis", "connection.parse_url", URL)
def test_parse_url() -> None:
    read = parse_url("rediss://me:secret@host:7000/3?socket_timeout=1.5&ssl_ca_certs=ca.pem")
    told = {"username": "me", "password": "secret", "host": "host", "port": 7000, "db": 3}
    assert read == {**told, "socket_timeout": 1.5, "ssl_ca_certs": "ca.pem", "connection_class": SSLConnection}
    socket = parse_url("unix:///run/redis.sock?db=1")
    assert socket == {"path": "/run/redis.sock", "db": 1, "connection_class": UnixDomainSocketConnection}


@canary("redis", "connection.Connection(…): rejects unknown options, connects lazily", URL)
def test_unknown_options() -> None:
    assert Connection(db=1, socket_timeout=1.0)._sock is None
    with pytest.raises(TypeError):
        Connection(nonsense=1)


@canary("redis", "ConnectionPool.connection_kwargs", "orders/schedule/inspection.py")
def test_connection_kwargs() -> None:
    assert Redis.from_url("redis://host:7000").connection_pool.connection_kwargs.items() >= {
        ("host", "host"),
        ("port", 7000),
    }
    assert Redis.from_url("unix:///redis.sock").connection_pool.connection_kwargs["path"] == "/redis.sock"


@canary("redis", "exceptions.TimeoutError is not a ConnectionError, MasterNotFoundError is", CLIENTS)
def test_errors() -> None:
    assert not issubclass(exceptions.TimeoutError, exceptions.ConnectionError)
    assert issubclass(MasterNotFoundError, exceptions.ConnectionError)
