from __future__ import annotations

import pytest

from orders.config.masking import mask
from orders.config.settings import Settings
from orders.errors import ConfigError

DEFAULTS = {
    "redis_url": "redis://localhost:6379/0",
    "broker_url": "redis://localhost:6379/0",
    "database_url": "sqlite:///orders.db",
    "log_format": "text",
    "heartbeat_file": None,
    "key": "orders",
    "shards": 1,
    "score": "deadline",
    "timeout": 1800,
    "sweep_interval": 10,
    "lookahead": 11,
    "lease": 120,
    "grace": 0,
    "strict": False,
    "hooks": (),
    "guard_timeout": 5,
    "guard_parallel": 16,
    "guard_limit": 10,
    "guard_end": "bury",
    "guard_failures": 3,
    "guard_pause": 30,
    "events_table": "order_events",
    "events_interval": 10,
    "events_parallel": 1,
    "events_retention": 7_776_000,
    "max_attempts": 10,
    "max_backlog": 10_000,
    "batch_threshold": 30_000,
    "batch_size": 1000,
    "table": "orders",
    "id_column": "id",
    "status_column": "status",
    "deadline_column": "expires_at",
    "pending": "pending",
    "paid": "paid",
    "expired": "expired",
    "cancelled": ("cancelled", "canceled"),
}


def test_the_defaults_are_those_that_are_documented() -> None:
    assert Settings().model_dump() == DEFAULTS


def test_settings_come_from_the_environment(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("ORDERS_SWEEP_INTERVAL", "20")
    monkeypatch.setenv("ORDERS_REDIS_URL", "unix:///run/redis.sock?db=3")
    monkeypatch.setenv("ORDERS_PENDING", "0")
    monkeypatch.setenv("ORDERS_KEY", "")  # as a compose file leaves what was not set
    settings = Settings()
    assert settings.lookahead == pytest.approx(22)
    assert settings.broker_url == settings.redis_url
    assert (settings.pending, settings.key) == ("0", "orders")


def test_a_mapping_goes_before_the_environment(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("ORDERS_LEASE", "60")
    monkeypatch.setenv("ORDERS_TIMEOUT", "60")
    settings = Settings.of({"LEASE": 300, "PENDING": 1, "paid": 2})
    assert (settings.lease, settings.timeout, settings.pending, settings.paid) == (300, 60, "1", "2")


def test_scores_may_be_creation_times() -> None:
    assert Settings().score_offset == 0
    assert Settings.of({"SCORE": "created", "TIMEOUT": 900}).score_offset == 900


@pytest.mark.parametrize(
    ("setting", "value", "told"),
    [
        ("LEASE", "5 minutes", "ORDERS_LEASE is '5 minutes': it must be a number of seconds above 0"),
        ("TIMEOUT", "nan", "ORDERS_TIMEOUT is 'nan'"),
        ("SWEEP_INTERVAL", 0, "ORDERS_SWEEP_INTERVAL is 0"),
        ("SCORE", "due", "ORDERS_SCORE is 'due': it must be deadline or created"),
        ("BATCH_SIZE", 5001, "ORDERS_BATCH_SIZE is 5001: it must be a whole number from 1 to 5,000"),
        ("MAX_ATTEMPTS", 1.5, "ORDERS_MAX_ATTEMPTS is 1.5: it must be a whole number"),
        ("TABLE", "a.b.c", "ORDERS_TABLE is 'a.b.c': it must be the name of a table, or schema.table"),
        ("ID_COLUMN", "", "ORDERS_ID_COLUMN is ''"),
        ("REDIS_URL", "http://localhost", "ORDERS_REDIS_URL is 'http://localhost': it must be redis://"),
        ("REDIS_URL", "redis://", "ORDERS_REDIS_URL is 'redis://'"),
        ("REDIS_URL", "redis://localhost:99999", "ORDERS_REDIS_URL is 'redis://localhost:99999'"),
        ("REDIS_URL", "redis://localhost?time=1", "ORDERS_REDIS_URL is 'redis://localhost?time=1'"),
        ("REDIS_URL", "sentinel://a,b", "ORDERS_REDIS_URL is 'sentinel://a,b'"),
        ("BROKER_URL", "sentinel://a,b", "ORDERS_BROKER_URL is 'sentinel://a,b'"),
        ("BROKER_URL", "somewhere", "ORDERS_BROKER_URL is 'somewhere'"),
        ("DATABASE_URL", "oracle://db", "ORDERS_DATABASE_URL is 'oracle://db': it must be the SQLAlchemy URL"),
        ("DATABASE_URL", "orders.db", "ORDERS_DATABASE_URL is 'orders.db'"),
        (
            "CANCELLED",
            "void,paid",
            "ORDERS_CANCELLED is 'void,paid': it must not contain the word for another state, such as 'paid'",
        ),
        ("HOOKS", "my shop", "ORDERS_HOOKS is 'my shop': it must be module names"),
        ("GUARD_TIMEOUT", "61", "ORDERS_GUARD_TIMEOUT is 61: it must be at most half of ORDERS_LEASE, which is 120"),
        ("EVENTS_TABLE", "a.b.c", "ORDERS_EVENTS_TABLE is 'a.b.c': it must be the name of a table, or schema.table"),
        ("LEESE", 1, "unknown setting ORDERS_LEESE; the settings are BATCH_SIZE,"),
        ("LEASE", 11, "ORDERS_LEASE is 11: it must be more than ORDERS_LOOKAHEAD, which is 11"),
        ("PAID", "pending", "ORDERS_PENDING is 'pending', ORDERS_PAID is 'pending', ORDERS_EXPIRED is 'expired'"),
        ("STATUS_COLUMN", "id", "ORDERS_ID_COLUMN is 'id', ORDERS_STATUS_COLUMN is 'id'"),
    ],
)
def test_a_wrong_setting_is_named_with_its_value_and_what_is_accepted(setting: str, value: object, told: str) -> None:
    with pytest.raises(ConfigError) as caught:
        Settings.of({setting: value})
    assert told in str(caught.value)
    assert "PydanticUndefined" not in str(caught.value)


def test_no_password_shows_in_errors_or_representations() -> None:
    url = "redis://shop:s3cret@localhost/0"
    assert mask(f"at {url}!") == "at redis://shop:***@localhost/0!"
    several = "sentinel://:s3cret@a:1,b:2/main/0?sentinel_username=s&sentinel_password=s3cret&ssl_ca_certs=ca.pem"
    hidden = "sentinel://:***@a:1,b:2/main/0?sentinel_username=s&sentinel_password=***&ssl_ca_certs=ca.pem"
    assert mask(f"at {several}!") == f"at {hidden}!"
    assert mask("unix:///run/redis.sock?db=1&password=s3cret, or") == "unix:///run/redis.sock?db=1&password=***, or"
    assert "s3cret" not in repr(Settings.of({"REDIS_URL": url, "DATABASE_URL": "postgresql://a:s3cret@db/shop"}))
    with pytest.raises(ConfigError) as caught:
        Settings.of({"REDIS_URL": "rediss:/" + url, "DATABASE_URL": "db2://a:s3cret@db/shop"})
    assert "s3cret" not in str(caught.value)
