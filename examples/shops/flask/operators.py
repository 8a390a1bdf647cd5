"""The staff's login and the places on the shelf, and behind the same login the operators' page of order-expiry."""

from __future__ import annotations

import secrets
from collections.abc import Callable
from functools import wraps
from typing import TYPE_CHECKING, ParamSpec

import sqlalchemy as sa
from flask import Blueprint, Flask, redirect, render_template, request, session
from flask.typing import ResponseReturnValue
from werkzeug.middleware.dispatcher import DispatcherMiddleware

from examples.shops.flask.models import Product, db, expiry
from orders.operate import web

if TYPE_CHECKING:
    from _typeshed.wsgi import WSGIEnvironment

P = ParamSpec("P")

pages = Blueprint("operators", __name__, url_prefix="/operator")

NAME, PASSWORD = "operator", "operator"

EXPIRY_URL = "/expiry"


def mount(app: Flask) -> None:
    """Put the operators' page of order-expiry below `EXPIRY_URL`, for those who are logged in here."""

    def operator(environ: WSGIEnvironment) -> str | None:
        session = app.session_interface.open_session(app, app.request_class(environ))
        return NAME if session and session.get("is_operator") else None

    page = web.wsgi(expiry=lambda: expiry.current(app), user=operator, login_url="/operator/login")
    app.wsgi_app = DispatcherMiddleware(app.wsgi_app, {EXPIRY_URL: page})  # type: ignore[method-assign]  # as Flask says


def only_operators(view: Callable[P, ResponseReturnValue]) -> Callable[P, ResponseReturnValue]:
    """Redirect everybody else to the login."""

    @wraps(view)
    def guarded(*args: P.args, **kwargs: P.kwargs) -> ResponseReturnValue:
        return view(*args, **kwargs) if session.get("is_operator") else redirect("/operator/login", 303)

    return guarded


@pages.get("/login")
def login_page() -> str:
    """Show the login form."""
    return render_template("login.html", here="operator", refused="refused" in request.args)


@pages.post("/login")
def login() -> ResponseReturnValue:
    """Log an operator in."""
    given = f"{request.form.get('username')}\n{request.form.get('password')}".encode()
    if not secrets.compare_digest(given, f"{NAME}\n{PASSWORD}".encode()):
        return redirect("/operator/login?refused=yes", 303)
    session["is_operator"] = True
    return redirect("/operator", 303)


@pages.post("/logout")
def logout() -> ResponseReturnValue:
    """Log the operator out."""
    session.pop("is_operator", None)
    return redirect("/", 303)


@pages.get("")
@only_operators
def overview() -> str:
    """Show the places on the shelf."""
    products = db.session.scalars(sa.select(Product).order_by(Product.id)).all()
    return render_template("operator.html", here="operator", products=products, expiry_url=EXPIRY_URL)


@pages.post("/places/<int:product_id>")
@only_operators
def mend(product_id: int) -> ResponseReturnValue:
    """Mend or break the place of a product on the shelf."""
    is_broken = request.form.get("is_broken") == "yes"
    db.session.execute(sa.update(Product).where(Product.id == product_id).values(is_broken=is_broken))
    db.session.commit()
    return redirect("/operator", 303)
