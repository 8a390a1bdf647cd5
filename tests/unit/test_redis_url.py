"""The URL of a Redis, in our words, in redis-py's and in kombu's."""

from __future__ import annotations

import pytest

from orders.config import Settings, mask
from orders.errors import ConfigError
from orders.redis_url import RedisUrl


@pytest.mark.parametrize(
    ("url", "hosts", "plain", "broker"),
    [
        ("redis://shop/2", (("shop", 6379),), "redis://shop/2", "redis://shop/2"),
        ("rediss://me:a%40b@[::1]:7000", (("::1", 7000),), "rediss://me:a%40b@[::1]:7000", None),
        ("unix:///run/redis.sock?db=3", (), None, "redis+socket:///run/redis.sock?virtual_host=3"),
        (
            "sentinel://me:a%40b@one:7001,two/shop/3?sentinel_password=s%26&socket_timeout=2",
            (("one", 7001), ("two", 26379)),
            "redis://me:a%40b@one:7001/3?socket_timeout=2",
            "sentinel://me:a%40b@one:7001/3;sentinel://me:a%40b@two:26379/3",
        ),
        ("clusters://:a@one,two:7002", (("one", 6379), ("two", 7002)), "rediss://:a@one", None),
    ],
)
def test_a_url_is_taken_apart(
    url: str, hosts: tuple[tuple[str, int], ...], plain: str | None, broker: str | None
) -> None:
    parsed = RedisUrl.parse(url)
    assert parsed.hosts == hosts
    assert parsed.plain == (plain or url)
    assert parsed.is_tls == url.startswith(("rediss", "sentinels", "clusters"))
    if parsed.kind != "cluster":
        assert parsed.broker.url == (broker or url)


def test_what_sentinels_are_told_is_for_them_alone() -> None:
    broker = Settings.of({"REDIS_URL": "sentinels://:p@one/shop?sentinel_username=u&sentinel_password=s"}).broker
    assert broker == ("sentinel://:p@one:26379/", {"master_name": "shop", "sentinel_kwargs": _USER}, True)


_USER = {"username": "u", "password": "s"}


@pytest.mark.parametrize(
    "wrong",
    [
        "http://shop",
        "redis://",
        "redis://one,two",
        "redis://shop:port",
        "unix://",
        "sentinel://one,two",
        "sentinel://one,,two/shop",
        "cluster://one/3",
        "cluster://",
        "",
    ],
)
def test_a_url_that_names_no_redis(wrong: str) -> None:
    with pytest.raises(ConfigError, match=r"ORDERS_REDIS_URL is .*: accepted is redis://"):
        Settings(redis_url=wrong, broker_url="amqp://")


def test_a_cluster_needs_a_broker_beside_it() -> None:
    with pytest.raises(ConfigError, match=r"ORDERS_BROKER_URL is cluster://:\*\*\*@one.*a Redis Cluster is none"):
        Settings.of({"REDIS_URL": "cluster://:secret@one"})
    assert Settings.of({"REDIS_URL": "cluster://one", "BROKER_URL": "redis://two/0"}).broker.url == "redis://two/0"


def test_what_kombu_alone_understands_is_left_to_it() -> None:
    url = "sentinel://one:26379;sentinel://two:26379"
    assert Settings.of({"BROKER_URL": url}).broker == (url, {}, False)


def test_passwords_are_masked() -> None:
    assert mask("sentinel://u:one@a,b/m?sentinel_password=two") == "sentinel://u:***@a,b/m?sentinel_password=***"
