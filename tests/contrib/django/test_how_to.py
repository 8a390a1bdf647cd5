"""The code of the page about Django, in the shop of the tutorial."""

from __future__ import annotations

import re
import sys
from pathlib import Path

import pytest
from redis import Redis

from orders.embedded import EmbeddedRedis
from tests.blocks import Reader, blocks

DOCS = Path(__file__).parents[3] / "docs"

GIVE_BACK = """
import orders
from django.db.models import F
from shop.models import Order, Product


def give_back(using, order_ids):
    for order in Order.objects.using(using).filter(pk__in=order_ids):
        Product.objects.using(using).filter(pk=order.product_id).update(stock=F("stock") + order.units)


"""

GATEWAY = """
from collections import namedtuple

Charge = namedtuple("Charge", "order_id charge_id")
refunds = {}


def verified(request):
    return Charge(int(request.POST["order"]), request.POST["charge"])


def refund(charge_id, *, idempotency_key):
    refunds.setdefault(idempotency_key, charge_id)
"""

RECEIPT = """

class Receipt(models.Model):
    charge_id = models.CharField(max_length=60, primary_key=True)
    order_id = models.BigIntegerField()
"""

TESTS = """
from datetime import timedelta

from django.test import TransactionTestCase
from django.utils import timezone

import orders
from shop.gateway import refunds
from shop.models import Order, Product, Receipt


class CallbackTest(TransactionTestCase):
    def call(self, order_id, charge):
        answer = self.client.post("/callback", {"order": order_id, "charge": charge})
        return answer.status_code, answer.content.decode()

    def test_each_callback_has_its_answer(self):
        product = Product.objects.create(stock=9)
        expires_at = timezone.now() + timedelta(minutes=5)
        paid, late = (Order.objects.create(product=product, units=1, expires_at=expires_at) for _ in range(2))
        self.assertEqual(self.call(paid.pk, "ch_1"), (200, "accepted"))
        self.assertEqual(self.call(paid.pk, "ch_1"), (200, "duplicate"))
        self.assertEqual(refunds, {})
        Order.objects.filter(pk=late.pk).update(status="expired")
        self.assertEqual(self.call(late.pk, "ch_2"), (200, "too_late"))
        self.assertEqual(self.call(late.pk, "ch_2"), (200, "too_late"))
        self.assertEqual(list(refunds.values()), ["ch_2"])
        self.assertEqual(self.call(99, "ch_3"), (503, "not_found"))
        self.assertEqual([receipt.charge_id for receipt in Receipt.objects.all()], ["ch_1"])

    def test_five_lines(self):
        product = Product.objects.create(stock=8)
        order = Order.objects.create(product=product, units=2, expires_at=timezone.now() - timedelta(minutes=5))
        charge_id = "ch_1"
        {enqueue}
        self.assertTrue(orders.remove(order.pk), "it was not scheduled")
        self.assertEqual(orders.check(order.pk), orders.State.EXPIRED)
        self.assertEqual(Product.objects.get().stock, 10)
        {pay}
        self.assertTrue(payment.refund_key)
"""


@pytest.fixture
def reader(tmp_path: Path, redis_server: EmbeddedRedis, redis: Redis) -> Reader:
    """Somebody who has the models of the tutorial in a project."""
    reader = Reader.of(tmp_path, ORDERS_REDIS_URL=redis_server.url)
    _, start, *found = blocks((DOCS / "tutorials" / "django.md").read_text())
    reader.run(start.text)
    for block in found:
        if block.file == "shop/models.py":
            reader.write(block)
    return reader


def test_the_code_of_the_page_works(reader: Reader) -> None:
    # given a project with the lines of the page, each where the page says, and what it calls "yours"
    five, callback, tests = [
        b.text for b in blocks((DOCS / "how-to" / "django.md").read_text()) if b.language == "python"
    ]
    installed, setting, on_expire, enqueue, pay = five.splitlines()
    shop = reader.folder / "shop"
    with (reader.folder / "vases" / "settings.py").open("a") as settings:
        settings.write(f"\nINSTALLED_APPS += ['shop']\n{installed}\n{setting}\n")
    with (shop / "models.py").open("a") as models:
        models.write(RECEIPT)
    (shop / "order_hooks.py").write_text(GIVE_BACK + on_expire)
    (shop / "gateway.py").write_text(GATEWAY)
    (shop / "payments.py").write_text(callback)
    (shop / "tests.py").write_text(tests)
    (shop / "test_page.py").write_text(TESTS.replace("{enqueue}", enqueue).replace("{pay}", pay))
    with (reader.folder / "vases" / "urls.py").open("a") as urls:
        urls.write(
            "\nfrom shop.payments import payment_callback\nurlpatterns += [path('callback', payment_callback)]\n"
        )
    # when its tests run: those of the page, and ours
    told = reader.run(f"{sys.executable} manage.py makemigrations shop; {sys.executable} manage.py test 2>&1")
    # then they pass
    assert re.search(r"Ran 4 tests.*\n\nOK", told, re.DOTALL), told


OF_CONDITION = """

class GiftCard(models.Model):
    order = models.ForeignKey(Order, models.CASCADE)


Order.add_to_class("paid_at", models.DateTimeField(null=True))
"""

TESTS_OF_CONDITION = """
from datetime import timedelta

from django.test import TransactionTestCase
from django.utils import timezone

import orders
from shop.models import GiftCard, Order, Product


class ConditionTest(TransactionTestCase):
    def place(self):
        product, overdue = Product.objects.create(stock=9), timezone.now() - timedelta(minutes=5)
        return Order.objects.create(product=product, units=1, expires_at=overdue)

    def test_a_gift_card_keeps_the_order(self):
        order = self.place()
        card = GiftCard.objects.create(order=order)
        self.assertEqual(orders.check(order.pk), orders.State.KEPT)
        card.delete()
        self.assertEqual(orders.check(order.pk), orders.State.EXPIRED)

    def test_paid_at_keeps_the_order(self):
        order = self.place()
        Order.objects.filter(pk=order.pk).update(paid_at=timezone.now())
        self.assertEqual(orders.check(order.pk), orders.State.KEPT)
"""


def test_the_condition_of_the_other_page_works(reader: Reader) -> None:
    # given a project with the condition, and the columns and tables that it asks for
    page = blocks((DOCS / "how-to" / "conditions.md").read_text())
    [condition] = [block.text for block in page if "from django" in block.text]
    shop = reader.folder / "shop"
    with (reader.folder / "vases" / "settings.py").open("a") as settings:
        settings.write("\nINSTALLED_APPS += ['shop', 'orders.contrib.django']\nORDERS = {'MODEL': 'shop.Order'}\n")
    with (shop / "models.py").open("a") as models:
        models.write(OF_CONDITION)
    (shop / "order_hooks.py").write_text(condition)
    (shop / "tests.py").write_text(TESTS_OF_CONDITION)
    # when its tests run, then they pass
    told = reader.run(f"{sys.executable} manage.py makemigrations shop; {sys.executable} manage.py test 2>&1")
    assert re.search(r"Ran 2 tests.*\n\nOK", told, re.DOTALL), told
