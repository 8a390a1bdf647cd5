"""The operators' page in Django's admin site: the schedule, its dead letters, and each order in it.

It is the admin of a model without a table, `orders.contrib.django.permissions.Schedule`, whose permissions decide:
``order_expiry.view_schedule`` to look, ``order_expiry.change_schedule`` to retry, remove and extend.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Any, cast

from django.contrib import admin
from django.http import HttpRequest, HttpResponse

from orders.contrib.django import links
from orders.contrib.django.pages import ListPage, OrderPage
from orders.contrib.django.permissions import Schedule

if TYPE_CHECKING:
    ScheduleModelAdmin = admin.ModelAdmin[Schedule]
else:
    ScheduleModelAdmin = admin.ModelAdmin


@admin.register(Schedule)
class ScheduleAdmin(ScheduleModelAdmin):
    """The list, the page of an order and the history of what operators did, in place of those of a table."""

    def changelist_view(self, request: HttpRequest, extra_context: dict[str, Any] | None = None) -> HttpResponse:
        """Show the list, or do what was chosen in it."""
        return cast("HttpResponse", ListPage.as_view(site_admin=self)(request))

    def change_view(
        self,
        request: HttpRequest,
        object_id: str,
        form_url: str = "",
        extra_context: dict[str, Any] | None = None,
    ) -> HttpResponse:
        """Show an order, or do what was chosen on its page."""
        return cast("HttpResponse", OrderPage.as_view(site_admin=self)(request, object_id=object_id))

    def get_object(self, request: HttpRequest, object_id: str, from_field: str | None = None) -> Schedule | None:
        """Return what the history names: any id may have been in the schedule."""
        order_id = links.decode(object_id)
        return None if order_id is None else Schedule.of(order_id)

    def has_add_permission(self, request: HttpRequest) -> bool:
        """Orders come from the shop."""
        return False

    def has_delete_permission(self, request: HttpRequest, obj: Schedule | None = None) -> bool:
        """Removing from the schedule deletes nothing, and needs the permission to change it."""
        return False
