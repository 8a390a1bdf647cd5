"""The story of the example, from checkout to the last mail."""

from __future__ import annotations

import time
from collections.abc import Callable

import orders
from examples.money_and_stock import shop, shop_hooks
from examples.money_and_stock.cast import CAST
from examples.money_and_stock.gateway import FakeGateway
from examples.money_and_stock.models import LAPSED, PAID

PATIENCE = 20.0
"""Seconds to wait for the workers."""


class Story:
    """Acts as the customers, and prints what they do.

    Args:
        bank: the gateway that charges them.
    """

    def __init__(self, bank: FakeGateway) -> None:
        self._bank = bank
        self._began = time.monotonic()

    def tell(self) -> None:
        """Run the whole story."""
        self._orders_are_placed()
        self._deadlines_pass()
        self._money_comes_late()
        self._mails_are_written()

    def _orders_are_placed(self) -> None:
        self._check_out("ada", "orders with a coupon, and pays; the gateway calls back twice")
        first = self._pay("ada")
        self._call_back("ada", first)

        self._check_out("eve", "orders, pays, and pays again")
        self._pay("eve")
        self._pay("eve")

        self._check_out("iris", "orders, cancels, and pays all the same")
        shop.cancel("iris")
        self._pay("iris")

        self._say("lena pays so fast that the callback is here before her order is committed")
        payment = self._pay("lena")
        self._check_out("lena", "is through the checkout; the gateway repeats its callback")
        self._call_back("lena", payment)

        self._check_out("jack", "orders in the flash sale, and is given more time")
        shop.give_more_time("jack", seconds=10)

        self._check_out("cleo", "orders and pays, but the callback is lost")
        self._bank.charge("cleo", CAST["cleo"].total)

        self._check_out("dan", "orders, and his bank takes its time")
        self._dans_payment = self._bank.charge("dan", CAST["dan"].total, status="processing")

        self._check_out("ben", "orders, and never pays")
        self._check_out("finn", "orders, and forgets to pay")
        self._check_out("gina", "orders the last vase, and forgets to pay")
        try:
            self._check_out("hugo", "wants the vase, too")
        except shop.NotAvailable as error:
            self._say(f"hugo is told that it is not available ({error})")

        self._say("kim orders, and the web server dies before it has scheduled her order")
        kim = CAST["kim"]
        shop.place(kim.number, kim.product, units=kim.units, coupon=kim.coupon, channel=kim.channel)

    def _deadlines_pass(self) -> None:
        self._wait(lambda: self._state("finn") == LAPSED, "finn has not paid in time")
        self._wait(lambda: self._state("gina") == LAPSED, "nor has gina: the vase is back on the shelf")
        self._wait(
            lambda: self._state("cleo") == PAID, "cleo has: the guard has asked the gateway, and her order is paid"
        )
        self._say("jack pays, after his first deadline and before his second one")
        self._pay("jack")
        self._wait(lambda: shop.order_page("kim") is orders.State.EXPIRED, "kim opens her order page: it has lapsed")

    def _money_comes_late(self) -> None:
        self._check_out("hugo", "gets the vase now, and pays")
        self._pay("hugo")
        self._say("gina pays, and the gateway calls back twice: with the same key it refunds once")
        payment = self._pay("gina")
        self._call_back("gina", payment)
        self._say("finn pays")
        self._pay("finn")
        self._wait(lambda: self._bank.asked["dan"], "dan's payment is being processed, the guard hears: he may wait")
        self._bank.charges[self._dans_payment].status = "declined"
        self._wait(lambda: self._state("dan") == LAPSED, "it was declined, the guard hears when it asks again")
        self._wait(lambda: self._state("ben") == LAPSED, "ben, who had more time than the flash sale gives, never paid")

    def _mails_are_written(self) -> None:
        self._wait(lambda: all(event.delivered_at for event in events()), "every event has reached its handler")
        self._say("every event is delivered again, as if a worker had died before it could say that it was done")
        for event in events():
            shop_hooks.send_mail(event)

    def _check_out(self, number: str, text: str) -> None:
        self._say(f"{number} {text}")
        order = CAST[number]
        shop.check_out(number, order.product, units=order.units, coupon=order.coupon, channel=order.channel)

    def _pay(self, number: str) -> str:
        reference = self._bank.charge(number, CAST[number].total)
        self._call_back(number, reference)
        return reference

    def _call_back(self, number: str, reference: str) -> None:
        shop.payment_callback(number, reference)

    def _state(self, number: str) -> str | None:
        return orders.explain(number).state

    def _wait(self, is_so: Callable[[], object], text: str) -> None:
        give_up = time.monotonic() + PATIENCE
        while not is_so():
            if time.monotonic() > give_up:
                raise TimeoutError(f"not within {PATIENCE:g} s: {text}")
            time.sleep(0.05)
        self._say(text)

    def _say(self, text: str) -> None:
        print(f"{time.monotonic() - self._began:5.1f} s  {text}", flush=True)


def events() -> list[orders.Event]:
    """Return the events of all orders."""
    return [event for number in CAST for event in orders.explain(number).events]
