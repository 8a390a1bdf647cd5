"""The settings: one typed object, from ``ORDERS_*`` in the environment or from a mapping.

`Settings()` reads the environment; `Settings.of({"LEASE": 60})` reads a mapping (Django's ``ORDERS``, Flask's
configuration) over it. Either raises `ConfigError`, which names the setting, what it was, and what is accepted.
"""

from __future__ import annotations

import re
from collections.abc import Mapping
from typing import Annotated, Any, Literal, Self
from urllib.parse import urlsplit

from pydantic import Field, ValidationError, field_validator, model_validator
from pydantic_settings import BaseSettings, NoDecode, SettingsConfigDict
from sqlalchemy.engine import make_url
from sqlalchemy.exc import ArgumentError

from orders.config.masking import mask
from orders.config.redis_url import FORMS, RedisUrl, is_ours
from orders.errors import ConfigError

PREFIX = "ORDERS_"

MAX_SHARDS = 1024
"""What ``ORDERS_SHARDS`` is at most: a Redis Cluster has at most a thousand nodes."""

MAX_BATCH = 5000
"""What ``ORDERS_BATCH_SIZE`` is at most: so many ids are in one message."""

_YEAR = 366 * 86400
_SECONDS = "a number of seconds above 0, at most a year"
_COUNT = "a whole number from 1 to 100,000,000"
_COLUMN = "the name of a column, 1 to 128 characters"
_STATUS = "a word or a number as the status column holds it, 1 to 255 characters"

Seconds = Annotated[float, Field(gt=0, le=_YEAR, allow_inf_nan=False, description=_SECONDS)]
Count = Annotated[int, Field(ge=1, le=100_000_000, description=_COUNT)]
Column = Annotated[str, Field(min_length=1, max_length=128, description=_COLUMN)]
Status = Annotated[str, Field(min_length=1, max_length=255, description=_STATUS)]


def _lookahead(data: dict[str, Any]) -> float:
    # A tenth more than the interval: what falls due while the next sweep starts and publishes is with the workers
    # by then. It takes the lateness of 99 in 100 orders from 81 ms to 6 ms (100 orders/s, docs/adr/0003).
    interval: float = data["sweep_interval"]
    return 1.1 * interval


def _guard_timeout(data: dict[str, Any]) -> float:
    lease: float = data["lease"]
    return min(5.0, lease / 4)


class Settings(BaseSettings):
    """Every setting with its default and, below it, its meaning. A description says what is accepted."""

    model_config = SettingsConfigDict(
        env_prefix=PREFIX,
        env_ignore_empty=True,
        extra="forbid",
        frozen=True,
        coerce_numbers_to_str=True,
    )

    redis_url: str = Field(
        "redis://localhost:6379/0",
        repr=False,
        description=FORMS,
    )
    """The Redis of the schedule: one server, a Sentinel's or a cluster."""
    broker_url: str = Field(
        default_factory=lambda data: data["redis_url"],
        repr=False,
        description="the URL of a Celery broker, transport://…, such as amqp://…; of a Redis, as for ORDERS_REDIS_URL",
    )
    """The broker of Celery's messages; by default the same Redis."""
    database_url: str = Field(
        "sqlite:///orders.db",
        repr=False,
        description="the SQLAlchemy URL of a PostgreSQL, MySQL, MariaDB or SQLite database",
    )
    """The database of the orders."""
    log_format: Literal["text", "json"] = Field("text", description="text or json")
    """How a line of the log is written."""
    heartbeat_file: str | None = Field(
        None, min_length=1, max_length=4096, description="the path of a file, in a folder that there is"
    )
    """A file that a worker and beat touch while their loops come round, for probes to look at; by default none."""
    key: str = Field("orders", min_length=1, max_length=255, description="a name of 1 to 255 characters")
    """The sorted set of the schedule, and how the names of its other keys begin."""
    shards: int = Field(1, ge=1, le=MAX_SHARDS, description=f"a whole number from 1 to {MAX_SHARDS:,}")
    """How many sorted sets the ids are spread over, each swept on its own."""
    score: Literal["deadline", "created"] = Field("deadline", description="deadline or created")
    """What a score is: the deadline, or the creation, with the deadline ``ORDERS_TIMEOUT`` later."""
    timeout: Seconds = 1800
    """Time to pay, when ``enqueue`` is given no deadline."""
    sweep_interval: Seconds = 10
    """Time between two sweeps."""
    lookahead: Seconds = Field(default_factory=_lookahead)
    """How far before its deadline an order may be claimed; by default 1.1 times ``ORDERS_SWEEP_INTERVAL``."""
    lease: Seconds = 120
    """How long a claim holds an order before another may; longer than ``ORDERS_LOOKAHEAD``."""
    grace: float = Field(0, ge=0, le=_YEAR, allow_inf_nan=False, description="a number of seconds, at most a year")
    """How long after its deadline an order is due; the same in all processes."""
    strict: bool = Field(
        default=False, description="true if a payment after the deadline is refused even before the order was expired"
    )
    """Whether a payment after the deadline is refused though the order is still pending."""
    hooks: Annotated[tuple[str, ...], NoDecode] = Field(
        (), description="the names of modules, with commas between them: myshop.order_hooks"
    )
    """The modules that the shop's hooks stand in."""
    guard_timeout: Seconds = Field(default_factory=_guard_timeout)
    """How long the guard may take; by default 5 s or a quarter of ``ORDERS_LEASE``, and at most half of that."""
    guard_parallel: int = Field(16, ge=1, le=256, description="a whole number from 1 to 256")
    """How many questions the guard is asked at a time about the orders of one message."""
    guard_limit: Count = 10
    """How many times the guard may answer that it does not know."""
    guard_end: Literal["bury", "expire"] = Field("bury", description="bury or expire")
    """What becomes of the order then: a dead letter, or expired."""
    guard_failures: Count = 3
    """After how many failures in a row the guard is not asked for a while."""
    guard_pause: Seconds = 30
    """For how long it is not asked then."""
    events_table: str = Field(
        "order_events",
        pattern=r"^[^.]+(\.[^.]+)?$",
        max_length=256,
        description="the name of a table, or schema.table",
    )
    """The table of events, the outbox."""
    events_interval: Seconds = Field(default_factory=lambda data: data["sweep_interval"])
    """Time between two deliveries of events; by default ``ORDERS_SWEEP_INTERVAL``."""
    events_parallel: int = Field(1, ge=1, le=256, description="a whole number from 1 to 256")
    """How many events a delivery hands out at a time, in threads."""
    events_retention: Seconds = 90 * 86400
    """How long events are kept."""
    max_attempts: Count = 10
    """How many attempts are made at an order before it becomes a dead letter."""
    max_backlog: Count = 10_000
    """How many messages may wait; workers must take that many within ``ORDERS_LEASE``, or all come to them void."""
    batch_threshold: Count = 30_000
    """When a sweep finds more ids than this, it sends several in one message."""
    batch_size: int = Field(1000, ge=1, le=MAX_BATCH, description=f"a whole number from 1 to {MAX_BATCH:,}")
    """How many ids such a message has at most."""
    table: str = Field(
        "orders",
        pattern=r"^[^.]+(\.[^.]+)?$",
        max_length=256,
        description="the name of a table, or schema.table",
    )
    """The shop's table of orders."""
    id_column: Column = "id"
    """Its primary key: text, an integer or a UUID."""
    status_column: Column = "status"
    """Its status."""
    deadline_column: Column = "expires_at"
    """Its deadline: a time with a time zone, or in UTC."""
    pending: Status = "pending"
    """The shop's word for an order that may be paid."""
    paid: Status = "paid"
    """The shop's word for a paid order."""
    expired: Status = "expired"
    """The shop's word for an expired order."""
    cancelled: Annotated[tuple[str, ...], NoDecode] = Field(
        ("cancelled", "canceled"), description="words or numbers as the status column holds them, with commas between"
    )
    """The shop's words for cancelled orders: money for them goes back."""

    def __init__(self, **values: Any) -> None:
        try:
            super().__init__(**values)
        except ValidationError as error:
            raise ConfigError(_explain(error)) from None

    @classmethod
    def of(cls, mapping: Mapping[str, object]) -> Self:
        """Return the settings of a mapping like ``{"LEASE": 60}``, names in any case, over the environment's."""
        return cls(**{name.lower(): value for name, value in mapping.items()})

    @property
    def score_offset(self) -> float:
        """Seconds from a score to the instant when it is due: the grace, and the timeout if scores are creations."""
        return self.grace + (self.timeout if self.score == "created" else 0.0)

    @field_validator("redis_url")
    @classmethod
    def _is_redis_url(cls, url: str) -> str:
        RedisUrl.parse(url)
        return url

    @field_validator("broker_url")
    @classmethod
    def _is_url(cls, url: str) -> str:
        if not urlsplit(url).scheme:
            raise ValueError("not a URL")
        if is_ours(url):
            RedisUrl.parse(url)
        return url

    @field_validator("hooks", "cancelled", mode="before")
    @classmethod
    def _split(cls, names: object) -> object:
        return tuple(name.strip() for name in names.split(",") if name.strip()) if isinstance(names, str) else names

    @field_validator("hooks")
    @classmethod
    def _are_modules(cls, names: tuple[str, ...]) -> tuple[str, ...]:
        if not all(part.isidentifier() for name in names for part in name.split(".")):
            raise ValueError("not the names of modules")
        return names

    @field_validator("database_url")
    @classmethod
    def _is_database_url(cls, url: str) -> str:
        try:
            backend = make_url(url).get_backend_name()
        except ArgumentError as error:
            raise ValueError("not a URL") from error
        if backend not in {"postgresql", "mysql", "mariadb", "sqlite"}:
            raise ValueError(f"no support for {backend}")
        return url

    @model_validator(mode="after")
    def _agree(self) -> Self:
        if self.lease <= self.lookahead:
            # A sweep would take over what it has just claimed.
            raise ValueError(
                f"ORDERS_LEASE is {self.lease:g}: accepted is more than ORDERS_LOOKAHEAD, which is {self.lookahead:g} "
                "(if it is not set: 1.1 times ORDERS_SWEEP_INTERVAL)"
            )
        if self.guard_timeout > self.lease / 2:
            raise ValueError(
                f"ORDERS_GUARD_TIMEOUT is {self.guard_timeout:g}: accepted is at most half of ORDERS_LEASE, which is "
                f"{self.lease:g}"
            )
        _distinct(self, "id_column", "status_column", "deadline_column")
        _distinct(self, "pending", "paid", "expired")
        if both := set(self.cancelled) & {self.pending, self.paid, self.expired}:
            raise ValueError(
                f"ORDERS_CANCELLED is {','.join(self.cancelled)!r}: accepted are words for no other state, and "
                f"{both.pop()!r} is one"
            )
        return self


def _distinct(settings: Settings, *names: str) -> None:
    values = [getattr(settings, name) for name in names]
    if len(set(values)) < len(values):
        listed = ", ".join(f"{PREFIX}{name.upper()} is {value!r}" for name, value in zip(names, values, strict=True))
        raise ValueError(f"{listed}: accepted are three different values")


def _mask_wrong(name: str, value: object) -> str:
    """Return what a setting was given. Of what is meant to be a URL and is none, too much is hidden, not too little."""
    text = repr(value)
    if name.endswith("_url"):
        text = re.sub(r"^(['\"](?:[\w+.-]*:/+)?[^:/@]*:).*@", r"\1***@", text, flags=re.DOTALL)
        text = re.sub(r"^(['\"][\w+.-]+:/+[^:/@]*:)(?!\d+\b)[^/@'\"]*(?!.*@)", r"\1***", text)
    return mask(text)


def _explain(error: ValidationError) -> str:
    """Say of each wrong setting what it is called, what it was given, and what is accepted."""
    lines = []
    for wrong in error.errors():
        if wrong["type"] == "default_factory_not_called":  # depends on a setting that is named already
            continue
        name = "".join(str(part) for part in wrong["loc"][:1])
        if wrong["type"] == "extra_forbidden":
            known = ", ".join(sorted(known.upper() for known in Settings.model_fields))
            lines.append(f"{PREFIX}{name.upper()} is no setting; the settings are {known}")
        elif name in Settings.model_fields:
            accepted = Settings.model_fields[name].description
            lines.append(f"{PREFIX}{name.upper()} is {_mask_wrong(name, wrong['input'])}: accepted is {accepted}")
        else:
            lines.append(wrong["msg"].removeprefix("Value error, "))
    return "; ".join(lines)
