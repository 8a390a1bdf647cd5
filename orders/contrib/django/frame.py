"""The base of the operators' pages: permissions, the frame of the admin site, and the actions on orders."""

from __future__ import annotations

from collections.abc import Sequence
from datetime import timedelta
from functools import cache
from pathlib import Path
from typing import TYPE_CHECKING, Any, cast

from django.contrib import admin, messages
from django.contrib.admin.utils import quote
from django.core.exceptions import PermissionDenied
from django.http import HttpRequest, HttpResponseBase
from django.template.response import TemplateResponse
from django.urls import reverse
from django.views.generic import View

from orders import process
from orders.contrib.django.permissions import Schedule
from orders.errors import InvalidDeadline, InvalidOrderId
from orders.operate import Operations, links

if TYPE_CHECKING:
    from orders.contrib.django.expiry import DjangoExpiry


LIVE = "X-Orders-Live"
"""The header of a request by ``live.js``, for what is inside the frame of the admin site. It shows no messages, so that
they wait for somebody."""

MINUTES = range(1, 366 * 24 * 60)
"""By how many minutes an operator may extend an order, or pause the schedule."""


class OperatorPage(View):
    """The base of the operators' pages: permissions, the frame of the admin site, and the actions on orders."""

    site_admin: admin.ModelAdmin[Schedule] = cast("admin.ModelAdmin[Schedule]", None)

    def dispatch(self, request: HttpRequest, *args: Any, **kwargs: Any) -> HttpResponseBase:
        """Require the view permission, and the change permission for an action."""
        is_safe = request.method in {"GET", "HEAD", "OPTIONS"}
        ours = self.site_admin
        if not (ours.has_view_or_change_permission(request) if is_safe else ours.has_change_permission(request)):
            raise PermissionDenied
        return super().dispatch(request, *args, **kwargs)

    @property
    def operations(self) -> Operations:
        """The operations, with Django's settings. They raise an error if Redis fails."""
        return Operations(cast("DjangoExpiry", process.current()).at_once)

    def render(self, template: str, title: str, *, status: int = 200, **context: Any) -> TemplateResponse:
        """Return a page in the frame of the admin site."""
        ours, request = self.site_admin, self.request
        request.current_app = ours.admin_site.name
        is_live = LIVE in request.headers
        frame = {
            "frame": f"order_expiry/{'live' if is_live else 'frame'}.html",
            "is_live": is_live,
            **ours.admin_site.each_context(request),
            "title": title,
            "opts": ours.opts,
            "may_change": ours.has_change_permission(request),
            "has_listed_breadcrumbs": _has_listed_breadcrumbs(),
        }
        return TemplateResponse(request, f"order_expiry/{template}.html", {**frame, **context}, status=status)

    def url(self, page: str, order_id: str | None = None) -> str:
        """Return the URL of a page: "changelist", or an order's "change" or "history"."""
        arguments = [] if order_id is None else [quote(links.encode(order_id))]
        name = f"admin:order_expiry_schedule_{page}"
        return reverse(name, args=arguments, current_app=self.site_admin.admin_site.name)

    def retry(self, order_ids: Sequence[str]) -> None:
        """Requeue dead letters, log each, and show a message."""
        requeued = self.operations.retry(order_ids)
        self.log(requeued, "Requeued, due now.")
        if requeued:
            messages.success(self.request, f"{_count(requeued)} requeued, due now.")
        if missing := set(order_ids) - set(requeued):
            messages.warning(self.request, f"No longer in the dead letters: {_names(sorted(missing))}.")

    def remove(self, order_ids: Sequence[str]) -> None:
        """Remove orders from the schedule, log each, and show a message."""
        removed = self.operations.remove(order_ids)
        self.log(order_ids, "Removed from the schedule.")
        message = f"{removed} of {_count(order_ids)} removed from the schedule. Their rows did not change."
        messages.success(self.request, message)

    def extend(self, order_ids: Sequence[str], minutes: str) -> None:
        """Give pending orders more time, log each, and show a message."""
        number = self.minutes(minutes)
        if number is None:
            return
        extended: list[str] = []
        left: list[str] = []
        for order_id in order_ids:
            try:
                deadline = self.operations.extend(order_id, timedelta(minutes=number))
            except (InvalidOrderId, InvalidDeadline) as error:  # no reason to leave out the others
                messages.error(self.request, f"That failed: {error}")
                continue
            (extended if deadline else left).append(order_id)
            if deadline:
                self.log([order_id], f"Extended by {minutes} minutes, to {deadline:%Y-%m-%d %H:%M:%S} UTC.")
        if extended:
            messages.success(self.request, f"{_count(extended)} extended by {minutes} minutes.")
        if left:
            messages.warning(self.request, f"Not extended, because not pending: {_names(left)}.")

    def minutes(self, text: str) -> int | None:
        """Return the minutes that an operator has typed; None, with a message, if it is not such a number."""
        if text.isdecimal() and len(text) <= 9 and int(text) in MINUTES:
            return int(text)
        message = f"Nothing was done: minutes must be a whole number from {MINUTES[0]} to {MINUTES[-1]:,}."
        messages.error(self.request, message)
        return None

    def log(self, order_ids: Sequence[str], message: str) -> None:
        """Add an entry to the admin site's log for each order."""
        for order_id in order_ids:
            self.site_admin.log_change(self.request, Schedule.of(order_id), message)

    def confirm(self, action: str, order_ids: Sequence[str], back: str) -> TemplateResponse:
        """Return the page that asks for confirmation of "remove" or "extend"."""
        chosen = [{"key": links.encode(order_id), "shown": links.show(order_id)} for order_id in order_ids]
        return self.render(
            action, "Are you sure?", chosen=chosen, number=_count(order_ids), most=MINUTES[-1], back=back
        )


@cache
def _has_listed_breadcrumbs() -> bool:
    """Return whether the admin site writes its breadcrumbs as a list, as in Django 6.1."""
    base = Path(admin.__file__).parent / "templates" / "admin" / "base.html"
    return '<ol class="breadcrumbs">' in base.read_text()


def _count(order_ids: Sequence[str]) -> str:
    return f"{len(order_ids)} {'order' if len(order_ids) == 1 else 'orders'}"


def _names(order_ids: Sequence[str]) -> str:
    return ", ".join(map(links.show, order_ids[:10])) + (", …" if len(order_ids) > 10 else "")
