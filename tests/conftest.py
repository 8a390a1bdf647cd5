"""A shop for each test, on servers of our own (`tests.servers`)."""

from __future__ import annotations

import os
from collections.abc import Callable, Iterator, Sequence
from contextlib import ExitStack, contextmanager
from dataclasses import dataclass, field, replace
from datetime import UTC, datetime, timedelta
from functools import cached_property
from pathlib import Path
from typing import Any, TypeVar, cast
from uuid import UUID

import pytest
import sqlalchemy as sa
from redis import Redis
from sqlalchemy.orm import Session

from orders.clock import Clock
from orders.config.settings import PREFIX, Settings
from orders.embedded import EmbeddedRedis
from orders.events import Event
from orders.expiry.use_cases import OrderExpiry
from orders.hooks import Hooks
from orders.schedule.records import Claim
from orders.schedule.sorted_set import Schedule
from orders.store.engine import create_engine
from orders.store.orders_table import IdType
from orders.store.outcomes import Payment
from orders.store.sql_store import SqlStore

pytest_plugins = ["tests.packages", "tests.selection", "tests.servers"]

T = TypeVar("T")

AUDIT = {
    "sqlite": """
        CREATE TRIGGER audited AFTER UPDATE OF status ON orders
        BEGIN INSERT INTO audit VALUES (new.id, old.status, new.status); END
    """,
    "mysql": """
        CREATE TRIGGER audited AFTER UPDATE ON orders FOR EACH ROW
        IF old.status <> new.status THEN INSERT INTO audit VALUES (new.id, old.status, new.status); END IF
    """,
    "postgresql": """
        CREATE FUNCTION audited() RETURNS trigger LANGUAGE plpgsql AS
        'BEGIN INSERT INTO audit VALUES (new.id, old.status, new.status); RETURN new; END';
        CREATE TRIGGER audited AFTER UPDATE OF status ON orders FOR EACH ROW EXECUTE FUNCTION audited()
    """,
}


@pytest.fixture(autouse=True)
def _no_settings_from_outside(monkeypatch: pytest.MonkeyPatch) -> None:
    for name in os.environ:
        if name.startswith(PREFIX):
            monkeypatch.delenv(name)


@pytest.fixture(params=["sqlite", "postgresql", "mariadb"])
def database_url(request: pytest.FixtureRequest, tmp_path: Path) -> str:
    if request.param == "sqlite":
        return f"sqlite:///{tmp_path / 'shop.db'}"
    url: str = request.getfixturevalue({"postgresql": "postgres_url", "mariadb": "mariadb_url"}[request.param])
    return url


@dataclass
class ManualClock:
    """A clock that stands still until it is told to move."""

    time: datetime = field(default_factory=lambda: datetime.now(UTC))

    def now(self) -> datetime:
        return self.time

    def advance(self, seconds: float) -> None:
        self.time += timedelta(seconds=seconds)


class Adapter:
    """What a shop's transactions are: SQLAlchemy's, or in `tests.contrib.django.adapter` those of Django."""

    name = "sqlalchemy"
    gives_way: tuple[type[Exception], ...] = (sa.exc.OperationalError,)
    """What a transaction of the shop's own raises if another is in its way."""

    def store(
        self, settings: Settings, *, hooks: Hooks, engine: sa.Engine | None = None, clock: Clock | None = None
    ) -> SqlStore:
        """Return a store, with connections of its own if it is given no engine."""
        return SqlStore(settings, hooks=hooks, engine=engine, clock=clock)

    def expiry(self, settings: Settings, schedule: Schedule, store: SqlStore, **others: Any) -> OrderExpiry:
        return OrderExpiry(settings, schedule, store, **others)

    @contextmanager
    def transaction(self, engine: sa.Engine) -> Iterator[dict[str, Any]]:
        """Begin a transaction of the shop's own; yield what joins it."""
        with Session(engine) as session, session.begin():
            yield {"session": session}

    def sql(self, given: Any, statement: sa.TextClause, **parameters: Any) -> Any:
        """Execute a statement in what a hook is given; return the first value of the first row, if there is any."""
        return next((row[0] for row in self.rows(given, statement, **parameters)), None)

    def rows(self, given: Any, statement: sa.TextClause, **parameters: Any) -> list[tuple[Any, ...]]:
        """Execute a statement in what a hook is given; return its rows, if it has any."""
        result = given.execute(statement, parameters)
        return [tuple(row) for row in result] if result.returns_rows else []

    def tidy(self, target: Callable[[], T]) -> Callable[[], T]:
        """Return what leaves no connection open at the end, for a thread of the shop's."""
        return target


@contextmanager
def opened(name: str, settings: Settings) -> Iterator[Adapter]:
    """Yield an adapter by its name."""
    if name == Adapter.name:
        yield Adapter()
        return
    from tests.contrib.django.adapter import DjangoAdapter, database  # noqa: PLC0415 - starts Django

    with database(settings.database_url) as alias, ExitStack() as others:
        yield DjangoAdapter(alias, settings.database_url, others)


@pytest.fixture
def adapter(request: pytest.FixtureRequest, settings: Settings) -> Iterator[Adapter]:
    with opened(getattr(request, "param", Adapter.name), settings) as adapter:
        yield adapter


@dataclass
class Shop:
    """An orders table, and the schedule beside it."""

    settings: Settings
    expiry: OrderExpiry
    store: SqlStore
    schedule: Schedule
    redis: Redis
    engine: sa.Engine
    clock: ManualClock
    slept: list[float] = field(default_factory=list)
    claim: Claim | None = None
    payments: list[Payment] = field(default_factory=list)
    adapter: Adapter = field(default_factory=Adapter)

    def create(self, id_type: IdType = "text", *, events: bool = True) -> None:
        assert self.store.create_table(id_type)
        if events:
            assert self.store.create_outbox()

    @property
    def hooks(self) -> Hooks:
        return self.expiry.hooks

    def configured(self, **values: object) -> Shop:
        """Return the same shop, with its hooks, under other settings."""
        given = self.settings.model_dump(include=self.settings.model_fields_set)
        settings = Settings(**{**given, **values})
        store, schedule = self.open_store(settings), Schedule(self.redis, settings)
        expiry = self.adapter.expiry(
            settings, schedule, store, hooks=self.hooks, clock=self.clock, sleep=self.slept.append, jitter=lambda: 0.0
        )
        shop = Shop(settings, expiry, store, schedule, self.redis, self.engine, self.clock, self.slept)
        shop.adapter = self.adapter
        return shop

    def timed(self) -> Shop:
        """Return the same shop, whose clock decides what is due."""
        store, options = self.open_store(clock=self.clock), {"sleep": self.slept.append, "jitter": lambda: 0.0}
        expiry = self.adapter.expiry(self.settings, self.schedule, store, hooks=self.hooks, clock=self.clock, **options)
        return replace(self, expiry=expiry, store=store)

    def open_store(self, settings: Settings | None = None, clock: Clock | None = None) -> SqlStore:
        """Return a store with the shop's hooks, on its connections."""
        return self.adapter.store(settings or self.settings, hooks=self.hooks, engine=self.engine, clock=clock)

    def events(self, order_id: str) -> list[Event]:
        return list(self.store.events(order_id, limit=100))

    def kinds(self, order_id: str) -> list[str]:
        return [event.kind.value for event in self.events(order_id)]

    @cached_property
    def table(self) -> sa.Table:
        # Names and types are enough. A whole reflection takes a sixth of a test's time for what no test asks.
        columns = sa.inspect(self.engine).get_columns("orders")
        return sa.Table("orders", sa.MetaData(), *(sa.Column(column["name"], column["type"]) for column in columns))

    def stored(self, order_id: object) -> object:
        """Return an id as the column holds it: UUIDs as 32 digits where the database, or SQLAlchemy, has no type."""
        return order_id.hex if isinstance(order_id, UUID) and isinstance(self.table.c.id.type, sa.CHAR) else order_id

    def place(self, *order_ids: object, due: float = -1.0, status: str = "pending", enqueue: bool = True) -> None:
        """Place orders that are due so many seconds from now by the clock of the database and of Redis."""
        deadline = datetime.now(UTC) + timedelta(seconds=due)
        stored = deadline if self.engine.dialect.name == "postgresql" else deadline.replace(tzinfo=None)
        insert = sa.insert(self.table)
        with self.engine.begin() as connection:
            connection.execute(
                insert, [{"id": order_id, "status": status, "expires_at": stored} for order_id in order_ids]
            )
        if enqueue:
            self.expiry.enqueue_many((order_id, deadline) for order_id in order_ids)  # type: ignore[misc]

    def change(self, order_id: object, **values: object) -> None:
        update = sa.update(self.table).where(self.table.c.id == order_id).values(**values)
        with self.engine.begin() as connection:
            connection.execute(update)

    def update_if_pending(self, order_id: object, **values: object) -> bool:
        is_pending = (self.table.c.id == order_id) & (self.table.c.status == "pending")
        update = sa.update(self.table).where(is_pending).values(**values)
        with self.engine.begin() as connection:
            return connection.execute(update).rowcount == 1

    def delete(self, order_id: object) -> None:
        delete = sa.delete(self.table).where(self.table.c.id == order_id)
        with self.engine.begin() as connection:
            connection.execute(delete)

    def audit(self) -> None:
        """Have the database write down every change of a status, whoever makes it."""
        with self.engine.begin() as connection:
            connection.exec_driver_sql("CREATE TABLE audit (order_id TEXT, was TEXT, became TEXT)")
            connection.exec_driver_sql(AUDIT[self.engine.dialect.name])

    def changes(self) -> Sequence[tuple[str, str]]:
        with self.engine.begin() as connection:
            return [(was, became) for was, became in connection.exec_driver_sql("SELECT was, became FROM audit")]

    def status(self, order_id: object) -> str | None:
        select = sa.select(self.table.c.status).where(self.table.c.id == order_id)
        with self.engine.begin() as connection:
            return connection.scalar(select)

    def score(self, order_id: str) -> float | None:
        return self.redis.zscore("orders", order_id)

    def retries_after(self, order_id: str) -> float:
        """Return the seconds from the last attempt of an order to its next one."""
        entry = self.schedule.entry(order_id)
        assert entry.failure
        assert entry.due == pytest.approx(entry.failure["retry_at"], abs=1e-3)
        return float(entry.failure["retry_at"] - entry.failure["at"])

    def schedule_as_dict(self) -> dict[str, float]:
        entries = cast("list[tuple[bytes, float]]", self.redis.zrange("orders", 0, -1, withscores=True))
        return {member.decode(): score for member, score in entries}

    def claim_and_expire(self, *order_ids: str) -> dict[str, int]:
        claim = self.schedule.claim(100)
        return self.expiry.expire(order_ids or [claimed.order_id for claimed in claim.claimed], claim.lease)

    def claim_and_expire_all(self) -> int:
        """Claim what is due and expire it; return how many there were."""
        claim = self.schedule.claim(100)
        if claim.claimed:
            self.expiry.expire([claimed.order_id for claimed in claim.claimed], claim.lease)
        return len(claim.claimed)


@pytest.fixture
def settings(redis_server: EmbeddedRedis, database_url: str) -> Settings:
    return Settings(redis_url=redis_server.url, database_url=database_url)


@pytest.fixture
def schedule(settings: Settings, redis: Redis) -> Iterator[Schedule]:
    schedule = Schedule.connect(settings)
    yield schedule
    schedule.close()


@pytest.fixture
def shop(settings: Settings, schedule: Schedule, redis: Redis, adapter: Adapter) -> Iterator[Shop]:
    hooks = Hooks()
    store, clock = adapter.store(settings, hooks=hooks), ManualClock()
    engine = create_engine(settings.database_url)
    slept: list[float] = []
    expiry = adapter.expiry(settings, schedule, store, hooks=hooks, clock=clock, sleep=slept.append, jitter=lambda: 0.0)
    yield Shop(settings, expiry, store, schedule, redis, engine, clock, slept, adapter=adapter)
    store.close()
    engine.dispose()
