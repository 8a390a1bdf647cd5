"""The shop's own Celery app, which runs its tasks and ours."""

from __future__ import annotations

import os

from celery import Celery, shared_task

os.environ.setdefault("DJANGO_SETTINGS_MODULE", "tests.contrib.django.shop.settings")

app = Celery("shop")
app.config_from_object("django.conf:settings", namespace="CELERY")

import tasks  # noqa: E402

tasks.install(app)
app.steps["consumer"].add(tasks.GroupedEvents)


@shared_task(name="shop.restock")  # type: ignore[untyped-decorator]
def restock() -> int:
    from tests.contrib.django.shop.models import Product  # noqa: PLC0415 - Django starts later

    return Product.objects.filter(name="coffee").update(stock=100)
