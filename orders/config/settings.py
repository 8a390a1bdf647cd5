"""The settings: one typed object, from ``ORDERS_*`` in the environment or from a mapping.

`Settings()` reads the environment. `Settings.of({"LEASE": 60})` reads a mapping (Django's ``ORDERS``, Flask's
configuration) whose values override the environment. Both raise `ConfigError`, which names the setting, its value, and
what is accepted.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping
from typing import Annotated, Any, Literal, NamedTuple, Self
from urllib.parse import urlsplit

from pydantic import Field, ValidationError, ValidationInfo, field_validator, model_validator
from pydantic_settings import NoDecode, SettingsConfigDict
from sqlalchemy.engine import make_url

from orders.config import agreement
from orders.config.database_url import DATABASES, normalized, prepare_threshold
from orders.config.durations import Brake
from orders.config.redis_url import FORMS, RedisUrl, is_ours
from orders.config.rejection import explain
from orders.config.reminders import Reminders, parse_reminders
from orders.config.webhooks import WebhookSettings
from orders.errors import ConfigError

PREFIX = "ORDERS_"

QUEUES = ("orders.sweep", "orders.expire", "orders.events")
"""The queues of the tasks, as ``--queues``, routes and metrics name them; see `Settings.queues`."""

MAX_SHARDS = 1024
"""The maximum of ``ORDERS_SHARDS``: a Redis Cluster has at most a thousand nodes."""

MAX_BATCH = 5000
"""The maximum of ``ORDERS_BATCH_SIZE``: the number of ids in one message."""

_YEAR = 366 * 86400
_SECONDS = "a number of seconds above 0, at most a year"
_COUNT = "a whole number from 1 to 100,000,000"
_COLUMN = "the name of a column, 1 to 128 characters"
_STATUS = "a value of the status column, a word or a number of 1 to 255 characters"

Seconds = Annotated[float, Field(gt=0, le=_YEAR, allow_inf_nan=False, description=_SECONDS)]
Count = Annotated[int, Field(ge=1, le=100_000_000, description=_COUNT)]
Column = Annotated[str, Field(min_length=1, max_length=128, description=_COLUMN)]
Status = Annotated[str, Field(min_length=1, max_length=255, description=_STATUS)]


class Derived(NamedTuple):
    """A default that follows from a setting above it. Pydantic's own, a `default_factory` with data, needs 2.10."""

    name: str
    value: Callable[[Any], Any]


class Settings(WebhookSettings):
    """All settings. Each has a default, a description of what is accepted and, below it, its meaning."""

    model_config = SettingsConfigDict(
        env_prefix=PREFIX,
        env_ignore_empty=True,
        extra="forbid",
        frozen=True,
        coerce_numbers_to_str=True,
    )

    redis_url: str = Field("redis://localhost:6379/0", repr=False, description=FORMS)
    """The Redis of the schedule: one server, a master behind Sentinels, or a Redis Cluster."""
    broker_url: str = Field(
        Derived("redis_url", str),
        validate_default=True,
        repr=False,
        description="the URL of a Celery broker, such as amqp://…; for Redis, a URL as in ORDERS_REDIS_URL",
    )
    """Celery's broker; by default ``ORDERS_REDIS_URL``."""
    database_url: str = Field("sqlite:///orders.db", repr=False, description=DATABASES)
    """The database of the orders."""
    log_format: Literal["text", "json"] = Field("text", description="text or json")
    """The format of log lines."""
    heartbeat_file: str | None = Field(
        None, min_length=1, max_length=4096, description="the path of a file in an existing folder"
    )
    """A file that a worker and beat touch while their loops run, for health checks; by default none."""
    key: str = Field("orders", min_length=1, max_length=255, description="a name of 1 to 255 characters")
    """The sorted set of the schedule, and the prefix of its other keys and of the queues."""
    shards: int = Field(1, ge=1, le=MAX_SHARDS, description=f"a whole number from 1 to {MAX_SHARDS:,}")
    """How many sorted sets share the ids. Each is swept separately."""
    score: Literal["deadline", "created"] = Field("deadline", description="deadline or created")
    """The meaning of a score: the deadline, or the creation time, with the deadline ``ORDERS_TIMEOUT`` later."""
    timeout: Seconds = 1800
    """Time to pay if ``enqueue`` gets no deadline."""
    sweep_interval: Seconds = 10
    """Time between two sweeps."""
    # A tenth more than the interval, so that workers already have the orders that fall due while the next sweep starts
    # and publishes. This reduces the p99 lateness from 81 ms to 6 ms (100 orders/s, docs/adr/0003).
    lookahead: Seconds = Field(Derived("sweep_interval", lambda interval: 1.1 * interval), validate_default=True)
    """How long before its deadline a sweep may claim an order; by default 1.1 times ``ORDERS_SWEEP_INTERVAL``."""
    lease: Seconds = 120
    """How long a claim holds an order before another sweep may claim it; longer than ``ORDERS_LOOKAHEAD``."""
    grace: float = Field(
        0, ge=0, le=_YEAR, allow_inf_nan=False, description="a number of seconds, 0 or more, at most a year"
    )
    """How long after its deadline an order is due; the same in all processes."""
    strict: bool = Field(default=False, description="true or false")
    """Whether a payment after the deadline is refused even if the order is still pending."""
    hooks: Annotated[tuple[str, ...], NoDecode] = Field(
        (), description="module names, separated by commas, such as myshop.order_hooks"
    )
    """The modules with the shop's hooks."""
    guard_timeout: Seconds = Field(Derived("lease", lambda lease: min(5.0, lease / 4)), validate_default=True)
    """How long the guard may take: at most half of ``ORDERS_LEASE``; by default a quarter of it, or 5 s if less."""
    guard_parallel: int = Field(16, ge=1, le=256, description="a whole number from 1 to 256")
    """How many orders of one message the guard is asked about in parallel."""
    guard_limit: Count = 10
    """How many times the guard may answer ``UNKNOWN`` for an order."""
    guard_end: Literal["bury", "expire"] = Field("bury", description="bury or expire")
    """What happens to the order then: it is buried as a dead letter, or expired."""
    guard_failures: Count = 3
    """After how many failures in a row the guard is not asked for ``ORDERS_GUARD_PAUSE``."""
    guard_pause: Seconds = 30
    """How long the guard is not asked then."""
    events_table: str = Field(
        "order_events",
        pattern=r"^[^.]+(\.[^.]+)?$",
        max_length=256,
        description="the name of a table, or schema.table",
    )
    """The table of events, the outbox."""
    events_interval: Seconds = Field(Derived("sweep_interval", float), validate_default=True)
    """Time between two deliveries of events; by default ``ORDERS_SWEEP_INTERVAL``."""
    events_parallel: int = Field(1, ge=1, le=256, description="a whole number from 1 to 256")
    """How many events are delivered in parallel, in threads."""
    events_retention: Seconds = 90 * 86400
    """How long events are kept."""
    max_attempts: Count = 10
    """After how many attempts an order becomes a dead letter."""
    max_backlog: Count = 10_000
    """How many messages may wait; workers must take that many within ``ORDERS_LEASE``, or all arrive void."""
    batch_threshold: Count = 30_000
    """If a sweep finds more ids than this, it sends several in one message."""
    batch_size: int = Field(1000, ge=1, le=MAX_BATCH, description=f"a whole number from 1 to {MAX_BATCH:,}")
    """The maximum number of ids in such a message."""
    table: str = Field(
        "orders",
        pattern=r"^[^.]+(\.[^.]+)?$",
        max_length=256,
        description="the name of a table, or schema.table",
    )
    """The shop's table of orders."""
    id_column: Column = "id"
    """The primary key: text, an integer or a UUID."""
    status_column: Column = "status"
    """The status."""
    deadline_column: Column = "expires_at"
    """The deadline: a date and time with a time zone, or in UTC."""
    pending: Status = "pending"
    """The shop's word for a pending order."""
    paid: Status = "paid"
    """The shop's word for a paid order."""
    expired: Status = "expired"
    """The shop's word for an expired order."""
    cancelled: Annotated[tuple[str, ...], NoDecode] = Field(
        ("cancelled", "canceled"), description="values of the status column, separated by commas"
    )
    """The shop's words for cancelled orders: payments for them are refunded. ``orders.cancel`` sets the first one."""
    slo: float | None = Field(None, gt=0, le=_YEAR, allow_inf_nan=False, description=_SECONDS)
    """How late an order may be expired before ``orders audit`` reports it; by default it judges no lateness."""
    condition: str | None = Field(
        None, min_length=1, max_length=10_000, description="an SQL condition on the row of the orders table"
    )
    """Only pending orders for which this SQL holds may expire, such as ``paid_at IS NULL``; by default all may."""
    brake: str | None = Field(None, description="a number of orders and a time, such as 5000/10m")
    """The most orders that may expire in such a time; then the schedule is paused. By default there is no limit."""
    web_login: str | None = Field(None, repr=False, pattern=r"^[^:]+:.+$", max_length=512, description="name:password")
    """The login of ``orders web``, by HTTP Basic. Without one, it listens only on the loopback interface."""
    web_read_only: bool = Field(default=False, description="true or false")
    """Whether ``orders web`` only shows, and changes nothing."""
    remind: Annotated[tuple[int, ...], NoDecode] = Field(
        (), description="at most 16 times, such as 10m,1m, each from a second to a year"
    )
    """How long before its deadline a pending order gets an event ``reminder``; by default there are none."""

    def __init__(self, **values: Any) -> None:
        try:
            super().__init__(**values)
        except ValidationError as error:
            raise ConfigError(explain(error, PREFIX, type(self).model_fields)) from None

    @classmethod
    def of(cls, mapping: Mapping[str, object]) -> Self:
        """Return the settings of a mapping like ``{"LEASE": 60}``, names in any case. It overrides the environment.

        Raises:
            ConfigError: a name or a value is invalid, or this is not a mapping of names to values.
        """
        if not isinstance(mapping, Mapping) or not all(isinstance(name, str) for name in mapping):
            raise ConfigError(f"the settings are a {type(mapping).__name__}: they must be a dict like {{'LEASE': 60}}")
        return cls(**{name.lower(): value for name, value in mapping.items()})

    @property
    def score_offset(self) -> float:
        """Seconds from a score to when the order is due: the grace, plus the timeout if scores are creation times."""
        return self.grace + (self.timeout if self.score == "created" else 0.0)

    @property
    def reminders(self) -> Reminders:
        """When to look at orders because of ``ORDERS_REMIND``, and when they are due."""
        return Reminders(self.remind, self.grace)

    @property
    def queues(self) -> Mapping[str, str]:
        """The name in the broker of each of `QUEUES`: with another ``ORDERS_KEY``, it takes the place of ``orders``."""
        return {queue: self.key + queue.removeprefix("orders") for queue in QUEUES}

    @field_validator("*", mode="before")
    @classmethod
    def _derive(cls, value: object, info: ValidationInfo) -> object:
        if isinstance(value, Derived):  # from the other one's default if that is invalid, which is an error of its own
            return value.value(info.data.get(value.name, cls.model_fields[value.name].default))
        return value

    @field_validator("*", mode="before")
    @classmethod
    def _is_not_a_bool(cls, value: object, info: ValidationInfo) -> object:
        if isinstance(value, bool) and info.field_name not in {"strict", "web_read_only"}:
            raise ValueError("a bool")  # which Python takes for the number 0 or 1
        return value

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

    @field_validator("brake")
    @classmethod
    def _is_brake(cls, text: str | None) -> str | None:
        if text is not None:
            Brake.parse(text)
        return text

    @field_validator("remind", mode="before")
    @classmethod
    def _are_reminders(cls, given: object) -> tuple[int, ...]:
        return parse_reminders(given)

    @field_validator("hooks", "cancelled", mode="before")
    @classmethod
    def _split(cls, names: object) -> object:
        return tuple(name.strip() for name in names.split(",") if name.strip()) if isinstance(names, str) else names

    @field_validator("hooks")
    @classmethod
    def _are_modules(cls, names: tuple[str, ...]) -> tuple[str, ...]:
        if not all(part.isidentifier() for name in names for part in name.split(".")):
            raise ValueError("not module names")
        return names

    @field_validator("database_url")
    @classmethod
    def _is_database_url(cls, url: str) -> str:
        return normalized(url)

    @model_validator(mode="after")
    def _agree(self) -> Self:
        if self.lease <= self.lookahead:
            # A sweep would claim again what it has just claimed.
            raise ValueError(
                f"ORDERS_LEASE is {self.lease:g}: it must be more than ORDERS_LOOKAHEAD, which is {self.lookahead:g} "
                "(by default 1.1 times ORDERS_SWEEP_INTERVAL)"
            )
        if self.guard_timeout > self.lease / 2:
            raise ValueError(
                f"ORDERS_GUARD_TIMEOUT is {self.guard_timeout:g}: it must be at most half of ORDERS_LEASE, which is "
                f"{self.lease:g}"
            )
        agreement.apart(self.remind, self.lookahead)
        prepare_threshold(make_url(self.database_url))
        agreement.distinct(
            id_column=self.id_column, status_column=self.status_column, deadline_column=self.deadline_column
        )
        agreement.distinct(pending=self.pending, paid=self.paid, expired=self.expired)
        if both := set(self.cancelled) & {self.pending, self.paid, self.expired}:
            raise ValueError(
                f"ORDERS_CANCELLED is {','.join(self.cancelled)!r}: it must not contain the word for another state, "
                f"such as {both.pop()!r}"
            )
        return self
