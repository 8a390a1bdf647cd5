"""What `orders.contrib.flask` uses of Flask and of Flask-SQLAlchemy."""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any

import pytest
import sqlalchemy as sa
from flask import Flask, current_app
from flask.helpers import get_load_dotenv
from flask_sqlalchemy import SQLAlchemy
from sqlalchemy.orm import Session

from tests.canaries.canary import canary

CONTEXTS = "orders/contrib/flask/contexts.py"


@pytest.fixture
def shop() -> Iterator[tuple[Flask, SQLAlchemy]]:
    app, db = Flask("canary"), SQLAlchemy()
    app.config |= {"SQLALCHEMY_DATABASE_URI": "sqlite://", "SQLALCHEMY_BINDS": {"nest": "sqlite://"}}
    db.init_app(app)
    yield app, db
    with app.app_context():
        for engine in db.engines.values():
            engine.dispose()


@canary("flask", "current_app._get_current_object", CONTEXTS)
def test_get_current_object() -> None:
    app = Flask("canary")
    assert not current_app
    with app.app_context():
        assert current_app._get_current_object() is app  # type: ignore[attr-defined]


@canary("flask", "helpers.get_load_dotenv", "orders/contrib/flask/startup.py")
def test_get_load_dotenv(monkeypatch: pytest.MonkeyPatch) -> None:
    assert get_load_dotenv() is True
    monkeypatch.setenv("FLASK_SKIP_DOTENV", "1")
    assert get_load_dotenv() is False


@canary("flask-sqlalchemy", "app.extensions['sqlalchemy'], SQLAlchemy.engines", "orders/contrib/flask/state.py")
def test_engines(shop: tuple[Flask, SQLAlchemy]) -> None:
    app, db = shop
    assert app.extensions["sqlalchemy"] is db
    with app.app_context():
        assert db.engines.keys() == {None, "nest"}


@canary("flask-sqlalchemy", "metadata.info['bind_key']", "orders/contrib/flask/settings.py")
def test_bind_key(shop: tuple[Flask, SQLAlchemy]) -> None:
    _, db = shop

    class Egg(db.Model):  # type: ignore[name-defined, misc]
        __bind_key__ = "nest"
        id = sa.Column(sa.Integer, primary_key=True)

    class Bird(db.Model):  # type: ignore[name-defined, misc]
        id = sa.Column(sa.Integer, primary_key=True)

    assert sa.inspect(Egg).local_table.metadata.info.get("bind_key") == "nest"
    assert sa.inspect(Bird).local_table.metadata.info.get("bind_key") is None


@canary("flask-sqlalchemy", "SQLAlchemy.session.registry: one session per app context", CONTEXTS)
def test_registry(shop: tuple[Flask, SQLAlchemy]) -> None:
    app, db = shop
    registry: Any = db.session.registry
    with app.app_context():
        outer = db.session()
        with app.app_context():
            # a context of its own, in which another session may be put
            assert not registry.has()
            with Session() as ours:
                registry.set(ours)
                assert db.session() is ours
                registry.clear()
            assert not registry.has()
        assert registry.has()
        assert registry() is outer
