"""Models of the shop's own, and what Django stores of their deadlines, on real databases."""

from __future__ import annotations

from datetime import timedelta
from typing import Any

import pytest
from django.utils import timezone

from orders.store.outcomes import PaymentVerdict
from tests.contrib.django.conftest import Project, claim_and_expire
from tests.contrib.django.shop.models import Booking, Order


def test_a_model_with_a_number_for_its_state_and_names_of_its_own(project: Project) -> None:
    lapsed: list[Any] = []
    project.hooks.on_expire(lambda using, order_ids: lapsed.extend(order_ids))
    state = Booking.State
    expiry = project.expiry(
        MODEL="shop.Booking",
        STATUS_FIELD="state",
        DEADLINE_FIELD="hold_until",
        PENDING=state.OPEN,
        PAID=state.SETTLED,
        EXPIRED=state.LAPSED,
    )
    moment = timezone.now() - timedelta(seconds=1)
    bookings = [Booking.objects.using(project.alias).create(hold_until=moment) for _ in range(2)]
    assert expiry.pay(bookings[0].pk).verdict is PaymentVerdict.ACCEPTED
    expiry.enqueue(bookings[1].pk, expires_at=moment)
    assert claim_and_expire(expiry) == {"expired": 1}
    assert [booking.state for booking in Booking.objects.using(project.alias).order_by("pk")] == [5, 9]
    assert lapsed == [bookings[1].pk]


@pytest.mark.parametrize("fraction", [0, 1, 500_000, 999_999])
def test_a_deadline_is_what_django_stored(project: Project, fraction: int) -> None:
    # SQLite compares text, and Django writes no fraction that is zero.
    expiry = project.expiry()
    moment = (timezone.now() + timedelta(hours=1)).replace(microsecond=fraction)
    order = Order.objects.using(project.alias).create(expires_at=moment)
    row = expiry.store.row(str(order.pk))
    assert row is not None
    assert row.deadline == moment
    later = moment + timedelta(hours=1)
    assert expiry.extend(order.pk, expires_at=later)
    order.refresh_from_db()
    assert order.expires_at == later
    found = Order.objects.using(project.alias).filter(expires_at=later, status="pending")
    assert found.get() == order  # byte for byte as Django would have written it
    assert [each.deadline for each in expiry.store.pending(overdue=None, after=None, limit=9)] == [later]
