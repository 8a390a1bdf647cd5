"""The operators' page: the counts, one order explained, and dead letters to retry."""

from __future__ import annotations

import secrets
from collections.abc import Callable
from functools import wraps
from typing import ParamSpec

import sqlalchemy as sa
from flask import Blueprint, redirect, render_template, request, session
from flask.typing import ResponseReturnValue

from examples.shops.flask.models import Product, db, expiry
from orders.operate.operations import Operations, Where

P = ParamSpec("P")

pages = Blueprint("operators", __name__, url_prefix="/operator")

NAME, PASSWORD = "operator", "operator"


def only_operators(view: Callable[P, ResponseReturnValue]) -> Callable[P, ResponseReturnValue]:
    """Redirect everybody else to the login."""

    @wraps(view)
    def guarded(*args: P.args, **kwargs: P.kwargs) -> ResponseReturnValue:
        return view(*args, **kwargs) if session.get("is_operator") else redirect("/operator/login", 303)

    return guarded


def operations() -> Operations:
    """Return the operator's operations."""
    return Operations(expiry.current())


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
    """Show the number of orders in each state, the dead letters and, if requested, one order."""
    now, asked = operations().overview(), request.args.get("order", "")
    return render_template(
        "operator.html",
        here="operator",
        overview=now,
        dead=operations().page(Where.DEAD, overview=now),
        asked=asked,
        explained=operations().explain(asked) if asked else None,
        products=db.session.scalars(sa.select(Product).order_by(Product.id)).all(),
        max_attempts=expiry.current().settings.max_attempts,
    )


@pages.post("/retry")
@only_operators
def retry() -> ResponseReturnValue:
    """Requeue a dead letter, due now."""
    operations().retry([request.form["order"]])
    return redirect("/operator", 303)


@pages.post("/places/<int:product_id>")
@only_operators
def mend(product_id: int) -> ResponseReturnValue:
    """Mend or break the place of a product on the shelf."""
    is_broken = request.form.get("is_broken") == "yes"
    db.session.execute(sa.update(Product).where(Product.id == product_id).values(is_broken=is_broken))
    db.session.commit()
    return redirect("/operator", 303)
