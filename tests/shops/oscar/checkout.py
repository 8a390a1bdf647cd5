"""Customers of a shop made of django-oscar: they place orders by oscar's own code, and some pay.

``python checkout.py HOOKS PLACED PAID`` takes the module with ``take_payment``. One more order is cancelled. It prints
how many vases were ordered.
"""

import sys
from importlib import import_module

import django

django.setup()

from django.contrib.auth.models import User  # noqa: E402 - after Django's set-up
from django.contrib.sessions.backends.db import SessionStore  # noqa: E402
from django.db.models import Sum  # noqa: E402
from django.test import RequestFactory  # noqa: E402
from oscar.core.loading import get_class, get_model  # noqa: E402
from oscar.test.factories import create_product  # noqa: E402

import orders  # noqa: E402

Calculator = get_class("checkout.calculators", "OrderTotalCalculator")
NoShippingRequired = get_class("shipping.methods", "NoShippingRequired")
OrderPlacementMixin = get_class("checkout.mixins", "OrderPlacementMixin")
Selector = get_class("partner.strategy", "Selector")
Session = get_class("checkout.utils", "CheckoutSessionData")


class Checkout(OrderPlacementMixin):
    """The last step of oscar's checkout, without its pages."""

    def __init__(self, user):
        self.request = RequestFactory().post("/")
        self.request.user, self.request.session = user, SessionStore()
        self.checkout_session = Session(self.request)

    def place(self, product, quantity):
        """Buy some of a product, and pay later; return the order's id."""
        basket = get_model("basket", "Basket").objects.create()
        basket.strategy = Selector().strategy(request=self.request)
        basket.add_product(product, quantity)
        method = NoShippingRequired()
        charge = method.calculate(basket)
        total = Calculator(self.request).calculate(basket, charge)
        number = self.generate_order_number(basket)
        self.handle_order_placement(number, self.request.user, basket, None, method, charge, None, total)
        return self.request.session["checkout_order_id"]


hooks, placed, paid = import_module(sys.argv[1]), int(sys.argv[2]), int(sys.argv[3])
ann = User.objects.create_user("ann", "ann@example.com")
vases = [create_product(title=f"vase {number}", price=9, num_in_stock=1000) for number in range(3)]
for number in range(placed):
    order_id = Checkout(ann).place(vases[number % 3], quantity=2)
    if number < paid:
        assert hooks.take_payment(order_id, f"ch_{order_id}").verdict == "accepted"
    elif number == paid:
        assert orders.cancel(order_id, reason="the customer changed their mind")
print(get_model("order", "Line").objects.aggregate(Sum("quantity"))["quantity__sum"])
