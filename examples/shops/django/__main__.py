"""``python -m examples.shops.django``: runs the shop and everything that it needs."""

import sys

from examples.shops.run import Shop, run

SHOP = Shop(
    framework="Django",
    open="-m django open_shop",
    web="-m gunicorn --bind 127.0.0.1:{port} --threads 8 examples.shops.django.wsgi",
    operator="/admin/order_expiry/schedule/",
    settings={"DJANGO_SETTINGS_MODULE": "examples.shops.django.settings"},
)

if __name__ == "__main__":
    sys.exit(run(SHOP))
