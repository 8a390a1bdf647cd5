"""The customers' orders, and how each one must end."""

from __future__ import annotations

from dataclasses import dataclass

from examples.money_and_stock.models import CANCELLED, LAPSED, PAID, Coupon, Product
from orders import EventKind

PRICES = {"lamp": 40_00, "chair": 90_00, "vase": 250_00}
STOCK = {"lamp": 12, "chair": 6, "vase": 1}
COUPON, DISCOUNT, USES = "WELCOME", 5_00, 3


def opening_stock() -> list[Product | Coupon]:
    """Return the products and the coupon with which the shop opens."""
    products = [Product(name=name, price=PRICES[name], stock=STOCK[name]) for name in PRICES]
    return [*products, Coupon(code=COUPON, discount=DISCOUNT, uses_left=USES)]


@dataclass(frozen=True, slots=True, kw_only=True)
class Order:
    """An order, with its expected final state and events."""

    number: str
    story: str
    product: str
    units: int = 1
    coupon: str | None = None
    channel: str = "shop"
    state: str
    events: tuple[EventKind, ...]

    @property
    def total(self) -> int:
        """The order's price, in cents."""
        return self.units * PRICES[self.product] - (DISCOUNT if self.coupon else 0)


FLASH = "flash_sale"

_CAST = (
    Order(
        number="ada",
        story="pays in time, and the gateway calls back twice",
        product="lamp",
        units=2,
        coupon=COUPON,
        state=PAID,
        events=(EventKind.PAID,),
    ),
    Order(
        number="ben",
        story="never pays",
        product="lamp",
        units=3,
        coupon=COUPON,
        state=LAPSED,
        events=(EventKind.EXPIRED,),
    ),
    Order(
        number="cleo",
        story="pays, but the callback is lost: the guard finds the payment",
        product="chair",
        channel=FLASH,
        state=PAID,
        events=(EventKind.PAID,),
    ),
    Order(
        number="dan",
        story="his payment is being processed at the deadline, and declined later",
        product="chair",
        units=2,
        channel=FLASH,
        state=LAPSED,
        events=(EventKind.EXPIRED,),
    ),
    Order(
        number="eve",
        story="pays twice: the second payment is refunded",
        product="chair",
        state=PAID,
        events=(EventKind.PAID, EventKind.LATE_PAYMENT),
    ),
    Order(
        number="finn",
        story="pays too late, but everything can be taken again",
        product="lamp",
        coupon=COUPON,
        channel=FLASH,
        state=PAID,
        events=(EventKind.EXPIRED, EventKind.REVIVED),
    ),
    Order(
        number="gina",
        story="pays too late, and the vase is sold: refunded, once for two callbacks",
        product="vase",
        channel=FLASH,
        state=LAPSED,
        events=(EventKind.EXPIRED, EventKind.LATE_PAYMENT),
    ),
    Order(
        number="hugo",
        story="gets the vase when gina's order has lapsed",
        product="vase",
        state=PAID,
        events=(EventKind.PAID,),
    ),
    Order(
        number="iris",
        story="cancels, and pays all the same: refunded",
        product="chair",
        state=CANCELLED,
        events=(EventKind.LATE_PAYMENT,),
    ),
    Order(
        number="jack",
        story="is given more time, and uses it",
        product="lamp",
        channel=FLASH,
        state=PAID,
        events=(EventKind.EXTENDED, EventKind.PAID),
    ),
    Order(
        number="kim",
        story="was never scheduled: her order page closes the order",
        product="lamp",
        units=2,
        channel=FLASH,
        state=LAPSED,
        events=(EventKind.EXPIRED,),
    ),
    Order(
        number="lena",
        story="pays before her order is committed: the callback is repeated",
        product="lamp",
        state=PAID,
        events=(EventKind.PAID,),
    ),
)

CAST = {order.number: order for order in _CAST}
