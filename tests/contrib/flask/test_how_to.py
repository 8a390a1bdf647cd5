"""The code of the page about Flask, in the shop of the tutorial."""

from __future__ import annotations

import json
import sys
from pathlib import Path

import pytest
from redis import Redis

from orders.embedded import EmbeddedRedis
from tests.blocks import Reader, blocks

DOCS = Path(__file__).parents[3] / "docs"

SHOP = """
{imports}
db = SQLAlchemy()
{extension}


{models}

class Receipt(db.Model):
    charge_id: Mapped[str] = mapped_column(primary_key=True)
    order_id: Mapped[int]


def create_app(**config):
    app = Flask(__name__)
    app.config["SQLALCHEMY_DATABASE_URI"] = "sqlite:///shop.db"
    app.config.update(config)
    db.init_app(app)
    {init_app}
    return app


def give_back(session, order_ids):
    for order_id in order_ids:
        order = session.get(Order, order_id)
        session.execute(update(Product).where(Product.sku == order.sku).values(stock=Product.stock + 1))


{on_expire}
"""

GATEWAY = """
from collections import namedtuple

Charge = namedtuple("Charge", "order_id charge_id")
refunds = {}


def verified(request):
    return Charge(int(request.form["order"]), request.form["charge"])


def refund(charge_id, *, idempotency_key):
    refunds.setdefault(idempotency_key, charge_id)
"""

TESTS = """
from datetime import UTC, datetime, timedelta

import orders
from gateway import refunds
from payments import payments
from shop import Order, Product, Receipt, db, expiry
from test_shop import app


def place(minutes):
    deadline = datetime.now(UTC) + timedelta(minutes=minutes)
    order = Order(sku="vase", expires_at=deadline)
    db.session.add(order)
    db.session.flush()
    {enqueue}
    db.session.commit()
    return order


def test_five_lines(app):
    db.session.add(Product(sku="vase", stock=9))
    order, charge_id = place(-5), "ch_1"
    assert expiry.remove(order.id)  # it was scheduled
    assert expiry.check(order.id) is orders.State.EXPIRED
    assert db.session.get(Product, "vase").stock == 10
    {pay}
    db.session.commit()
    assert payment.refund_key


def test_each_callback_has_its_answer(app):
    app.register_blueprint(payments)
    app.extensions["orders"].store.create_outbox()

    def call(order_id, charge):
        answer = app.test_client().post("/payments/callback", data={"order": order_id, "charge": charge})
        return answer.status_code, answer.text

    paid, late = place(5).id, place(5).id
    assert call(paid, "ch_1") == (200, "accepted")
    assert call(paid, "ch_1") == (200, "duplicate")
    assert refunds == {}
    db.session.get(Order, late).status = "expired"
    db.session.commit()
    assert call(late, "ch_2") == (200, "too_late")
    assert call(late, "ch_2") == (200, "too_late")
    assert list(refunds.values()) == ["ch_2"]
    assert call(99, "ch_3") == (503, "not_found")
    assert db.session.scalars(db.select(Receipt.charge_id)).all() == ["ch_1"]
"""

LOOK = """
import json, worker
print(json.dumps([worker.app.main, "orders.expire" in worker.app.tasks, sorted(worker.app.amqp.queues)]))
"""


@pytest.fixture
def reader(tmp_path: Path, redis_server: EmbeddedRedis, redis: Redis) -> Reader:
    return Reader.of(tmp_path, ORDERS_REDIS_URL=redis_server.url)


def test_the_code_of_the_page_works(reader: Reader) -> None:
    # given the shop of the tutorial with the lines of the page, each where the page says, and what it calls "yours"
    shop = next(block.text for block in blocks((DOCS / "tutorials" / "flask.md").read_text()) if block.file)
    page = [block.text for block in blocks((DOCS / "how-to" / "flask.md").read_text()) if block.language == "python"]
    five, callback, worker, tests = page
    extension, init_app, on_expire, enqueue, pay = five.splitlines()
    parts = {
        "imports": shop[: shop.index("app = Flask(")],
        "extension": extension,
        "models": shop[shop.index("class Product") : shop.index("expiry = Orders(")],
        "init_app": init_app,
        "on_expire": on_expire,
    }
    files = {
        "shop.py": SHOP.format(**parts),
        "gateway.py": GATEWAY,
        "payments.py": callback,
        "worker.py": worker,
        "test_shop.py": tests,
        "test_page.py": TESTS.replace("{enqueue}", enqueue).replace("{pay}", pay),
    }
    for name, text in files.items():
        (reader.folder / name).write_text(text)
    # when its tests run, those of the page and ours, then they pass
    assert "3 passed" in reader.run(f"{sys.executable} -m pytest -q -p no:cacheprovider --rootdir=. 2>&1")
    # and the shop's Celery app has our tasks and queues
    told = json.loads(reader.run(f"{sys.executable} -c '{LOOK}'"))
    assert told == ["shop", True, ["celery", "orders.events", "orders.expire", "orders.sweep"]]
