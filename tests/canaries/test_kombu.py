"""What a worker and a sweep use of kombu: its event loop, its channel of Redis, and how its messages look there."""

from __future__ import annotations

import json
import time
from collections.abc import Iterator
from types import SimpleNamespace
from typing import Any
from unittest.mock import Mock, patch

import pytest
from kombu.asynchronous import Hub
from kombu.connection import Connection
from kombu.entity import Exchange, Queue
from kombu.transport import memory, pyamqp, redis, virtual
from kombu.utils.json import dumps, loads
from redis import Redis

from tests.canaries.canary import canary, takes

CONNECTIONS = "tasks/connections.py"
INTAKE = "tasks/worker/intake.py"
STALL = "tasks/worker/stall.py"
PUBLISHER = "tasks/publisher.py"


class Client:
    """A Redis that has one message, and answers BRPOP at once."""

    def __init__(self, **_: object) -> None:
        self.connection = Mock()
        self.ping = Mock()
        self.rpop = Mock(return_value=None)

    def parse_response(self, connection: object, command: str, **_: object) -> tuple[bytes, bytes]:
        assert connection is self.connection
        assert command == "BRPOP"
        return b"orders.expire", b'{"id": "first"}'

    def close(self) -> None:
        """Close nothing."""


@pytest.fixture
def channel() -> Iterator[Any]:
    """A channel of Redis as a worker has it, without a server."""
    with patch.object(redis.Channel, "_create_client", lambda *_, **__: Client()):
        connection = Connection("redis://localhost:1", transport_options={"ack_emulation": False})
        channel = connection.transport.create_channel(connection.transport)
        connection.transport._callbacks["orders.expire"] = channel.delivered = Mock()
        channel._active_queues.append("orders.expire")
        yield channel
        channel.connection.cycle.discard(channel)


@canary("kombu", "transport.redis.Channel, SentinelChannel: connection_class, connection_class_ssl", CONNECTIONS)
def test_connection_classes() -> None:
    kinds: list[tuple[str, Any, str]] = [
        ("redis", redis.Channel, "connection_class"),
        ("rediss", redis.Channel, "connection_class_ssl"),
        ("sentinel", redis.SentinelChannel, "connection_class"),
    ]
    for scheme, channel, name in kinds:
        connection = Connection(f"{scheme}://localhost:1", transport_options={"master_name": "shop"})
        with patch.object(redis.Channel, "_create_client", lambda *_, **__: Client()):
            made = connection.transport.create_channel(connection.transport)
        for pool in made.pool, made.async_pool:
            assert issubclass(pool.connection_class, getattr(channel, name))
        made.connection.cycle.discard(made)


@canary("kombu", "Hub.on_tick", INTAKE)
def test_on_tick(hub: Hub) -> None:
    called: list[int] = []
    hub.on_tick.add(lambda: called.append(1))
    loop = hub.create_loop()
    next(loop)
    next(loop)
    assert called == [1, 1]


@canary("kombu", "Hub.fire_timers, propagate_errors", INTAKE)
def test_fire_timers(hub: Hub) -> None:
    fired: list[int] = []
    for number in range(30):
        hub.timer.call_at(time.monotonic() - 1, fired.append, (number,))
    hub.fire_timers()
    assert len(fired) == 10  # which is why we have it fire the others
    hub.fire_timers(max_timers=100, propagate=hub.propagate_errors)
    assert len(fired) == 30


@canary("kombu", "Hub.fire_timers: a ConnectionError ends the event loop", STALL)
def test_an_error_of_a_timer(hub: Hub) -> None:
    hub.propagate_errors = Connection("redis://localhost:1").connection_errors
    hub.timer.call_at(time.monotonic() - 1, Mock(side_effect=ConnectionError))
    with pytest.raises(ConnectionError):
        next(hub.create_loop())


@canary("kombu", "transport.redis.Channel.handlers['BRPOP']", INTAKE)
def test_handlers(channel: Any) -> None:
    assert channel.handlers["BRPOP"]() is True
    channel.delivered.assert_called_once_with({"id": "first"})
    # and the poller calls what stands there now
    channel.handlers["BRPOP"] = replaced = Mock()
    poller = redis.MultiChannelPoller()
    poller._fd_to_chan[7] = (channel, "BRPOP")
    poller.on_readable(7)
    replaced.assert_called_once_with()


@canary("kombu", "transport.virtual.QoS.can_consume, can_consume_max_estimate", INTAKE, STALL)
def test_can_consume(channel: Any) -> None:
    assert channel.qos.can_consume()
    assert channel.qos.can_consume_max_estimate() is None
    channel.qos.prefetch_count = 5
    assert channel.qos.can_consume_max_estimate() == 5
    # the poller asks, whatever stands there now, before it reads
    channel.handlers["BRPOP"] = read = Mock()
    channel.qos.can_consume = lambda: False
    poller = redis.MultiChannelPoller()
    poller._fd_to_chan[7] = (channel, "BRPOP")
    poller.on_readable(7)
    read.assert_not_called()
    channel._in_poll = None
    with patch.object(poller, "_register_BRPOP") as starts:
        poller.add(channel)
        poller.on_poll_start()
        starts.assert_not_called()


@canary("kombu", "transport.redis.Channel.client, active_queues", INTAKE)
def test_the_connection_of_brpop(channel: Any) -> None:
    assert set(channel.active_queues) == {"orders.expire"}
    channel._queue_cycle.update(channel.active_queues)
    channel._brpop_start()
    command = channel.client.connection.send_command.call_args.args
    assert command[:2] == ("BRPOP", "orders.expire")  # the queue's own name, and first
    takes(Redis.rpop, None, "orders.expire", 10)


@canary("kombu", "transport.virtual.Transport._deliver", INTAKE)
def test_deliver(channel: Any) -> None:
    channel.connection._deliver({"id": "second"}, "orders.expire")
    channel.delivered.assert_called_once_with({"id": "second"})


@canary("kombu", "utils.json.loads: decodes only '__type__' by itself", INTAKE)
def test_loads() -> None:
    plain = json.dumps({"body": "é", "headers": {"eta": None, "argsrepr": "('1',)"}, "properties": {"priority": 0}})
    assert loads(plain.encode()) == json.loads(plain)
    assert b"__type__" in dumps({"at": b"bytes"}).encode()


@canary("kombu", "transport.virtual: the JSON of a message", PUBLISHER)
def test_envelope() -> None:
    with Connection("memory://envelope") as connection:
        channel = connection.default_channel
        connection.Producer(channel).publish({"a": 1}, routing_key="birds", priority=0, declare=[Queue("birds")])
        message = channel._get("birds")
    assert message.keys() == {"body", "content-encoding", "content-type", "headers", "properties"}
    assert (message["content-encoding"], message["content-type"]) == ("utf-8", "application/json")
    properties = message["properties"]
    assert properties.keys() == {"body_encoding", "delivery_info", "delivery_mode", "delivery_tag", "priority"}
    assert properties["body_encoding"] == "base64"
    assert properties["delivery_mode"] == 2
    assert properties["delivery_info"] == {"exchange": "", "routing_key": "birds"}


@canary("kombu", "transport.redis.Channel.conn_or_acquire; a list has the name of its queue", PUBLISHER)
def test_lists(channel: Any) -> None:
    with channel.conn_or_acquire() as client:
        assert isinstance(client, Client)
        assert client is not channel.client  # which BRPOP may be using
    assert channel._q_for_pri("orders.expire", 0) == "orders.expire"
    with patch.object(channel, "_create_client") as create:
        channel._put("orders.expire", {"properties": {"priority": 0}})
    [called] = create.return_value.lpush.call_args_list
    assert called.args[0] == "orders.expire"


@canary("kombu", "transport.virtual.Channel: an acknowledgement sends nothing", "tasks/worker/clock.py")
def test_virtual_channels(channel: Any) -> None:
    assert isinstance(channel, virtual.Channel)
    assert issubclass(memory.Channel, virtual.Channel)
    assert not issubclass(pyamqp.Channel, virtual.Channel)
    assert type(channel.qos) is virtual.QoS
    channel.qos.append(SimpleNamespace(), "tag")
    channel.qos.ack("tag")  # (there is no server)


@canary("kombu", "Queue.queue_declare: message_count", "tasks/broker.py")
def test_message_count() -> None:
    with Connection("memory://counted") as connection:
        queue = Queue("birds", Exchange("birds"), routing_key="birds")
        bound = queue.bind(connection.default_channel)
        bound.declare()
        connection.Producer().publish("tweet", exchange="birds", routing_key="birds")
        assert bound.queue_declare().message_count == 1
