"""The shop's pages. Run it with ``python -m examples.shops.fastapi``."""

from __future__ import annotations

import logging
import os
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from typing import Annotated, Literal
from uuid import uuid4

from fastapi import Depends, FastAPI, HTTPException, Request, Response
from fastapi.concurrency import run_in_threadpool
from fastapi.exceptions import RequestValidationError
from fastapi.responses import RedirectResponse
from fastapi.staticfiles import StaticFiles
from pydantic import BaseModel, Field, ValidationError
from starlette.middleware.sessions import SessionMiddleware

import orders
from examples.shops.fastapi import operators, shop
from examples.shops.fastapi.models import Order
from examples.shops.fastapi.pages import Customer, FormFields, render
from examples.shops.page import STATIC

logger = logging.getLogger(__name__)


@asynccontextmanager
async def lifespan(_: FastAPI) -> AsyncIterator[None]:
    """Close the Redis connections at shutdown."""
    yield
    await orders.aio.close()


app = FastAPI(lifespan=lifespan, openapi_url=None)
# "lax": browsers do not send the cookie with forms of other sites.
app.add_middleware(SessionMiddleware, secret_key=os.environ["SECRET_KEY"], same_site="lax")
app.mount("/static", StaticFiles(directory=STATIC))
app.include_router(operators.router)


class Basket(BaseModel):
    """The form of a product."""

    product: int
    units: Annotated[int, Field(ge=1, le=99)]


def basket(form: FormFields) -> Basket:
    """Validate the form of a product."""
    try:
        return Basket.model_validate(form)
    except ValidationError as error:
        raise RequestValidationError(error.errors()) from error


def own_order(number: int, customer: Customer) -> Order:
    """Return an order if it belongs to this customer."""
    if order := shop.find(number, customer):
        return order
    raise HTTPException(404)


OwnOrder = Annotated[Order, Depends(own_order)]


@app.get("/")
def shelf(request: Request, *, missed: bool = False, hidden: bool = False) -> Response:
    """Show the products."""
    return render(request, "shelf.html", here="shelf", products=shop.shelf(hidden=hidden), missed=missed)


@app.post("/orders")
async def check_out(customer: Customer, basket: Annotated[Basket, Depends(basket)]) -> Response:
    """Place an order and schedule its expiry."""
    order = await run_in_threadpool(shop.place, customer, basket.product, basket.units)
    if order is None:
        return RedirectResponse("/?missed=yes", 303)
    try:
        await orders.aio.enqueue(order.id, expires_at=order.expires_at)  # after the commit
    except orders.ScheduleError:
        logger.exception("order %s is placed but not scheduled: reconcile picks it up once it is overdue", order.id)
    return RedirectResponse(f"/orders/{order.id}", 303)


@app.get("/orders")
def my_orders(
    request: Request, customer: Customer, status: Literal["pending", "paid", "expired", "cancelled"] = "pending"
) -> Response:
    """Show this customer's orders with one status."""
    found, counts = shop.orders_of(customer, status)
    return render(request, "orders.html", here="orders", status=status, orders=found, counts=counts)


@app.get("/orders/{number}")
def order_page(request: Request, order: OwnOrder) -> Response:
    """Show an order: its deadline, or its result."""
    return render(request, "order.html", here="orders", order=order, refunds=order.refunds)


@app.post("/orders/{number}/pay")
def pay(order: OwnOrder) -> Response:
    """Take a payment. In a real shop, the payment gateway calls this after the payment."""
    shop.pay(order, reference=f"charge-{uuid4().hex}")
    return RedirectResponse(f"/orders/{order.id}", 303)


@app.post("/orders/{number}/cancel")
def cancel(order: OwnOrder) -> Response:
    """Cancel an unpaid order."""
    shop.cancel(order)
    return RedirectResponse(f"/orders/{order.id}", 303)
