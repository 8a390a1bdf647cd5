"""A Django project whose settings, but for its model and its database, are ``ORDERS_*`` in the environment."""

from __future__ import annotations

import os

from tests.contrib.django.databases import of_url

USE_TZ = True
INSTALLED_APPS = ["orders.contrib.django", "tests.faults.shops.django_shop"]
DATABASES = {"default": {**of_url(os.environ["SHOP_DATABASE_URL"]), "CONN_MAX_AGE": 0}}
ORDERS = {"MODEL": "django_shop.Order"}
