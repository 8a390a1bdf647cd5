"""Settings of the shop's for the workers of order-expiry: `celery -A workers worker`."""

from order_expiry.tasks import app

app.conf.worker_concurrency = 3
