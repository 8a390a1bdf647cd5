"""Customers of pretix: they place orders by its own carts, and some pay. It prints what shall become of each order.

``python box_office.py PLACED PAID SECONDS`` gives them so many seconds to pay. Two more events have
a delay of some days, or do not expire orders. ``python box_office.py after`` runs pretix's own job,
and prints its name and how many tickets are left.
"""

import json
import sys
from datetime import timedelta

import django

django.setup()

from django.conf import settings as django_settings  # noqa: E402 - after Django's set-up
from django.utils.timezone import now  # noqa: E402
from django_scopes import scopes_disabled  # noqa: E402
from pretix.base.models import Event, Item, Order, Organizer, Quota  # noqa: E402
from pretix.base.services.cart import CartManager  # noqa: E402
from pretix.base.services.orders import _perform_order, expire_orders  # noqa: E402

PAYMENT = {"id": "1", "provider": "manual", "max_value": None, "min_value": None, "multi_use_supported": False}


def open_event(organizer, slug, **settings):
    """Return a new event with a quota of 100 tickets."""
    event = Event.objects.create(
        organizer=organizer, name=slug, slug=slug, date_from=now() + timedelta(days=90), live=True
    )
    for key, value in {"timezone": "Pacific/Auckland", "payment_manual__enabled": True, **settings}.items():
        event.settings.set(key, value)
    quota = Quota.objects.create(event=event, name="all", size=100)
    for name, needs_approval in (("ticket", False), ("press", True)):
        quota.items.add(Item.objects.create(event=event, name=name, default_price=23, require_approval=needs_approval))
    return event


def place(event, name="ticket"):
    """Return a new order."""
    web = event.organizer.sales_channels.get(identifier="web")
    cart = CartManager(event=event, cart_id=f"cart {Order.objects.count()}", sales_channel=web)
    cart.add_new_items([{"item": event.items.get(name__contains=name).pk, "variation": None, "count": 1}])
    cart.commit()
    positions = [position.pk for position in cart.positions]
    payment = {**PAYMENT, "info_data": {}}
    placed = _perform_order(event, [payment], positions, django_settings.PRETIX_EMAIL_NONE_VALUE, "en", None)
    return Order.objects.get(pk=placed["order_id"])


def change(order, **values):
    """Save values of an order, as the pages of pretix do."""
    for name, value in values.items():
        setattr(order, name, value)
    order.save(update_fields=list(values))


def left(event):
    """Return how many tickets are left."""
    return event.quotas.get().availability()[1]


def main(placed, paid, seconds):
    organizer = Organizer.objects.create(name="Hall", slug="hall")
    concert = open_event(organizer, "concert")
    delayed = open_event(organizer, "delayed", payment_term_expire_delay_days=3)
    open_end = open_event(organizer, "open-end", payment_term_expire_automatically=False)
    soon = [place(concert) for _ in range(placed)]
    press, valid = [place(concert, "press") for _ in range(3)], [place(concert) for _ in range(3)]
    past, endless = [place(delayed) for _ in range(10)], [place(open_end) for _ in range(3)]
    tickets = {event.slug: left(event) for event in (concert, delayed, open_end)}
    for order in soon[:paid]:
        order.payments.get().confirm()
    for order in valid:
        change(order, valid_if_pending=True)
    for order in Order.objects.filter(event=concert):
        change(order, expires=now() + timedelta(seconds=seconds))
    for orders in (past, endless):
        for days, order in enumerate(orders):
            change(order, expires=now() - timedelta(days=days))
    # what pretix itself makes of the delay
    over = [order for order in past if order.payment_term_expire_date <= now()]
    told = {
        "p": soon[:paid],
        "e": soon[paid:] + over,
        "n": press + valid + endless + [o for o in past if o not in over],
    }
    print(
        json.dumps(
            {status: sorted(order.pk for order in orders) for status, orders in told.items()} | {"left": tickets}
        )
    )


with scopes_disabled():
    if sys.argv[1:] == ["after"]:
        expire_orders(sender=None)
        print(f"{expire_orders.__module__}.{expire_orders.__name__}")
        print(json.dumps({event.slug: left(event) for event in Event.objects.all()}))
    else:
        main(*map(int, sys.argv[1:]))
