"""The shop's app and pages. Run it with ``python -m examples.shops.flask``."""

from __future__ import annotations

import os
from uuid import uuid4

import sqlalchemy as sa
from flask import Blueprint, Flask, abort, redirect, render_template, request, session
from flask.typing import ResponseReturnValue

from examples.shops.catalogue import PRODUCTS
from examples.shops.flask import operators, shop
from examples.shops.flask.models import Order, Product, db, expiry
from examples.shops.page import STATIC, TEMPLATES, dress
from orders.store.sql_store import SqlStore

STATES = ("pending", "paid", "expired", "cancelled")

pages = Blueprint("shop", __name__)


def create_app() -> Flask:
    """Return the app."""
    app = Flask(__name__, template_folder=str(TEMPLATES), static_folder=str(STATIC), static_url_path="/static")
    app.config["SECRET_KEY"] = os.environ["SECRET_KEY"]
    app.config["SESSION_COOKIE_SAMESITE"] = "Lax"  # browsers do not send the cookie with forms of other sites
    app.config["SQLALCHEMY_DATABASE_URI"] = os.environ["ORDERS_DATABASE_URL"]
    db.init_app(app)
    expiry.init_app(app)
    app.register_blueprint(pages)
    app.register_blueprint(operators.pages)
    dress(app.jinja_env, framework="Flask", hold=lambda: expiry.current().settings.timeout)
    app.cli.command("open")(open_shop)
    return app


@pages.get("/")
def shelf() -> str:
    """Show the products."""
    listed = sa.select(Product).where(Product.is_listed | ("hidden" in request.args)).order_by(Product.id)
    products = db.session.scalars(listed).all()
    return render_template("shelf.html", here="shelf", products=products, missed="missed" in request.args)


@pages.post("/orders")
def check_out() -> ResponseReturnValue:
    """Place an order and schedule its expiry."""
    units = request.form.get("units", 0, type=int)
    if not 1 <= units <= 99:
        abort(400)
    order = shop.place(customer(), request.form.get("product", 0, type=int), units)
    return redirect(f"/orders/{order.id}" if order else "/?missed=yes", 303)


@pages.get("/orders")
def my_orders() -> str:
    """Show this customer's orders with one status."""
    status, own = request.args.get("status", "pending"), Order.customer == customer()
    if status not in STATES:
        abort(404)
    found = db.session.scalars(sa.select(Order).where(own, Order.status == status).order_by(Order.id.desc())).all()
    in_each = sa.select(Order.status, sa.func.count()).where(own).group_by(Order.status)
    counts = dict(db.session.execute(in_each).tuples().all())
    return render_template("orders.html", here="orders", status=status, orders=found, counts=counts)


@pages.get("/orders/<int:number>")
def order_page(number: int) -> str:
    """Show an order: its deadline, or its result."""
    order = own_order(number)
    return render_template("order.html", here="orders", order=order, refunds=order.refunds)


@pages.post("/orders/<int:number>/pay")
def pay(number: int) -> ResponseReturnValue:
    """Take a payment. In a real shop, the payment gateway calls this after the payment."""
    shop.pay(own_order(number), reference=f"charge-{uuid4().hex}")
    return redirect(f"/orders/{number}", 303)


@pages.post("/orders/<int:number>/cancel")
def cancel(number: int) -> ResponseReturnValue:
    """Cancel an unpaid order."""
    shop.cancel(own_order(number))
    return redirect(f"/orders/{number}", 303)


def customer() -> str:
    """Return the customer of this session."""
    name: str = session.setdefault("customer", uuid4().hex)
    return name


def own_order(number: int) -> Order:
    """Return an order if it belongs to this customer."""
    own: sa.Select[tuple[Order]] = sa.select(Order).where(Order.id == number, Order.customer == customer())
    order: Order = db.one_or_404(own)
    return order


def open_shop() -> None:
    """Create the tables, and the products if there are none."""
    db.create_all()
    store = expiry.current().store
    if isinstance(store, SqlStore):
        store.create_outbox()  # the table of events; `flask orders init-db` does the same
    if not db.session.scalar(sa.select(sa.func.count(Product.id))):
        db.session.add_all(Product(**product) for product in PRODUCTS)
    db.session.commit()
