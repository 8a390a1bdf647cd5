"""A real worker and beat for a shop in Flask: ``ORDERS_APP=shop:create_app celery -A tasks worker``."""

from __future__ import annotations

import json
import os
import subprocess
import sys
from pathlib import Path

import pytest
import sqlalchemy as sa
from redis import Redis

from orders.config.settings import Settings
from orders.embedded import EmbeddedRedis
from tests.acceptance.conftest import running, wait_until
from tests.servers import with_driver

SHOP = """
import os
from datetime import datetime

import orders
import sqlalchemy as sa
from flask import Flask, current_app
from flask_sqlalchemy import SQLAlchemy
from orders.contrib.flask import Orders
from sqlalchemy.orm import Mapped, mapped_column

db = SQLAlchemy()
expiry = Orders()


class Order(db.Model):
    __tablename__ = "purchases"
    id: Mapped[int] = mapped_column(primary_key=True)
    state: Mapped[str] = mapped_column(sa.String(20), default="pending")
    pay_by: Mapped[datetime] = mapped_column(sa.DateTime(timezone=True))


class Seen(db.Model):
    id: Mapped[int] = mapped_column(primary_key=True)
    hook: Mapped[str]
    about: Mapped[str]
    app: Mapped[str]
    process: Mapped[int]
    connection: Mapped[int]


def see(session, hook, about):
    connection = session.scalar(sa.text("SELECT pg_backend_pid()"))
    session.add(
        Seen(hook=hook, about=str(about), app=current_app.name, process=os.getpid(), connection=connection)
    )


@expiry.on_expire
def release(session, order_ids):
    for order_id in order_ids:
        assert db.session.get_one(Order, order_id).state == "expired"
        see(session, "expire", order_id)


@expiry.guard
def ask(order_id):
    return orders.Answer.PAID if order_id == "3" else orders.Answer.UNPAID


@expiry.on_event
def tell(event):
    see(db.session, "event", f"{event.order_id} {event.kind}")
    db.session.commit()


def create_app():
    app = Flask(__name__)
    app.config.from_mapping(
        SQLALCHEMY_DATABASE_URI=os.environ["SHOP_DATABASE"],
        ORDERS_REDIS_URL=os.environ["SHOP_REDIS"],
        ORDERS_KEY="checkout",
        ORDERS_STATUS_COLUMN="state",
        ORDERS_DEADLINE_COLUMN="pay_by",
        ORDERS_SWEEP_INTERVAL=1,
    )
    db.init_app(app)
    expiry.init_app(app, model=Order)
    with app.app_context():
        db.create_all()  # leaves a connection in the pool, over which forked processes must not talk
    return app
"""

PLACE = """
from datetime import UTC, datetime, timedelta
from shop import Order, create_app, db, expiry

app = create_app()
with app.app_context():
    expiry.current()
    app.extensions["orders"].store.create_outbox()
    for number in range(1, 21):
        deadline = datetime.now(UTC) + timedelta(seconds=1)
        order = Order(pay_by=deadline)
        db.session.add(order)
        db.session.flush()
        expiry.enqueue(order.id, expires_at=deadline)
    db.session.commit()
"""


@pytest.fixture
def environment(monkeypatch: pytest.MonkeyPatch, redis_server: EmbeddedRedis, postgres_url: str) -> None:
    monkeypatch.setenv("SHOP_DATABASE", with_driver(postgres_url))
    monkeypatch.setenv("SHOP_REDIS", redis_server.url)


def examined_by_flask(folder: Path) -> dict[str, str]:
    """Return the severity of each finding of ``flask orders doctor``."""
    doctor = [sys.executable, "-m", "flask", "--app", "shop:create_app", "orders", "doctor", "--json"]
    environment = {name: value for name, value in os.environ.items() if name != "ORDERS_APP"}
    ran = subprocess.run(doctor, cwd=folder, env=environment, capture_output=True, text=True, check=False, timeout=60)
    return {found["name"]: found["severity"] for found in json.loads(ran.stdout)["findings"]}


def test_workers_serve_the_app_that_orders_app_names(
    environment: None, redis: Redis, postgres_url: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    # given a shop that places orders
    (tmp_path / "shop.py").write_text(SHOP)
    placed = subprocess.run([sys.executable, "-c", PLACE], cwd=tmp_path, capture_output=True, text=True, check=False)
    assert placed.returncode == 0, placed.stderr
    assert redis.zcard("checkout") == 20
    engine = sa.create_engine(with_driver(postgres_url))

    def seen(hook: str) -> list[tuple[str, str, int]]:
        rows = sa.text("SELECT about, app, process FROM seen WHERE hook = :hook ORDER BY id")
        with engine.begin() as connection:
            return [(row.about, row.app, row.process) for row in connection.execute(rows, {"hook": hook})]

    # when its worker and its beat run
    monkeypatch.setenv("ORDERS_APP", "shop:create_app")
    nothing = Settings()
    with (
        running("worker", ["celery", "-A", "tasks", "worker", "-c", "2", "-l", "INFO"], nothing, tmp_path),
        running("beat", ["celery", "-A", "tasks", "beat", "-l", "INFO"], nothing, tmp_path),
    ):
        wait_until(lambda: len(seen("event")) >= 20, within=60, why="the events were not delivered")
    # then each order ended once, with the hooks in the app's context, in the pool's processes
    expired = seen("expire")
    assert sorted(int(about) for about, *_ in expired) == [number for number in range(1, 21) if number != 3]
    assert {app for _, app, _ in expired + seen("event")} == {"shop"}
    assert sorted(about for about, *_ in seen("event")) == sorted(
        f"{number} {'paid' if number == 3 else 'expired'}" for number in range(1, 21)
    )
    with engine.begin() as connection:
        states = connection.execute(sa.text("SELECT state, count(*) FROM purchases GROUP BY state"))
        assert dict(states.all()) == {"expired": 19, "paid": 1}
        # and no two processes talked over one connection
        used = connection.execute(sa.text("SELECT DISTINCT process, connection FROM seen")).all()
        assert len({row.connection for row in used}) == len(used)
    engine.dispose()
    assert redis.zcard("checkout") == 0
    log = (tmp_path / "worker.log").read_text()
    assert "Traceback" not in log


def test_the_doctor_of_an_app_asks_the_workers_of_that_app(
    environment: None, redis: Redis, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    # given a worker of the app
    (tmp_path / "shop.py").write_text(SHOP)
    monkeypatch.setenv("ORDERS_APP", "shop:create_app")
    log = tmp_path / "worker.log"
    with running("worker", ["celery", "-A", "tasks", "worker", "-c", "2", "-l", "INFO"], Settings(), tmp_path):
        wait_until(lambda: log.exists() and " ready." in log.read_text(), within=40, why="the worker does not start")
        found = examined_by_flask(tmp_path)
    # then it is compared with the app, not with what the decorators and settings of `orders` are in its process
    assert {name: severity for name, severity in found.items() if name.startswith("celery")} == {
        "celery.queues": "ok",
        "celery.workers": "ok",
        "celery.beat": "ok",
        "celery.agreement": "ok",
    }


@pytest.mark.parametrize(
    ("named", "told"),
    [
        ("nowhere", "ORDERS_APP is 'nowhere': it must be a name for `flask --app`"),
        ("shop:db", "ORDERS_APP is 'shop:db': it must be a name for `flask --app`"),
        ("plain", "ORDERS_APP is 'plain', but that app has no Orders extension: call init_app(app)"),
    ],
)
def test_a_worker_without_its_app_does_not_start(
    environment: None, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, named: str, told: str
) -> None:
    (tmp_path / "shop.py").write_text(SHOP)
    (tmp_path / "plain.py").write_text("from flask import Flask\napp = Flask(__name__)\n")
    monkeypatch.setenv("ORDERS_APP", named)
    ran = subprocess.run(
        [sys.executable, "-m", "celery", "-A", "tasks", "worker", "-c", "1"],
        cwd=tmp_path,
        capture_output=True,
        text=True,
        check=False,
        timeout=60,
    )
    assert ran.returncode != 0
    assert told in ran.stdout + ran.stderr


def test_the_command_line_serves_the_app_too(
    environment: None, redis: Redis, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    (tmp_path / "shop.py").write_text(SHOP)
    monkeypatch.setenv("ORDERS_APP", "shop:create_app")
    command = [sys.executable, "-m", "orders.cli", "enqueue", "42", "--timeout", "60"]
    ran = subprocess.run(command, cwd=tmp_path, capture_output=True, text=True, check=False, timeout=60)
    assert ran.returncode == 0, ran.stderr
    assert redis.zscore("checkout", "42") is not None
