"""The shop's app and pages. Run it with ``python -m examples.shops.flask``."""

from __future__ import annotations

import os
from typing import Any
from uuid import uuid4

import sqlalchemy as sa
from flask import Blueprint, Flask, abort, redirect, render_template, request, session
from flask.typing import ResponseReturnValue

from examples.shops.catalogue import PRODUCTS
from examples.shops.flask import operators, shop
from examples.shops.flask.models import Order, Product, db, expiry
from examples.shops.page import MOST, STATIC, TABS, TEMPLATES, dress, number
from orders.store.sql_store import SqlStore

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
    app.register_error_handler(404, lambda _: (render_template("404.html"), 404))
    app.register_blueprint(operators.pages)
    operators.mount(app)
    dress(app.jinja_env, framework="Flask", hold=lambda: expiry.current().settings.timeout)
    app.cli.command("open")(open_shop)
    return app


@pages.get("/")
def shelf() -> str:
    """Show the products."""
    listed = sa.select(Product).where(Product.is_listed | ("hidden" in request.args)).order_by(Product.id)
    products = db.session.scalars(listed).all()
    return render_template("shelf.html", here="shelf", products=products, refused=refused())


@pages.post("/orders")
def check_out() -> ResponseReturnValue:
    """Place an order and schedule its expiry."""
    product_id, units = number(request.form.get("product")), number(request.form.get("units"))
    order = shop.place(customer(), product_id, units) if 1 <= units <= MOST else None
    return redirect(f"/orders/{order.id}" if order else f"/?product={product_id}&units={units}", 303)


@pages.get("/orders")
def my_orders() -> str:
    """Show this customer's orders, or those with one status."""
    status, own = request.args.get("status", "all"), Order.customer == customer()
    if status not in TABS:
        abort(404)
    chosen = sa.select(Order).where(own, (Order.status == status) | (status == "all"))
    found = db.session.scalars(chosen.order_by(Order.id.desc())).all()
    in_each = sa.select(Order.status, sa.func.count()).where(own).group_by(Order.status)
    counts = dict(db.session.execute(in_each).tuples().all())
    return render_template("orders.html", here="orders", status=status, orders=found, counts=counts)


@pages.get("/orders/<int:order_id>")
def order_page(order_id: int) -> str:
    """Show an order: its deadline, or its result."""
    order = own_order(order_id)
    return render_template("order.html", here="orders", order=order, refunds=order.refunds)


@pages.post("/orders/<int:order_id>/pay")
def pay(order_id: int) -> ResponseReturnValue:
    """Take a payment. In a real shop, the payment gateway calls this after the payment."""
    shop.pay(own_order(order_id), reference=f"charge-{uuid4().hex}")
    return redirect(f"/orders/{order_id}", 303)


@pages.post("/orders/<int:order_id>/cancel")
def cancel(order_id: int) -> ResponseReturnValue:
    """Cancel an unpaid order."""
    shop.cancel(own_order(order_id))
    return redirect(f"/orders/{order_id}", 303)


def customer() -> str:
    """Return the customer of this session."""
    name: str = session.setdefault("customer", uuid4().hex)
    return name


def refused() -> dict[str, Any] | None:
    """Return what the order was for that was just refused; None if none was."""
    if "units" not in request.args:
        return None
    product = db.session.get(Product, number(request.args.get("product")))
    return {"product": product, "units": number(request.args["units"])}


def own_order(order_id: int) -> Order:
    """Return an order if it belongs to this customer."""
    if order_id not in range(2**63):  # no database could hold it
        abort(404)
    own: sa.Select[tuple[Order]] = sa.select(Order).where(Order.id == order_id, Order.customer == customer())
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
