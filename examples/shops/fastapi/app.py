"""The shop's pages. Run it with ``python -m examples.shops.fastapi``."""

from __future__ import annotations

import logging
import os
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from typing import Annotated, Literal
from uuid import uuid4

from fastapi import Depends, FastAPI, HTTPException, Path, Request, Response
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
from examples.shops.page import MOST, STATIC, number

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
operators.mount(app)


class Basket(BaseModel):
    """The form of a product."""

    product: Annotated[int, Field(ge=1, lt=10**9)]
    units: Annotated[int, Field(ge=1, le=MOST)]


def basket(form: FormFields) -> Basket:
    """Validate the form of a product."""
    try:
        return Basket.model_validate(form)
    except ValidationError:
        product, units = number(form.get("product")), number(form.get("units"))
        raise HTTPException(303, headers={"Location": f"/?product={product}&units={units}"}) from None


def own_order(order_id: Annotated[int, Path(lt=2**63)], customer: Customer) -> Order:
    """Return an order if it belongs to this customer."""
    if order := shop.find(order_id, customer):
        return order
    raise HTTPException(404)


OwnOrder = Annotated[Order, Depends(own_order)]


@app.exception_handler(404)
@app.exception_handler(RequestValidationError)  # the address has a word where it should have a number
def not_found(request: Request, _: Exception) -> Response:
    """Show the page for an address that has none."""
    return render(request, "404.html", status_code=404)


@app.get("/")
def shelf(request: Request, *, hidden: bool = False, product: str | None = None, units: str | None = None) -> Response:
    """Show the products and, if an order was just refused, what it was for."""
    refused = None if units is None else {"product": shop.product(number(product)), "units": number(units)}
    return render(request, "shelf.html", here="shelf", products=shop.shelf(hidden=hidden), refused=refused)


@app.post("/orders")
async def check_out(customer: Customer, basket: Annotated[Basket, Depends(basket)]) -> Response:
    """Place an order and schedule its expiry."""
    order = await run_in_threadpool(shop.place, customer, basket.product, basket.units)
    if order is None:
        return RedirectResponse(f"/?product={basket.product}&units={basket.units}", 303)
    try:
        await orders.aio.enqueue(order.id, expires_at=order.expires_at)  # after the commit
    except orders.ScheduleError:
        logger.exception("order %s is placed but not scheduled: reconcile picks it up once it is overdue", order.id)
    return RedirectResponse(f"/orders/{order.id}", 303)


@app.get("/orders")
def my_orders(
    request: Request, customer: Customer, status: Literal["all", "pending", "paid", "expired", "cancelled"] = "all"
) -> Response:
    """Show this customer's orders, or those with one status."""
    found, counts = shop.orders_of(customer, status)
    return render(request, "orders.html", here="orders", status=status, orders=found, counts=counts)


@app.get("/orders/{order_id}")
def order_page(request: Request, order: OwnOrder) -> Response:
    """Show an order: its deadline, or its result."""
    return render(request, "order.html", here="orders", order=order, refunds=order.refunds)


@app.post("/orders/{order_id}/pay")
def pay(order: OwnOrder) -> Response:
    """Take a payment. In a real shop, the payment gateway calls this after the payment."""
    shop.pay(order, reference=f"charge-{uuid4().hex}")
    return RedirectResponse(f"/orders/{order.id}", 303)


@app.post("/orders/{order_id}/cancel")
def cancel(order: OwnOrder) -> Response:
    """Cancel an unpaid order."""
    shop.cancel(order)
    return RedirectResponse(f"/orders/{order.id}", 303)
