"""The shop's own Celery app."""

from celery import Celery  # type: ignore[import-untyped]  # Celery has no types

app = Celery("vases")
app.config_from_object("celeryconfig")
app.autodiscover_tasks(["orders"])
