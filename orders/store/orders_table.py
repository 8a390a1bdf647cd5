"""The shop's own orders table: read its columns from the database, check them, and convert order ids.

`find` describes the table for `orders.store.statements`; `default` is the table that ``orders init-db`` creates.
"""

from __future__ import annotations

import re
from dataclasses import dataclass
from datetime import UTC, datetime
from functools import cached_property
from typing import TYPE_CHECKING, Any, Literal
from uuid import UUID

import sqlalchemy as sa
from sqlalchemy import types
from sqlalchemy.dialects import mysql

from orders import ids
from orders.errors import InvalidOrderId, SchemaError

if TYPE_CHECKING:
    from sqlalchemy.engine.interfaces import ReflectedColumn

    from orders.config import Settings

IdType = Literal["text", "integer", "uuid"]


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

    def key(self, order_id: str) -> Any:
        """Return an order id as the id column holds it.

        Raises:
            InvalidOrderId: the column cannot hold it.
        """
        kind = self.id.type
        if isinstance(kind, types.Integer):
            return _integer(order_id, kind, range_=self.id_range)
        text = ids.parse(order_id)
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

    def order_id(self, key: Any) -> str:
        """Return the order id of a row, as it is in the schedule."""
        key = self.normal(key)
        if _is_hex_uuid(self.id.type) and re.fullmatch(r"[0-9a-f]{32}", key):
            return str(UUID(key))
        return str(key)

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
    except sa.exc.NoSuchTableError as error:
        raise SchemaError(
            f"ORDERS_TABLE is {settings.table!r}, but the database has no such table: "
            "correct the setting, or create the default table with `orders init-db`"
        ) from error
    found_id = _column(columns, settings, "id_column")
    found_status = _column(columns, settings, "status_column")
    found_deadline = _column(columns, settings, "deadline_column")
    if not isinstance(found_deadline["type"], types.DateTime):
        raise SchemaError(
            f"ORDERS_DEADLINE_COLUMN is {settings.deadline_column!r}, of type {found_deadline['type']}: "
            "it must be a date and time column"
        )
    if not isinstance(found_id["type"], types.Integer | types.String | types.Uuid):
        raise SchemaError(
            f"ORDERS_ID_COLUMN is {settings.id_column!r}, of type {found_id['type']}: "
            "it must be a text, integer or UUID column"
        )
    has_zone = bool(getattr(found_deadline["type"], "timezone", False))
    id_: sa.ColumnClause[Any] = sa.column(found_id["name"], found_id["type"])
    status: sa.ColumnClause[Any] = sa.column(found_status["name"], found_status["type"])
    deadline: sa.ColumnClause[datetime] = sa.column(found_deadline["name"], UtcDateTime(timezone=has_zone))
    return OrdersTable(
        table=sa.table(name, id_, status, deadline, schema=schema or None),
        id=id_,
        status=status,
        deadline=deadline,
        has_zone=has_zone,
        id_range=_range(found_id["type"], bind.dialect.name),
        pending=_state(found_status, settings, "pending"),
        paid=_state(found_status, settings, "paid"),
        expired=_state(found_status, settings, "expired"),
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
    key, status, deadline = table.columns
    if dialect in {"postgresql", "sqlite"}:
        pending = status == sa.literal(settings.pending)
        sa.Index(f"{name}_overdue", deadline, key, postgresql_where=pending, sqlite_where=pending)
    else:
        sa.Index(f"{name}_overdue", status, deadline, key)
    return table


_INTEGER = re.compile(r"-?[0-9]{1,20}")


def _integer(text: str, kind: types.Integer, *, range_: range) -> int:
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
    try:
        return columns[name]
    except KeyError:
        raise SchemaError(
            f"ORDERS_{setting.upper()} is {name!r}, but the table {settings.table!r} has no such column: "
            f"it has {', '.join(sorted(columns))}"
        ) from None


def _state(column: ReflectedColumn, settings: Settings, setting: str) -> object:
    """Return the shop's value for a state as the status column holds it: a number in an integer column."""
    word: str = getattr(settings, setting)
    kind = column["type"]
    problem = ""
    if isinstance(kind, types.Integer):
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
