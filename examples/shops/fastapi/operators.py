"""The staff's login and the places on the shelf, and behind the same login the operators' page of order-expiry."""

from __future__ import annotations

import secrets
from typing import TYPE_CHECKING

from fastapi import APIRouter, Depends, FastAPI, HTTPException, Request, Response
from fastapi.responses import RedirectResponse

from examples.shops.fastapi import shop
from examples.shops.fastapi.pages import FormFields, render
from orders.operate import web

if TYPE_CHECKING:
    from _typeshed.wsgi import WSGIEnvironment

router = APIRouter(prefix="/operator")

NAME, PASSWORD = "operator", "operator"

EXPIRY_URL = "/expiry"


def mount(app: FastAPI) -> None:
    """Put the operators' page of order-expiry below `EXPIRY_URL`, for those who are logged in here."""

    def operator(environ: WSGIEnvironment) -> str | None:
        return NAME if environ["asgi.scope"]["session"].get("is_operator") else None

    app.mount(EXPIRY_URL, web.asgi(user=operator, login_url="/operator/login"))


def only_operators(request: Request) -> None:
    """Redirect everybody else to the login."""
    if not request.session.get("is_operator"):
        raise HTTPException(303, headers={"Location": "/operator/login"})


OPERATORS = [Depends(only_operators)]


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
def overview(request: Request) -> Response:
    """Show the places on the shelf."""
    products = shop.shelf(hidden=True)
    return render(request, "operator.html", here="operator", products=products, expiry_url=EXPIRY_URL)


@router.post("/places/{product_id}", dependencies=OPERATORS)
def mend(product_id: int, form: FormFields) -> Response:
    """Mend or break the place of a product on the shelf."""
    shop.mend(product_id, is_broken=form.get("is_broken") == "yes")
    return RedirectResponse("/operator", 303)
