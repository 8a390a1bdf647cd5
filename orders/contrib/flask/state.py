"""What one app has of the extension, and how that meets Flask-SQLAlchemy."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING, Any, Self
from uuid import UUID

import sqlalchemy as sa
from flask import Flask
from sqlalchemy.orm import Session, scoped_session

from orders import process
from orders.contrib.flask import settings, transactions
from orders.errors import ConfigError
from orders.expiry import OrderExpiry
from orders.hooks import Hooks
from orders.schedule import connect_schedule
from orders.store import MYSQL, Joined, SqlStore

if TYPE_CHECKING:
    from flask_sqlalchemy import SQLAlchemy


@dataclass(frozen=True)
class Database:
    """Flask-SQLAlchemy, and its engine on the database that orders are in."""

    db: SQLAlchemy
    engine: sa.Engine
    model: type[Any] | None

    @classmethod
    def of(cls, app: Flask, db: SQLAlchemy | None, model: type[Any] | None) -> Self | None:
        """Return the database of an app; None if it does not use Flask-SQLAlchemy for orders.

        Raises:
            ConfigError: Flask-SQLAlchemy does not know the app, or not the database of the model.
        """
        known: SQLAlchemy | None = app.extensions.get("sqlalchemy")
        if db is None and model is None:
            return None
        if known is None or (db is not None and db is not known):
            raise ConfigError(f"the app {app.name!r} is not known to Flask-SQLAlchemy: call db.init_app(app) before")
        key = settings.bind_key(model)
        with app.app_context():
            engines = known.engines
        if key not in engines:
            raise ConfigError(
                "SQLALCHEMY_DATABASE_URI is not set: orders are in the default database"
                if key is None
                else f"SQLALCHEMY_BINDS has no {key!r}, which is the __bind_key__ of the model of orders"
            )
        return cls(known, engines[key], model)

    @property
    def for_workers(self) -> sa.Engine | None:
        """The engine for transactions of our own; None for one of their own.

        Of MySQL these need another isolation level and time zone than the shop's pages may want.
        """
        return None if self.engine.dialect.name in MYSQL else self.engine

    def to_python(self, key: Any) -> Any:
        """Return an id as the model has it: SQLite and MySQL have no type for UUIDs, so there the column holds text."""
        is_uuid = self.model is not None and settings.has_uuids(self.model)
        return UUID(key) if is_uuid and isinstance(key, str) else key

    def writing(self) -> Joined:
        """Return what `OrderExpiry.enqueue` waits for."""
        return transactions.writing(self.db, self.engine)

    def joined(self) -> Joined:
        """Return what a payment joins."""
        return transactions.joined(self.db, self.engine)


@dataclass(frozen=True)
class AppState:
    """What stands in ``app.extensions["orders"]``."""

    extension: Any
    """The `Orders` that the app was given to."""
    expiry: OrderExpiry
    store: SqlStore
    database: Database | None

    @classmethod
    def of(cls, extension: Any, app: Flask, db: SQLAlchemy | None, model: type[Any] | None) -> Self:
        """Return what an app has, from its configuration.

        Raises:
            ConfigError: something is wrong with that.
        """
        database = Database.of(app, db, model)
        read = settings.read(app.config, engine=database.engine if database else None, model=model)
        hooks = Hooks()
        db, engine = (database.db, database.for_workers) if database else (None, None)
        own = transactions.FlaskTransactions(app, read.database_url, db, engine)
        to_python = database.to_python if database else lambda key: key
        store = SqlStore(read, hooks=hooks, transactions=own, to_python=to_python)
        if database:
            transactions.watch(database.engine)
        expiry = OrderExpiry(read, connect_schedule(read), store, hooks=hooks)
        return cls(extension, expiry, store, database)

    def provide(self) -> None:
        """Have this process, a Celery worker or beat, serve the app."""
        if self.database:
            transactions.forget_in_children(self.database.engine)
        process.provide(lambda: self.expiry)

    def refresh(self, joined: Joined | None = None) -> None:
        """Have ``db.session`` load orders again: one was changed beneath it, unless it was itself what was joined."""
        if self.database and self.database.model is not None and not isinstance(joined, Session | scoped_session):
            transactions.refresh(self.database.db, self.database.model)
