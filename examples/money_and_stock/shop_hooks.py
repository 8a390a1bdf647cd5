"""The shop's hooks. The web application and the workers load this module through ``ORDERS_HOOKS``."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from datetime import UTC, datetime
from typing import Any

from sqlalchemy.orm import Session

import orders
from examples.money_and_stock import gateway, stock
from examples.money_and_stock.database import transaction
from examples.money_and_stock.models import HandledEvent, Mail, Purchase
from orders import Answer, Event, EventKind

SECONDS_TO_PAY = {"flash_sale": 3, "shop": 6}
"""By channel. A real shop would give minutes."""

MAILS = {
    EventKind.PAID: "Thank you, your order is paid.",
    EventKind.EXTENDED: "You have more time to pay.",
    EventKind.EXPIRED: "We did not hear of a payment in time, so we have closed your order.",
    EventKind.REVIVED: "Your payment came late, but we still had everything: your order is paid.",
    EventKind.LATE_PAYMENT: "We do not need this payment and have sent it back.",
}


@orders.deadline_rule
def time_to_pay(_: str, context: Mapping[str, Any]) -> float | None:
    """Return the seconds to pay in this channel; None for ``ORDERS_TIMEOUT``."""
    return SECONDS_TO_PAY.get(context.get("channel", ""))


@orders.guard
def ask_the_gateway(number: str) -> Answer:
    """Ask the gateway whether an order was paid without a callback. If this raises, it is called again later."""
    match gateway.status(number):
        case "captured":
            return Answer.PAID
        case "processing":
            return Answer.UNKNOWN
        case _:
            return Answer.UNPAID


@orders.on_expire
def give_back(session: Session, numbers: Sequence[str]) -> None:
    """Return stock and coupons in the transaction that expires the orders."""
    stock.give_back(session, numbers)


@orders.on_late_payment
def take_again(session: Session, number: str) -> bool:
    """Take stock and coupon again for an expired order with a late payment. False rolls back what was taken."""
    purchase = session.get_one(Purchase, number)
    return stock.take(session, purchase.product, purchase.units, purchase.coupon)


@orders.on_event
def send_mail(event: Event) -> None:
    """Write one mail per event, although an event may be delivered twice.

    If two processes deliver it at once, the unique key rejects the second one. Its next try finds the event handled.
    """
    with transaction() as session:
        if session.get(HandledEvent, event.id):
            return
        session.add(HandledEvent(event_id=event.id, handled_at=datetime.now(UTC)))
        session.add(Mail(number=event.order_id, text=MAILS[event.kind]))
