from __future__ import annotations

import pytest
from kombu.connection import Connection
from redis import RedisCluster

from orders.config.redis_url import RedisUrl
from orders.config.settings import Settings
from orders.errors import ConfigError
from orders.schedule.clients import client
from tasks.broker import broker

SENTINELS = "sentinel://web:p%40ss@a,b:1,[::1]:2/main/3?socket_timeout=2&sentinel_password=s&sentinel_socket_timeout=1"


def test_a_url_of_sentinels_names_them_and_the_master() -> None:
    url = RedisUrl.parse(SENTINELS)
    assert (url.kind, url.is_tls, url.master) == ("sentinel", False, "main")
    assert url.hosts == (("a", 26379), ("b", 1), ("::1", 2))
    assert url.options == {"username": "web", "password": "p@ss", "db": 3, "socket_timeout": 2.0}
    assert url.sentinel_options == {"password": "s", "socket_timeout": 1.0}


def test_a_private_authority_is_for_the_sentinels_too() -> None:
    url = RedisUrl.parse("sentinels://a/main?ssl_ca_certs=ca.pem&ssl_check_hostname=false")
    assert url.is_tls
    assert url.options == url.sentinel_options == {"ssl_ca_certs": "ca.pem", "ssl_check_hostname": False}


@pytest.mark.parametrize(
    "wrong",
    [
        "http://shop",
        "redis://",
        "redis://one,two",
        "redis://shop:port",
        "redis://shop?time=1",
        "unix://",
        "sentinel://one,two",
        "sentinel://one,,two/shop",
        "sentinel://one/shop?sentinel_time=1",
        "cluster://one/3",
        "cluster://one?sentinel_password=s",
        "cluster://",
        "",
    ],
)
def test_a_url_that_names_no_redis(wrong: str) -> None:
    with pytest.raises(
        ValueError, match=r"is missing|not a Redis URL|only one host|no databases|invalid option|could not be cast"
    ):
        RedisUrl.parse(wrong)


@pytest.mark.parametrize("scheme", ["cluster", "redis+cluster"])
def test_a_url_of_a_cluster_names_some_of_its_servers(scheme: str) -> None:
    url = RedisUrl.parse(f"{scheme}://:secret@a,b:7001")
    assert (url.kind, url.hosts) == ("cluster", (("a", 6379), ("b", 7001)))
    assert url.options == {"password": "secret"}


def test_the_client_of_a_cluster_asks_nothing_before_it_is_used() -> None:
    # given the URL of a cluster that is not there
    cluster = client(Settings(redis_url="cluster://127.0.0.1:1,127.0.0.1:2"))
    assert isinstance(cluster, RedisCluster)
    # when it is closed, it was never asked; when it is used, it is
    cluster.close()
    with pytest.raises(Exception, match="cannot be connected"):
        cluster.get("key")


@pytest.mark.parametrize(
    ("given", "url", "use_ssl"),
    [
        ("redis://:secret@host?socket_timeout=3", "redis://:secret@host:6379/0", None),
        ("unix:///run/my%20redis.sock?db=3", "redis+socket:///run/my%20redis.sock?virtual_host=3", None),
        (
            "rediss://u:p%40@[::1]:7000/2?ssl_ca_certs=ca.pem",
            "rediss://u:p%40@[::1]:7000/2",
            {"ssl_cert_reqs": "required", "ssl_ca_certs": "ca.pem"},
        ),
        ("sentinels://:p@a,b:1/main/2", "sentinel://:p@a:26379/2;sentinel://:p@b:1/2", {"ssl_cert_reqs": "required"}),
        ("amqps://shop@mq//", "amqps://shop@mq//", None),
        ("sentinel://a;sentinel://b", "sentinel://a;sentinel://b", None),
    ],
)
def test_celery_is_told_of_the_same_redis_in_its_own_words(given: str, url: str, use_ssl: object) -> None:
    told = broker(Settings(broker_url=given))
    assert (told.url, told.use_ssl) == (url, use_ssl)
    assert told.options.get("socket_timeout") == (3.0 if "=3" in given and "socket_timeout" in given else None)
    assert Connection(told.url, ssl=told.use_ssl or False).transport  # which kombu can read


def test_celery_is_told_which_master_to_ask_the_sentinels_for() -> None:
    told = broker(Settings(redis_url=SENTINELS))
    assert told.options["master_name"] == "main"
    theirs = told.options["sentinel_kwargs"]
    assert (theirs["password"], theirs["socket_timeout"], theirs["ssl"]) == ("s", 1.0, False)


def test_a_cluster_is_no_broker_and_a_web_app_needs_none() -> None:
    settings = Settings(redis_url="cluster://:s3cret@a")  # a web app may have no more than this
    with pytest.raises(ConfigError, match=r"ORDERS_BROKER_URL is cluster://:\*\*\*@a .* not support Redis Cluster"):
        broker(settings)
