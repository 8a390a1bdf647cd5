"""The broker: Celery's settings from ``ORDERS_BROKER_URL``, as kombu has other URLs than redis-py; what waits in it."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Any
from urllib.parse import quote

from redis.backoff import NoBackoff
from redis.retry import Retry

from orders.config import RedisUrl, is_ours, mask
from orders.errors import ConfigError
from orders.schedule import to_sentinels

if TYPE_CHECKING:
    from kombu.entity import Queue

    from orders.config import Settings

_SHARED_OPTIONS = (
    "client_name",
    "health_check_interval",
    "max_connections",
    "retry_on_timeout",
    "socket_connect_timeout",
    "socket_keepalive",
    "socket_timeout",
)
"""Options with the same name in redis-py and kombu."""


@dataclass(frozen=True, slots=True)
class Broker:
    """A broker, for ``celeryconfig``."""

    url: str = field(repr=False)
    """For ``broker_url``."""
    options: Mapping[str, Any] = field(default_factory=dict, repr=False)
    """For ``broker_transport_options``: options of a Redis that kombu does not read from the URL."""
    use_ssl: Mapping[str, Any] | None = None
    """For ``broker_use_ssl``; None if the URL is enough."""
    is_redis: bool = False


def broker(settings: Settings) -> Broker:
    """Return the broker at ``ORDERS_BROKER_URL``, which takes the forms of ``ORDERS_REDIS_URL`` and those of Celery.

    Raises:
        ConfigError: it is a Redis Cluster, which Celery does not support as a broker.
    """
    broker_url = settings.broker_url
    if not is_ours(broker_url):
        return Broker(broker_url, is_redis=broker_url.startswith(("redis", "sentinel")))
    url = RedisUrl.parse(broker_url)
    options = {name: url.options[name] for name in _SHARED_OPTIONS if name in url.options}
    if url.kind == "cluster":
        raise ConfigError(
            f"ORDERS_BROKER_URL is {mask(broker_url)} (default: ORDERS_REDIS_URL): it must be a broker of Celery's, "
            "which does not support Redis Cluster; use a Redis without cluster mode, or RabbitMQ"
        )
    login = _login(url.options.get("username"), url.options.get("password"))
    database = url.options.get("db", 0)
    if url.kind == "socket":
        path = quote(url.options["path"])
        return Broker(f"redis+socket://{login}{path}?virtual_host={database}", options, is_redis=True)
    scheme = "rediss" if url.is_tls else "redis"
    if url.kind == "sentinel":
        scheme = "sentinel"
        options |= {"master_name": url.master, "sentinel_kwargs": {**to_sentinels(url), "retry": Retry(NoBackoff(), 0)}}
    urls = (f"{scheme}://{login}{_bracketed(host)}:{port}/{database}" for host, port in url.hosts)
    tls = {name: value for name, value in url.options.items() if name.startswith("ssl_")}
    use_ssl = {"ssl_cert_reqs": "required", **tls} if url.is_tls else None
    return Broker(";".join(urls), options, use_ssl, is_redis=True)


def waiting(queue: Queue, channel: Any) -> int:
    """Return how many messages are in a queue. Any broker returns that when the queue is declared again."""
    return int(queue.bind(channel).queue_declare().message_count)


def _login(user: str | None, password: str | None) -> str:
    if user is None and password is None:
        return ""
    return f"{quote(user or '', safe='')}:{quote(password or '', safe='')}@"


def _bracketed(host: str) -> str:
    return f"[{host}]" if ":" in host else host
