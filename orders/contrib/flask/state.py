"""The extension's state in one app, and its use of Flask-SQLAlchemy."""

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
from orders.store import MYSQL, READ_COMMITTED, Joined, SqlStore

if TYPE_CHECKING:
    from flask_sqlalchemy import SQLAlchemy


@dataclass(frozen=True)
class Database:
    """Flask-SQLAlchemy, and its engine for the database of the orders."""

    db: SQLAlchemy
    engine: sa.Engine
    model: type[Any] | None

    @classmethod
    def of(cls, app: Flask, db: SQLAlchemy | None, model: type[Any] | None) -> Self | None:
        """Return the database of an app; None if it does not use Flask-SQLAlchemy for orders.

        Raises:
            ConfigError: Flask-SQLAlchemy does not know the app or the database of the model.
        """
        known: SQLAlchemy | None = app.extensions.get("sqlalchemy")
        if db is None and model is None:
            return None
        if known is None or (db is not None and db is not known):
            raise ConfigError(f"Flask-SQLAlchemy does not know the app {app.name!r}: call db.init_app(app) first")
        key = settings.bind_key(model)
        with app.app_context():
            engines = known.engines
        if key not in engines:
            raise ConfigError(
                "SQLALCHEMY_DATABASE_URI is not set, but the orders are in the default database"
                if key is None
                else f"SQLALCHEMY_BINDS has no {key!r}, which is the __bind_key__ of the model of the orders"
            )
        return cls(known, engines[key], model)

    @property
    def for_workers(self) -> sa.Engine | None:
        """The engine for our own transactions; None if they need a separate engine.

        They need a certain isolation level, which the shop's pages may not want. On PostgreSQL each transaction can
        have its own. MySQL's sessions have it, and a time zone.
        """
        if self.engine.dialect.name in MYSQL:
            return None
        is_postgresql = self.engine.dialect.name == "postgresql"
        return self.engine.execution_options(isolation_level=READ_COMMITTED) if is_postgresql else self.engine

    def to_python(self, key: Any) -> Any:
        """Convert an id to the model's type. On SQLite and MySQL the column holds UUIDs as text."""
        is_uuid = self.model is not None and settings.has_uuids(self.model)
        return UUID(key) if is_uuid and isinstance(key, str) else key

    def writing(self) -> Joined:
        """Return the session or connection whose commit `OrderExpiry.enqueue` waits for."""
        return transactions.writing(self.db, self.engine)

    def joined(self) -> Joined:
        """Return the session or connection that a payment joins."""
        return transactions.joined(self.db, self.engine)


@dataclass(frozen=True)
class AppState:
    """The value of ``app.extensions["orders"]``."""

    extension: Any
    """The `Orders` whose `init_app` was called with the app."""
    expiry: OrderExpiry
    store: SqlStore
    database: Database | None

    @classmethod
    def of(cls, extension: Any, app: Flask, db: SQLAlchemy | None, model: type[Any] | None) -> Self:
        """Create the state of an app from its configuration.

        Raises:
            ConfigError: the configuration is invalid.
        """
        process.warn_of_misspelt_settings()
        database = Database.of(app, db, model)
        config = settings.read(app.config, engine=database.engine if database else None, model=model)
        hooks = Hooks()
        db, engine = (database.db, database.for_workers) if database else (None, None)
        own = transactions.FlaskTransactions(app, config.database_url, db, engine)
        to_python = database.to_python if database else lambda key: key
        store = SqlStore(config, hooks=hooks, transactions=own, to_python=to_python)
        if database:
            transactions.watch(database.engine)
        expiry = OrderExpiry(config, connect_schedule(config), store, hooks=hooks)
        return cls(extension, expiry, store, database)

    def provide(self) -> None:
        """Make this process, a Celery worker or beat, serve the app."""
        if self.database:
            transactions.forget_in_children(self.database.engine)
        process.provide(lambda: self.expiry)

    def refresh(self, joined: Joined | None = None) -> None:
        """Make ``db.session`` reload orders after a row changed without it; not if the call joined a session."""
        if self.database and self.database.model is not None and not isinstance(joined, Session | scoped_session):
            transactions.refresh(self.database.db, self.database.model)
