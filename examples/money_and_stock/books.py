"""The audit at the end: checks that stock, coupons, money, events and mails add up."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass

import sqlalchemy as sa
from sqlalchemy.orm import Session

from examples.money_and_stock.cast import CAST, COUPON, STOCK, USES
from examples.money_and_stock.gateway import FakeGateway
from examples.money_and_stock.models import PAID, Coupon, HandledEvent, Mail, Product, Purchase
from examples.money_and_stock.shop_hooks import MAILS
from orders import Event

IN_TIME = 10.0
"""The mail about an event must be written within this many seconds."""

IS_PAID = Purchase.state == PAID


@dataclass(frozen=True, slots=True)
class Line:
    """One check of the audit, and whether it passed."""

    what: str
    result: str
    is_right: bool


def audit(session: Session, bank: FakeGateway, events: list[Event]) -> list[Line]:
    """Return the lines of the audit."""
    return [
        _orders(session),
        *_stock(session),
        _coupon(session),
        _money(session, bank),
        _refunds(bank),
        *_events(session, events),
    ]


def _orders(session: Session) -> Line:
    states = {purchase.number: purchase.state for purchase in session.scalars(sa.select(Purchase))}
    right = [number for number, order in CAST.items() if states.get(number) == order.state]
    result = f"{len(right)} of {len(states)} ended as their story says"
    return Line("orders", result, set(right) == set(states) == set(CAST))


def _stock(session: Session) -> Iterator[Line]:
    for product, before in STOCK.items():
        after = session.get_one(Product, product).stock
        units = sa.select(sa.func.coalesce(sa.func.sum(Purchase.units), 0)).where(IS_PAID, Purchase.product == product)
        sold = session.execute(units).scalar_one()
        yield Line(f"stock of {product}", f"{before} before = {after} after + {sold} sold", before == after + sold)


def _coupon(session: Session) -> Line:
    after = session.get_one(Coupon, COUPON).uses_left
    used = session.execute(sa.select(sa.func.count()).where(IS_PAID, Purchase.coupon == COUPON)).scalar_one()
    return Line(f"coupon {COUPON}", f"{USES} uses before = {after} after + {used} used", after + used == USES)


def _money(session: Session, bank: FakeGateway) -> Line:
    earned = session.execute(sa.select(sa.func.coalesce(sa.func.sum(Purchase.total), 0)).where(IS_PAID)).scalar_one()
    captured, refunded = bank.captured(), bank.refunded()
    result = f"{_euros(captured)} captured = {_euros(earned)} of paid orders + {_euros(refunded)} refunded"
    return Line("money", result, captured == earned + refunded)


def _refunds(bank: FakeGateway) -> Line:
    payments = len(set(bank.refunds.values()))
    result = f"{payments} payments refunded = {len(bank.refunds)} refunds, in {bank.refund_requests} requests"
    return Line("refunds", result, payments == len(bank.refunds) < bank.refund_requests)


def _events(session: Session, events: list[Event]) -> Iterator[Line]:
    handled = sorted(session.scalars(sa.select(HandledEvent.event_id)))
    mails = list(session.execute(sa.select(Mail.number, Mail.text).order_by(Mail.id)))
    result = f"{len(events)} events = {len(handled)} handled = {len(mails)} mails, although each was delivered twice"
    yield Line("events", result, handled == sorted(event.id for event in events) and len(mails) == len(handled))

    expected = {number: [MAILS[kind] for kind in order.events] for number, order in CAST.items()}
    written = {number: [text for to, text in mails if to == number] for number in CAST}
    late = max((event.delivered_at - event.at).total_seconds() for event in events if event.delivered_at)
    result = f"each customer has the right ones in the right order, the last one after {late:.1f} s"
    yield Line("mails", result, written == expected and late < IN_TIME)


def _euros(cents: int) -> str:
    return f"{cents / 100:.2f} €"
