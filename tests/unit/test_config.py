from __future__ import annotations

import pytest

from orders import process
from orders.config.masking import mask
from orders.config.settings import Settings
from orders.config.variables import misspelt, strangers
from orders.errors import ConfigError

DEFAULTS = {
    "webhook_url": (),
    "webhook_secret": (),
    "webhook_allow": (),
    "webhook_timeout": 15,
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
    "slo": None,
    "condition": None,
    "brake": None,
    "remind": (),
    "web_login": None,
    "web_read_only": False,
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
        ("SLO", "0", "ORDERS_SLO is '0': it must be a number of seconds above 0"),
        ("SCORE", "due", "ORDERS_SCORE is 'due': it must be deadline or created"),
        ("BATCH_SIZE", 5001, "ORDERS_BATCH_SIZE is 5001: it must be a whole number from 1 to 5,000"),
        ("BRAKE", "5000", "ORDERS_BRAKE is '5000': it must be a number of orders and a time, such as 5000/10m"),
        ("BRAKE", "0/10m", "ORDERS_BRAKE is '0/10m'"),
        ("BRAKE", "10/0s", "ORDERS_BRAKE is '10/0s'"),
        ("BRAKE", "10/10 minutes", "ORDERS_BRAKE is '10/10 minutes'"),
        ("BRAKE", "10/400d", "ORDERS_BRAKE is '10/400d'"),
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
        (
            "DATABASE_URL",
            "postgresql+asyncpg://h/db",
            "with a driver that is not for asyncio, such as postgresql+psycopg:",
        ),
        ("DATABASE_URL", "mysql+aiomysql://h/db", "ORDERS_DATABASE_URL is 'mysql+aiomysql://h/db'"),
        ("DATABASE_URL", "sqlite+aiosqlite:///x", "ORDERS_DATABASE_URL is 'sqlite+aiosqlite:///x'"),
        ("REDIS_URL", "localhost:6379", "ORDERS_REDIS_URL is 'localhost:6379': it must be redis://"),
        ("REDIS_URL", "redis:/localhost", "ORDERS_REDIS_URL is 'redis:/localhost': it must be redis://"),
        ("REDIS_URL", "redis://localhost/shop", "ORDERS_REDIS_URL is 'redis://localhost/shop': it must be redis://"),
        ("REDIS_URL", "redis://localhost/1/2", "ORDERS_REDIS_URL is 'redis://localhost/1/2'"),
        ("REDIS_URL", "sentinel://a,b/main/shop", "ORDERS_REDIS_URL is 'sentinel://a,b/main/shop'"),
        ("DATABASE_URL", "orders.db", "ORDERS_DATABASE_URL is 'orders.db'"),
        (
            "DATABASE_URL",
            "postgresql:///shop?prepare_threshold=off",
            "prepare_threshold in ORDERS_DATABASE_URL is 'off': it must be a whole number, or none",
        ),
        (
            "CANCELLED",
            "void,paid",
            "ORDERS_CANCELLED is 'void,paid': it must not contain the word for another state, such as 'paid'",
        ),
        (
            "CONDITION",
            "x" * 10_001,
            "it must be an SQL condition on the row of the orders table",
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


@pytest.mark.parametrize(
    ("given", "read"),
    [
        ("postgres://a:b@h/db", "postgresql://a:b@h/db"),
        ("postgres+psycopg://h/db", "postgresql+psycopg://h/db"),
        ("postgresql://h/postgres", "postgresql://h/postgres"),
        ("postgresql+nowhere://h/db", "postgresql+nowhere://h/db"),  # perhaps this process needs no driver
        ("mysql://h/db", "mysql://h/db"),
    ],
)
def test_postgres_is_another_name_of_postgresql(given: str, read: str) -> None:
    assert Settings.of({"DATABASE_URL": given}).database_url == read


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
    with pytest.raises(ConfigError) as caught:
        Settings.of(
            {"DATABASE_URL": "postgresql+asyncpg://a:s3cret@db/shop", "REDIS_URL": "redis://:s3cret@h/s3cret@h"}
        )
    assert "s3cret" not in str(caught.value)


@pytest.mark.parametrize(
    ("variable", "setting"),
    [
        ("ORDERS_TIMEOT", "ORDERS_TIMEOUT"),
        ("ORDERS_LEESE", "ORDERS_LEASE"),
        ("ORDERS_TABLES", "ORDERS_TABLE"),
        ("ORDERS_REDIS_URI", "ORDERS_REDIS_URL"),
        ("ORDERS_SWEEPINTERVAL", "ORDERS_SWEEP_INTERVAL"),
        ("orders_max_atempts", "ORDERS_MAX_ATTEMPTS"),
        ("ORDERS_EVENT_TABLE", "ORDERS_EVENTS_TABLE"),
        ("ORDERS_HOOK", "ORDERS_HOOKS"),
    ],
)
def test_a_misspelt_setting_is_found(variable: str, setting: str) -> None:
    assert misspelt([variable, "PATH", "ORDERS_APP"]) == {variable: setting}


@pytest.mark.parametrize(
    "variable",
    [
        "ORDERS_APP",
        "ORDERS_LEASE",
        "orders_lease",
        "ORDERS_API_KEY",
        "ORDERS_BASE_URL",
        "ORDERS_SERVICE_HOST",
        "ORDERS_PORT",
        "ORDERS_PORT_80_TCP",
        "ORDERS_REDIS_PORT",
        "ORDERS_REDIS_PASSWORD",
        "ORDERS_POSTGRES_PASSWORD",
        "ORDERS_",
        "MY_ORDERS_TIMEOT",
    ],
)
def test_what_may_be_the_shops_own_is_left_alone(variable: str) -> None:
    assert misspelt([variable]) == {}
    assert strangers(["ORDERS_PORT", "orders_timeot", "ORDERS_LEASE", "ORDERS_APP"]) == ["ORDERS_PORT", "orders_timeot"]


def test_each_variable_is_warned_of_once(monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture) -> None:
    monkeypatch.setattr(process, "_warned", set())
    monkeypatch.setattr(process, "_current", None)
    monkeypatch.setenv("ORDERS_TIMEOT", "900")
    process.configure()
    process.configure()
    [record] = caplog.records
    assert record.getMessage() == "ORDERS_TIMEOT is not a setting, and is ignored: did you mean ORDERS_TIMEOUT?"
    assert (record.levelname, record.__dict__["event"]) == ("WARNING", "misspelt")
