"""The settings of a Django project; the database's URL and Redis's come from the environment."""

from __future__ import annotations

import os

from tests.contrib.django.databases import of_url

SECRET_KEY = "for tests"
USE_TZ = True
TIME_ZONE = "Asia/Tokyo"  # far from UTC, so that a local time is seen
INSTALLED_APPS = [
    "orders.contrib.django",
    "tests.contrib.django.shop",
    "django.contrib.admin",
    "django.contrib.auth",
    "django.contrib.contenttypes",
    "django.contrib.messages",
    "django.contrib.sessions",
    "django.contrib.staticfiles",
]
MIDDLEWARE = [
    "django.contrib.sessions.middleware.SessionMiddleware",
    "django.middleware.csrf.CsrfViewMiddleware",
    "django.contrib.auth.middleware.AuthenticationMiddleware",
    "django.contrib.messages.middleware.MessageMiddleware",
]
TEMPLATES = [
    {
        "BACKEND": "django.template.backends.django.DjangoTemplates",
        "APP_DIRS": True,
        "OPTIONS": {
            "context_processors": [
                "django.template.context_processors.request",
                "django.contrib.auth.context_processors.auth",
                "django.contrib.messages.context_processors.messages",
            ]
        },
    }
]
ROOT_URLCONF = "tests.contrib.django.shop.urls"
STATIC_URL = "static/"
PASSWORD_HASHERS = ["django.contrib.auth.hashers.MD5PasswordHasher"]  # quick
DATABASES = {"default": of_url(os.environ.get("SHOP_DATABASE_URL", "sqlite:///:memory:"))}
ORDERS = {
    "MODEL": "shop.Order",
    "REDIS_URL": os.environ.get("SHOP_REDIS_URL", "redis://localhost:1/0"),
    "SWEEP_INTERVAL": 1,
}
CELERY_BROKER_URL = os.environ.get("SHOP_REDIS_URL", "redis://localhost:1/0")
CELERY_TASK_SERIALIZER = "json"
CELERY_WORKER_SEND_TASK_EVENTS = True
