"""The shop's use cases, as in a web application: checkout, order page, cancellation, payment callback."""

from __future__ import annotations

import logging
from datetime import datetime
from http import HTTPStatus

import sqlalchemy as sa

import orders
from examples.money_and_stock import gateway, stock
from examples.money_and_stock.database import changes_a_row, transaction
from examples.money_and_stock.models import CANCELLED, IS_AWAITED, Coupon, PaymentNotice, Product, Purchase
from orders import PaymentVerdict

logger = logging.getLogger(__name__)


class NotAvailable(Exception):
    """There is not enough stock, or the coupon is used up."""


def check_out(number: str, product: str, *, units: int = 1, coupon: str | None = None, channel: str = "shop") -> None:
    """Place an order and schedule its expiry.

    Raises:
        NotAvailable: there is not enough stock, or the coupon is used up. The order is not placed.
    """
    pay_until = place(number, product, units=units, coupon=coupon, channel=channel)
    try:
        orders.enqueue(number, expires_at=pay_until)  # after the commit
    except orders.ScheduleError:
        logger.exception("%s is placed but not scheduled: reconcile picks it up once it is overdue", number)


def place(number: str, product: str, *, units: int, coupon: str | None, channel: str) -> datetime:
    """Take the stock and the coupon and insert the order, in one transaction; return its deadline."""
    pay_until = orders.deadline(number, context={"channel": channel})
    with transaction() as session:
        if not stock.take(session, product, units, coupon):
            raise NotAvailable(f"{units} {product}, coupon {coupon or 'none'}")  # rolls back what was taken
        total = units * session.get_one(Product, product).price
        if coupon:
            total -= session.get_one(Coupon, coupon).discount
        session.add(
            Purchase(number=number, pay_until=pay_until, product=product, units=units, coupon=coupon, total=total)
        )
    return pay_until


def order_page(number: str) -> orders.State:
    """Return the state for the order page, which must not show an overdue order as awaiting payment."""
    return orders.check(number)  # outside any transaction of ours, because it may ask the gateway


def give_more_time(number: str, seconds: float) -> bool:
    """Give a customer more time to pay; return whether the order was still pending."""
    return orders.extend(number, timeout=seconds)


def cancel(number: str) -> bool:
    """Cancel an unpaid order and return its stock and coupon; return whether it was still pending."""
    cancelling = sa.update(Purchase).where(Purchase.number == number, IS_AWAITED).values(state=CANCELLED)
    with transaction() as session:
        cancelled = changes_a_row(session, cancelling)
        if cancelled:
            stock.give_back(session, [number])
    if cancelled:
        orders.remove(number)  # saves the workers a query at the deadline
    return cancelled


def payment_callback(number: str, reference: str) -> HTTPStatus:
    """Handle the gateway's callback about a payment, which may be the second one for its order, or too late.

    The gateway repeats the callback until the answer is 200.
    """
    with transaction() as session:
        payment = orders.pay(number, reference=reference, session=session)
        session.add(PaymentNotice(number=number, reference=reference, verdict=payment.verdict.value))

    # The verdict is committed now. If this process dies before the refund, the gateway repeats the callback. It gets
    # the same verdict and the same refund key, so the gateway refunds once.
    if payment.refund_key:
        gateway.refund(reference, key=payment.refund_key)

    match payment.verdict:
        case PaymentVerdict.ACCEPTED if payment.was_revived:
            logger.info("%s: late, but everything is still there: %s revives the order", number, reference)
        case PaymentVerdict.ACCEPTED:
            logger.info("%s: %s is accepted", number, reference)
        case PaymentVerdict.DUPLICATE if payment.is_accepted:
            logger.info("%s: %s is known, nothing to do", number, reference)
        case PaymentVerdict.DUPLICATE:
            logger.info("%s: %s is a second payment and is refunded", number, reference)
        case PaymentVerdict.TOO_LATE:
            logger.info("%s: %s is too late and is refunded", number, reference)
        case PaymentVerdict.CLOSED:
            logger.info("%s: %s is for an order that was cancelled, and is refunded", number, reference)
        case PaymentVerdict.NOT_FOUND:
            logger.info("%s: there is no such order yet, try %s again", number, reference)
            return HTTPStatus.NOT_FOUND
    return HTTPStatus.OK
