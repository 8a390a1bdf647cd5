"""The shop's own orders table: read its columns from the database, check them, and convert order ids.

`find` describes the table for `orders.store.statements`; `default` is the table that ``orders init-db`` creates.
"""

from __future__ import annotations

import re
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from datetime import UTC, datetime
from functools import cached_property, partial
from typing import TYPE_CHECKING, Any, Literal
from uuid import UUID

import sqlalchemy as sa
from sqlalchemy import types
from sqlalchemy.dialects import mysql, postgresql
from sqlalchemy.schema import CreateIndex

from orders import ids
from orders.errors import InvalidOrderId, SchemaError

if TYPE_CHECKING:
    from sqlalchemy.engine.interfaces import ReflectedColumn

    from orders.config import Settings

IdType = Literal["text", "integer", "uuid"]

SUITABLE: Mapping[str, tuple[tuple[type[types.TypeEngine[Any]], ...], str]] = {
    "deadline_column": ((types.DateTime,), "a date and time column"),
    "id_column": ((types.Integer, types.String, types.Uuid), "a text, integer or UUID column"),
    "status_column": (
        (types.Integer, types.Numeric, types.String),
        "a text, number or enum column, or a domain of text or numbers",
    ),
}
"""The settings that name columns: the types that each may have, and how to say so."""


class UtcDateTime(types.TypeDecorator[datetime]):
    """An aware datetime in UTC. A column without a time zone holds UTC."""

    impl = sa.DateTime
    cache_ok = True

    def __init__(self, *, timezone: bool) -> None:
        super().__init__(timezone=timezone)
        self.timezone = timezone

    def load_dialect_impl(self, dialect: sa.Dialect) -> types.TypeEngine[Any]:
        """Return the column type; without *fsp*, MySQL's DATETIME keeps whole seconds only."""
        kind = mysql.DATETIME(fsp=6) if dialect.name in {"mysql", "mariadb"} else sa.DateTime(timezone=self.timezone)
        return dialect.type_descriptor(kind)

    def process_bind_param(self, value: datetime | None, dialect: sa.Dialect) -> datetime | None:  # noqa: ARG002 - SQLAlchemy
        """Convert a value for the driver."""
        return value if value is None or self.timezone else value.astimezone(UTC).replace(tzinfo=None)

    def process_result_value(self, value: datetime | None, dialect: sa.Dialect) -> datetime | None:  # noqa: ARG002 - SQLAlchemy
        """Convert a value from the driver."""
        return value and (value.astimezone(UTC) if value.tzinfo else value.replace(tzinfo=UTC))


@dataclass(frozen=True)
class OrdersTable:
    """The three columns that expiry needs, and the shop's values for the states."""

    table: sa.TableClause
    """The table with all its columns, which the shop's condition may use."""
    id: sa.ColumnClause[Any]
    status: sa.ColumnClause[Any]
    deadline: sa.ColumnClause[datetime]
    has_zone: bool
    """Whether the deadline column has a time zone; without one, it holds UTC."""
    id_range: range
    """The range of an integer id column."""
    pending: object
    paid: object
    expired: object
    cancelled: Callable[[], object]
    """Returns the first of the shop's values for cancelled; raises SchemaError if the column cannot hold it."""

    @cached_property
    def key(self) -> Callable[[str], Any]:
        """The function that returns an order id as the id column holds it.

        It raises InvalidOrderId if the column cannot hold it.
        """
        kind = self.id.type
        return partial(_integer, kind, self.id_range) if isinstance(kind, types.Integer) else self._key

    def _key(self, order_id: str) -> Any:
        kind, text = self.id.type, ids.parse(order_id)
        if isinstance(kind, types.Uuid):
            return _uuid(text, kind)
        length: int | None = getattr(kind, "length", None)
        if _is_hex_uuid(kind) and len(text) == len(str(UUID(int=0))):
            return _uuid(text, kind).hex
        if length is not None and len(text) > length:
            raise InvalidOrderId(f"the order id {text!r} has {len(text)} characters; the id column is {kind}")
        return text

    def normal(self, key: Any) -> Any:
        """Return an id from the database as `key` returns it, without the padding of a CHAR column."""
        return key.rstrip(" ") if self._is_padded else key

    @cached_property
    def order_id(self) -> Callable[[Any], str]:
        """The function that returns the order id of a row, as it is in the schedule."""
        return self._order_id if isinstance(self.id.type, types.CHAR) else str

    def _order_id(self, key: Any) -> str:
        key = self.normal(key)
        if _is_hex_uuid(self.id.type) and re.fullmatch(r"[0-9a-f]{32}", key):
            return str(UUID(key))
        return str(key)

    def index(self, dialect: sa.Dialect) -> str:
        """Return the statement that creates the index for reconcile, on the pending rows by deadline."""
        columns = [sa.Column(column.name, column.type) for column in (self.id, self.status, self.deadline)]
        table = sa.Table(self.table.name, sa.MetaData(), *columns, schema=self.table.schema)
        return str(CreateIndex(_index(table, self.pending, dialect.name)).compile(dialect=dialect))

    @cached_property
    def _is_padded(self) -> bool:
        return isinstance(self.id.type, types.CHAR)


def find(bind: sa.Connection, settings: Settings) -> OrdersTable:
    """Read the orders table from the database.

    Raises:
        SchemaError: the table or a column is missing, or a column has an unsuitable type.
    """
    schema, _, name = settings.table.rpartition(".")
    inspector = sa.inspect(bind)
    try:
        columns = {column["name"]: column for column in inspector.get_columns(name, schema=schema or None)}
        for column in columns.values():
            column["type"] = _without_domain(column["type"])
    except sa.exc.NoSuchTableError as error:
        raise SchemaError(
            f"ORDERS_TABLE is {settings.table!r}, but the database has no such table: "
            "correct the setting, or create the default table with `orders init-db`"
        ) from error
    found_deadline, found_id, found_status = (_column(columns, settings, setting) for setting in SUITABLE)
    has_zone = bool(getattr(found_deadline["type"], "timezone", False))
    id_: sa.ColumnClause[Any] = sa.column(found_id["name"], found_id["type"])
    status: sa.ColumnClause[Any] = sa.column(found_status["name"], found_status["type"])
    deadline: sa.ColumnClause[datetime] = sa.column(found_deadline["name"], UtcDateTime(timezone=has_zone))
    used = {id_.name, status.name, deadline.name}
    others = (sa.column(column, found["type"]) for column, found in columns.items() if column not in used)
    return OrdersTable(
        table=sa.table(name, id_, status, deadline, *others, schema=schema or None),
        id=id_,
        status=status,
        deadline=deadline,
        has_zone=has_zone,
        id_range=_range(found_id["type"], bind.dialect.name),
        pending=_state(found_status, "pending", settings.pending),
        paid=_state(found_status, "paid", settings.paid),
        expired=_state(found_status, "expired", settings.expired),
        cancelled=lambda: _state(found_status, "cancelled", *settings.cancelled[:1]),
    )


def default(settings: Settings, id_type: IdType, dialect: str) -> sa.Table:
    """Return the default table, with an index on pending rows by deadline: a partial one if the database has those.

    Args:
        settings: the names of the table and of its columns.
        id_type: the type of the id column.
        dialect: SQLAlchemy's name of the kind of database.
    """
    schema, _, name = settings.table.rpartition(".")
    kinds: dict[IdType, types.TypeEngine[Any]] = {
        "text": sa.String(ids.MAX_LENGTH),
        "integer": sa.Integer() if dialect == "sqlite" else sa.BigInteger(),
        "uuid": sa.Uuid(),
    }
    table = sa.Table(
        name,
        sa.MetaData(),
        sa.Column(settings.id_column, kinds[id_type], primary_key=True),
        sa.Column(settings.status_column, sa.String(32), nullable=False),
        # Without fsp, MySQL's DATETIME keeps whole seconds only.
        sa.Column(
            settings.deadline_column,
            sa.DateTime(timezone=True).with_variant(mysql.DATETIME(fsp=6), "mysql", "mariadb"),
            nullable=False,
        ),
        schema=schema or None,
    )
    _index(table, settings.pending, dialect)
    return table


def exists(connection: sa.Connection, table: sa.Table) -> bool:
    """Return whether the database has a table."""
    return sa.inspect(connection).has_table(table.name, schema=table.schema)


def create(connection: sa.Connection, missing: sa.Table) -> bool:
    """Create a table with its indexes; return whether it was missing."""
    if exists(connection, missing):
        return False
    missing.create(connection)
    return True


def _index(table: sa.Table, pending: object, dialect: str) -> sa.Index:
    """Return the index on the pending rows by deadline, of a table with the columns id, status and deadline."""
    key, status, deadline = table.columns
    if dialect in {"postgresql", "sqlite"}:
        where = status == sa.literal(pending, status.type)
        return sa.Index(f"{table.name}_overdue", deadline, key, postgresql_where=where, sqlite_where=where)
    return sa.Index(f"{table.name}_overdue", status, deadline, key)


def _without_domain(kind: types.TypeEngine[Any]) -> types.TypeEngine[Any]:
    """Return the type behind a domain of PostgreSQL. It compares as its type does, except a domain of an enum."""
    base = kind
    while isinstance(base, postgresql.DOMAIN):
        base = base.data_type
    return kind if isinstance(base, types.Enum) else base


_INTEGER = re.compile(r"-?[0-9]{1,20}")


def _integer(kind: types.Integer, range_: range, text: str) -> int:
    if not _INTEGER.fullmatch(text) or (number := int(text)) not in range_:
        raise InvalidOrderId(
            f"the order id {text!r} is not a number from {range_.start} to {range_.stop - 1}; the id column is {kind!r}"
        )
    return number


def _uuid(text: str, kind: types.TypeEngine[Any]) -> UUID:
    try:
        return UUID(text)
    except ValueError as error:
        raise InvalidOrderId(f"the order id {text!r} is not a UUID; the id column is {kind!r}") from error


def _is_hex_uuid(kind: types.TypeEngine[Any]) -> bool:
    """Return whether a column may hold UUIDs as SQLAlchemy and Django store them in a database without a UUID type."""
    return isinstance(kind, types.CHAR) and kind.length == len(UUID(int=0).hex)


def _range(kind: types.TypeEngine[Any], dialect: str) -> range:
    bits = {"TINYINT": 8, "SMALLINT": 16, "MEDIUMINT": 24, "BIGINT": 64}.get(kind.__visit_name__.upper(), 32)
    if dialect == "sqlite":  # whatever the type is called
        bits = 64
    if getattr(kind, "unsigned", False):
        return range(2**bits)
    return range(-(2 ** (bits - 1)), 2 ** (bits - 1))


def _column(columns: dict[str, ReflectedColumn], settings: Settings, setting: str) -> ReflectedColumn:
    name = getattr(settings, setting)
    if name not in columns:
        raise SchemaError(
            f"ORDERS_{setting.upper()} is {name!r}, but the table {settings.table!r} has no such column: "
            f"it has {', '.join(sorted(columns))}"
        )
    kinds, accepted = SUITABLE[setting]
    kind = columns[name]["type"]
    if not isinstance(kind, kinds):
        called = repr(kind) if isinstance(kind, postgresql.DOMAIN | types.NullType) else kind
        raise SchemaError(f"ORDERS_{setting.upper()} is {name!r}, of type {called}: it must be {accepted}")
    return columns[name]


def _state(column: ReflectedColumn, setting: str, word: str = "") -> object:
    """Return the shop's value for a state as the status column holds it: a number in an integer column."""
    kind = column["type"]
    problem = "" if word else "at least one word"
    if isinstance(kind, types.Integer | types.Numeric):
        if re.fullmatch(r"-?\d{1,18}", word):
            return int(word)
        problem = "a whole number"
    elif isinstance(kind, types.Enum) and word not in kind.enums:
        problem = f"one of {', '.join(kind.enums)}"
    elif isinstance(kind, types.String) and kind.length is not None and len(word) > kind.length:
        problem = f"at most {kind.length} characters"
    if problem:
        raise SchemaError(
            f"ORDERS_{setting.upper()} is {word!r}: the column {column['name']!r} of type {kind} accepts {problem}"
        )
    return word
