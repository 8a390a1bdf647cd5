"""The operators' pages in Django's admin site: the schedule, its dead letters, and each order in it.

They are the admin of a model without a table, `orders.contrib.django.permissions.Schedule`. Its permissions apply:
``order_expiry.view_schedule`` to view, ``order_expiry.change_schedule`` to retry, remove and extend.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Any, cast

from django.contrib import admin
from django.http import HttpRequest, HttpResponse
from django.urls import URLPattern, path

from orders.contrib.django.history import PointsPage, serve
from orders.contrib.django.pages import ListPage, OrderPage
from orders.contrib.django.permissions import Schedule
from orders.operate import links

if TYPE_CHECKING:
    ScheduleModelAdmin = admin.ModelAdmin[Schedule]
else:
    ScheduleModelAdmin = admin.ModelAdmin


@admin.register(Schedule)
class ScheduleAdmin(ScheduleModelAdmin):
    """The list, the page of an order, and the history of what operators did to it."""

    def changelist_view(self, request: HttpRequest, extra_context: dict[str, Any] | None = None) -> HttpResponse:
        """Show the list, or run the action that was chosen in it."""
        return cast("HttpResponse", ListPage.as_view(site_admin=self)(request))

    def get_urls(self) -> list[URLPattern]:
        """Add the points and the files of the plots to the pages of the admin."""
        view = self.admin_site.admin_view
        ours = [
            path(
                "history/<str:span>.json",
                view(PointsPage.as_view(site_admin=self)),
                name="order_expiry_schedule_points",
            ),
            path("files/<str:name>", view(serve, cacheable=True), name="order_expiry_schedule_file"),
        ]
        return [*ours, *super().get_urls()]

    def change_view(
        self,
        request: HttpRequest,
        object_id: str,
        form_url: str = "",
        extra_context: dict[str, Any] | None = None,
    ) -> HttpResponse:
        """Show an order, or run the action that was chosen on its page."""
        return cast("HttpResponse", OrderPage.as_view(site_admin=self)(request, object_id=object_id))

    def get_object(self, request: HttpRequest, object_id: str, from_field: str | None = None) -> Schedule | None:
        """Return the object of a history page. It need not be scheduled now."""
        order_id = links.decode(object_id)
        return None if order_id is None else Schedule.of(order_id)

    def has_add_permission(self, request: HttpRequest) -> bool:
        """Return False: the shop creates orders."""
        return False

    def has_delete_permission(self, request: HttpRequest, obj: Schedule | None = None) -> bool:
        """Return False: removing an order from the schedule deletes no row, and needs the change permission."""
        return False
