"""``open_shop``: creates the tables, and an operator and the products if there are none."""

from __future__ import annotations

from typing import Any

from django.contrib.auth.models import User
from django.core.management import BaseCommand, call_command

from examples.shops.catalogue import PRODUCTS
from examples.shops.django.shop.models import Product


class Command(BaseCommand):
    """The command ``open_shop``."""

    help = "Create the tables, and an operator and the products if there are none."

    def handle(self, **_: Any) -> None:
        """Run the command."""
        call_command("migrate", verbosity=0)
        users = User.objects
        if not users.filter(username="operator").exists():
            # A password is fine here: the example listens on loopback only.
            users.create_superuser("operator", password="operator")  # noqa: S106
        if not Product.objects.exists():
            Product.objects.bulk_create(Product(**product) for product in PRODUCTS)
