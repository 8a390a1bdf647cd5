"""The plots on the operators' list: their points, and the files that draw them, which ``orders web`` uses too."""

from __future__ import annotations

import hashlib
import json
from collections.abc import Mapping, Sequence
from datetime import timedelta
from functools import cache
from typing import Any

from django.contrib import admin
from django.http import Http404, HttpRequest, HttpResponse, JsonResponse
from django.urls import reverse
from django.utils.cache import patch_cache_control
from django.utils.timezone import localtime

from orders.contrib.django.frame import OperatorPage
from orders.contrib.django.permissions import Schedule
from orders.errors import OrdersError
from orders.operate import Operations, plots

FILES: Mapping[str, str] = {
    "uPlot.min.css": "vendor/uplot/uPlot.min.css",
    "history.css": "history.css",
    "uPlot.iife.min.js": "vendor/uplot/uPlot.iife.min.js",
    "history.js": "history.js",
}
"""The files, in the order in which a page needs them, by the names in their URLs."""

TYPES: Mapping[str, str] = {"css": "text/css", "js": "text/javascript"}
"""Their types by their endings. That of a host may differ, and browsers run no script of another type."""

DAY = 24 * 3600
"""Seconds for which a browser keeps a file. Its URL changes with it."""


class PointsPage(OperatorPage):
    """The points of a plot, as JSON."""

    def get(self, request: HttpRequest, span: str) -> HttpResponse:
        """Return the points of the last hour or day; status 503 if Redis fails."""
        if span not in plots.SPANS:
            raise Http404("not a span of time")
        try:
            return JsonResponse(plots.columns(self.operations, span))
        except OrdersError as error:
            return JsonResponse({"error": str(error)}, status=503)


def serve(request: HttpRequest, name: str) -> HttpResponse:
    """Return one of the `FILES`. They are no static files of this app, because ``orders web`` has them."""
    if name not in FILES:
        raise Http404("no such file")
    content, _ = _file(name)
    response = HttpResponse(content, content_type=f"{TYPES[name.rpartition('.')[2]]}; charset=utf-8")
    patch_cache_control(response, private=True, max_age=DAY)
    return response


def pictures(operations: Operations) -> Sequence[Mapping[str, Any]]:
    """Return what the template needs for each plot: two of the last hour, two of the last day."""
    offset = (localtime().utcoffset() or timedelta()).total_seconds()
    return [
        {"span": span, "kind": kind, "title": title, "points": json.dumps(points), "summary": summary, "offset": offset}
        for span, (points, summary) in plots.hour_and_day(operations).items()
        for kind, title in (("counts", "Orders"), ("lateness", "Lateness"))
    ]


def urls_of_files(site: admin.ModelAdmin[Schedule]) -> Mapping[str, Sequence[str]]:
    """Return the URLs of the style sheets and of the scripts. They change with the files, so that none is outdated."""
    found: dict[str, list[str]] = {"css": [], "js": []}
    for name in FILES:
        address = reverse("admin:order_expiry_schedule_file", args=[name], current_app=site.admin_site.name)
        found[name.rpartition(".")[2]].append(f"{address}?{_file(name)[1]}")
    return found


@cache
def _file(name: str) -> tuple[bytes, str]:
    """Return what a file contains, and a text that changes with it."""
    content = plots.STATIC.joinpath(*FILES[name].split("/")).read_bytes()
    return content, hashlib.blake2s(content, digest_size=6).hexdigest()
