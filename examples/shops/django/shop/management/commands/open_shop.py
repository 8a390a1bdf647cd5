"""``open_shop``: creates the tables, an operator, and products on the shelf if there are none."""

from __future__ import annotations

from typing import Any

from django.contrib.auth.models import User
from django.core.management import BaseCommand, call_command

from examples.shops.catalogue import PRODUCTS
from examples.shops.django.shop.models import Product


class Command(BaseCommand):
    """The command."""

    help = "Create the tables, an operator, and products on the shelf if there are none."

    def handle(self, **_: Any) -> None:
        """Do it."""
        call_command("migrate", verbosity=0)
        users = User.objects
        if not users.filter(username="operator").exists():
            # The password of an example that runs on loopback.
            users.create_superuser("operator", password="operator")  # noqa: S106
        if not Product.objects.exists():
            Product.objects.bulk_create(Product(**product) for product in PRODUCTS)
