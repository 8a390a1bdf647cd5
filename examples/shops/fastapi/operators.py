"""The operators' page: the counts, one order explained, and dead letters to retry."""

from __future__ import annotations

import secrets
from typing import Annotated

from fastapi import APIRouter, Depends, HTTPException, Request, Response
from fastapi.responses import RedirectResponse

import orders
from examples.shops.fastapi import shop
from examples.shops.fastapi.pages import FormFields, render
from orders.operate.operations import Operations, Where

router = APIRouter(prefix="/operator")

NAME, PASSWORD = "operator", "operator"


def only_operators(request: Request) -> None:
    """Redirect everybody else to the login."""
    if not request.session.get("is_operator"):
        raise HTTPException(303, headers={"Location": "/operator/login"})


OPERATORS = [Depends(only_operators)]


def operations() -> Operations:
    """Return the operator's operations."""
    return Operations(orders.current())


@router.get("/login")
def login_page(request: Request, *, refused: bool = False) -> Response:
    """Show the login form."""
    return render(request, "login.html", here="operator", refused=refused)


@router.post("/login")
def login(request: Request, form: FormFields) -> Response:
    """Log an operator in."""
    given = (form.get("username", "") + "\n" + form.get("password", "")).encode()
    if not secrets.compare_digest(given, f"{NAME}\n{PASSWORD}".encode()):
        return RedirectResponse("/operator/login?refused=yes", 303)
    request.session["is_operator"] = True
    return RedirectResponse("/operator", 303)


@router.post("/logout")
def logout(request: Request) -> Response:
    """Log the operator out."""
    request.session.pop("is_operator", None)
    return RedirectResponse("/", 303)


@router.get("", dependencies=OPERATORS)
def overview(request: Request, operations: Annotated[Operations, Depends(operations)], order: str = "") -> Response:
    """Show the number of orders in each state, the dead letters and, if requested, one order."""
    now = operations.overview()
    return render(
        request,
        "operator.html",
        here="operator",
        overview=now,
        dead=operations.page(Where.DEAD, overview=now),
        asked=order,
        explained=operations.explain(order) if order else None,
        products=shop.shelf(hidden=True),
        max_attempts=orders.current().settings.max_attempts,
    )


@router.post("/retry", dependencies=OPERATORS)
def retry(form: FormFields, operations: Annotated[Operations, Depends(operations)]) -> Response:
    """Requeue a dead letter, due now."""
    operations.retry([form["order"]])
    return RedirectResponse("/operator", 303)


@router.post("/places/{product_id}", dependencies=OPERATORS)
def mend(product_id: int, form: FormFields) -> Response:
    """Mend or break the place of a product on the shelf."""
    shop.mend(product_id, is_broken=form.get("is_broken") == "yes")
    return RedirectResponse("/operator", 303)
