"""What the operators' pages share: permissions, the frame of the admin site, and what is done to orders."""

from __future__ import annotations

from collections.abc import Sequence
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
from orders.contrib.django import links
from orders.contrib.django.permissions import Schedule
from orders.operate import Operations

if TYPE_CHECKING:
    from orders.contrib.django.expiry import DjangoExpiry


class OperatorPage(View):
    """What the pages share: permissions, the frame of the admin site, and what was asked to be done."""

    site_admin: admin.ModelAdmin[Schedule] = cast("admin.ModelAdmin[Schedule]", None)

    def dispatch(self, request: HttpRequest, *args: Any, **kwargs: Any) -> HttpResponseBase:
        """Let through who may look and, if something is to be done, who may change."""
        may, is_safe = self.site_admin, request.method in {"GET", "HEAD", "OPTIONS"}
        if not (may.has_view_or_change_permission(request) if is_safe else may.has_change_permission(request)):
            raise PermissionDenied
        return super().dispatch(request, *args, **kwargs)

    @property
    def operations(self) -> Operations:
        """What is done, on the instance that Django's settings have made: if Redis fails, the operator is told."""
        return Operations(cast("DjangoExpiry", process.current()).at_once)

    def render(self, template: str, title: str, *, status: int = 200, **context: Any) -> TemplateResponse:
        """Return a page in the frame of the admin site."""
        ours, request = self.site_admin, self.request
        request.current_app = ours.admin_site.name
        frame = {
            **ours.admin_site.each_context(request),
            "title": title,
            "opts": ours.opts,
            "may_change": ours.has_change_permission(request),
            "has_listed_breadcrumbs": _has_listed_breadcrumbs(),
        }
        return TemplateResponse(request, f"order_expiry/{template}.html", {**frame, **context}, status=status)

    def url(self, page: str, order_id: str | None = None) -> str:
        """Return the address of a page of this site: "changelist", or an order's "change" or "history"."""
        arguments = [] if order_id is None else [quote(links.encode(order_id))]
        name = f"admin:order_expiry_schedule_{page}"
        return reverse(name, args=arguments, current_app=self.site_admin.admin_site.name)

    def retry(self, order_ids: Sequence[str]) -> None:
        """Retry dead letters, log each, and tell."""
        retried = self.operations.retry(order_ids)
        self.log(retried, "Retried: scheduled again, due now.")
        if retried:
            messages.success(self.request, f"{_count(retried)} scheduled again, due now.")
        if missing := set(order_ids) - set(retried):
            messages.warning(self.request, f"No dead letter any more: {_names(sorted(missing))}.")

    def remove(self, order_ids: Sequence[str]) -> None:
        """Remove orders from the schedule, log each, and tell."""
        removed = self.operations.remove(order_ids)
        self.log(order_ids, "Removed from the schedule.")
        told = f"{removed} of {_count(order_ids)} removed from the schedule. Their rows were left alone."
        messages.success(self.request, told)

    def log(self, order_ids: Sequence[str], told: str) -> None:
        """Write into the log of the admin site what was done to orders."""
        for order_id in order_ids:
            self.site_admin.log_change(self.request, Schedule.of(order_id), told)

    def confirm_removal(self, order_ids: Sequence[str], back: str) -> TemplateResponse:
        """Ask before orders are removed."""
        chosen = [{"key": links.encode(order_id), "shown": links.show(order_id)} for order_id in order_ids]
        return self.render("remove", "Are you sure?", chosen=chosen, back=back)


@cache
def _has_listed_breadcrumbs() -> bool:
    """Tell whether this Django's admin site writes its breadcrumbs as a list, as 6.1 does."""
    base = Path(admin.__file__).parent / "templates" / "admin" / "base.html"
    return '<ol class="breadcrumbs">' in base.read_text()


def _count(order_ids: Sequence[str]) -> str:
    return f"{len(order_ids)} {'order' if len(order_ids) == 1 else 'orders'}"


def _names(order_ids: Sequence[str]) -> str:
    return ", ".join(map(links.show, order_ids[:10])) + (", …" if len(order_ids) > 10 else "")
