"""The project's settings. Deployment-specific values come from the environment."""

from __future__ import annotations

import os

from examples.shops.page import STATIC
from examples.shops.page import TEMPLATES as SHARED_TEMPLATES

SECRET_KEY = os.environ["SECRET_KEY"]
ALLOWED_HOSTS = ["127.0.0.1", "localhost"]
USE_TZ = True
TIME_ZONE = "UTC"  # in which the pages of the shop show times; by default it is Chicago's
DEFAULT_AUTO_FIELD = "django.db.models.BigAutoField"
ROOT_URLCONF = "examples.shops.django.urls"
STATIC_URL = "/static/"
STATICFILES_DIRS = [STATIC]

# ORDERS_REDIS_URL, ORDERS_TIMEOUT and others come from the environment.
ORDERS = {"MODEL": "shop.Order"}

INSTALLED_APPS = [
    "orders.contrib.django",
    "examples.shops.django.shop",
    "django.contrib.admin",
    "django.contrib.auth",
    "django.contrib.contenttypes",
    "django.contrib.messages",
    "django.contrib.sessions",
    "django.contrib.staticfiles",
]

MIDDLEWARE = [
    "django.middleware.security.SecurityMiddleware",
    "django.contrib.sessions.middleware.SessionMiddleware",
    "django.middleware.csrf.CsrfViewMiddleware",
    "django.contrib.auth.middleware.AuthenticationMiddleware",
    "django.contrib.messages.middleware.MessageMiddleware",
]

DATABASES = {
    "default": {
        "ENGINE": "django.db.backends.sqlite3",
        "NAME": os.environ["SHOP_FILE"],
        # Otherwise, a transaction that reads before it writes fails if another one writes in between.
        "OPTIONS": {"transaction_mode": "IMMEDIATE", "timeout": 20, "init_command": "PRAGMA journal_mode = WAL"},
    }
}

TEMPLATES = [
    {  # the shop's pages, which all three shops share
        "BACKEND": "django.template.backends.jinja2.Jinja2",
        "DIRS": [SHARED_TEMPLATES],
        "OPTIONS": {"environment": "examples.shops.django.shop.pages.environment"},
    },
    {  # the admin site
        "BACKEND": "django.template.backends.django.DjangoTemplates",
        "APP_DIRS": True,
        "OPTIONS": {
            "context_processors": [
                "django.template.context_processors.request",
                "django.contrib.auth.context_processors.auth",
                "django.contrib.messages.context_processors.messages",
            ]
        },
    },
]
