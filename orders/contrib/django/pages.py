"""The operators' pages: the lists with their counts, and the page of one order."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from datetime import timedelta
from typing import Any

from django.contrib import messages
from django.contrib.admin.utils import unquote
from django.core.paginator import Paginator
from django.http import Http404, HttpRequest, HttpResponse, HttpResponseRedirect
from django.utils.http import urlencode

from orders import process
from orders.contrib.django import links
from orders.contrib.django.frame import OperatorPage
from orders.contrib.django.permissions import Schedule
from orders.contrib.django.timeline import timeline
from orders.errors import OrdersError
from orders.operate import Item, Overview, Page, Where

SIZE = 50
"""Orders on a page."""

MINUTES = range(1, 366 * 24 * 60)
"""By how many minutes an operator may extend an order."""

HINTS = {
    Where.PENDING: "They are not due yet.",
    Where.DUE: "They are due. The next sweep claims them.",
    Where.LEASED: "A sweep has claimed them. A worker has them, or will get them soon.",
    Where.DEAD: "They could not be expired. Fix the cause, then retry them.",
}
TIME_HEADINGS = {Where.PENDING: "Due", Where.DUE: "Due since", Where.LEASED: "Lease ends", Where.DEAD: "Buried"}


class ListPage(OperatorPage):
    """The number of orders in each state, and a page of the orders in one state."""

    def get(self, request: HttpRequest) -> HttpResponse:
        """Show the page, or redirect to the order that was searched for."""
        if searched := request.GET.get("q", "").strip():
            return HttpResponseRedirect(self.url("change", searched))
        where = self._where()
        number = request.GET.get("p", "")
        try:
            overview = self.operations.overview()
            page = self.operations.page(
                where, number=int(number[:9]) if number.isdecimal() else 1, size=SIZE, overview=overview
            )
        except OrdersError as error:
            return self.render("list", "Order expiry", status=503, problem=str(error), where=where)
        return self.render("list", "Order expiry", **self._shown(where, overview, page))

    def post(self, request: HttpRequest) -> HttpResponse:
        """Run the chosen action on the selected orders."""
        where, action = self._where(), request.POST.get("action", "")
        back = f"{self.url('changelist')}?{urlencode({'where': where})}"
        decoded = map(links.decode, request.POST.getlist("_selected_action"))
        order_ids = [order_id for order_id in decoded if order_id is not None]
        everything = request.POST.get("select_across") == "1" and where is Where.DEAD
        if not order_ids:
            messages.warning(request, "Nothing was done: select the orders first.")
        elif action == "remove" and not request.POST.get("post"):
            return self.confirm_removal(order_ids, back)
        else:
            self._act(action, order_ids, everything=everything)
        return HttpResponseRedirect(back)

    def _act(self, action: str, order_ids: Sequence[str], *, everything: bool) -> None:
        try:
            if action == "retry" and everything:
                self._retry_all()
            elif action == "retry":
                self.retry(order_ids)
            elif action == "remove":
                self.remove(order_ids)
            else:
                messages.warning(self.request, "Nothing was done: choose an action first.")
        except OrdersError as error:
            messages.error(self.request, f"That failed: {error}")

    def _retry_all(self) -> None:
        requeued = self.operations.retry_all()
        every = Schedule(key=None)
        self.site_admin.log_change(self.request, every, f"Requeued all {requeued} dead letters.")
        messages.success(self.request, f"{requeued} orders requeued, due now.")

    def _where(self) -> Where:
        try:
            return Where(self.request.GET.get("where", Where.PENDING))
        except ValueError:
            return Where.PENDING

    def _shown(self, where: Where, overview: Overview, page: Page) -> Mapping[str, Any]:
        paginator = Paginator(range(page.reachable), SIZE)
        interval = process.current().settings.sweep_interval
        return {
            "where": where,
            "hint": HINTS[where],
            "time_heading": TIME_HEADINGS[where],
            "tiles": [
                {"where": tile, "count": count, "is_bad": tile is Where.DEAD and count > 0}
                for tile, count in overview.counts.items()
            ],
            "swept_ago": overview.swept_ago,
            "is_swept": overview.swept_ago is not None and overview.swept_ago <= 3 * interval,
            "interval": interval,
            "now": overview.now,
            "page": page,
            "rows": [self._row(item) for item in page.items],
            "page_range": list(paginator.get_elided_page_range(page.number)),
            "ellipsis": Paginator.ELLIPSIS,
        }

    def _row(self, item: Item) -> dict[str, Any]:
        order_id = item.order_id
        address = self.url("change", order_id)
        return {"key": links.encode(order_id), "shown": links.show(order_id), "address": address, "item": item}


class OrderPage(OperatorPage):
    """What is known about one order, and the actions on it."""

    def get(self, request: HttpRequest, object_id: str) -> HttpResponse:
        """Show the page."""
        order_id = self._order_id(object_id)
        shown = links.show(order_id)
        try:
            now = self.operations.now()
            known = self.operations.explain(order_id)
        except OrdersError as error:
            return self.render("order", f"Order {shown}", status=503, problem=str(error), shown=shown)
        return self.render(
            "order",
            f"Order {shown}",
            shown=shown,
            history=self.url("history", order_id),
            known=known,
            now=now,
            steps=timeline(known, now),
            is_extendable=known.state == process.current().settings.pending,
            is_known=bool(known.scheduled or known.dead_letter),
        )

    def post(self, request: HttpRequest, object_id: str) -> HttpResponse:
        """Run the chosen action."""
        order_id = self._order_id(object_id)
        action = request.POST.get("action")
        if action == "remove" and not request.POST.get("post"):
            return self.confirm_removal([order_id], self.url("change", order_id))
        try:
            if action == "retry":
                self.retry([order_id])
            elif action == "remove":
                self.remove([order_id])
            elif action == "extend":
                self._extend(order_id, request.POST.get("minutes", ""))
        except OrdersError as error:
            messages.error(request, f"That failed: {error}")
        return HttpResponseRedirect(self.url("change", order_id))

    def _extend(self, order_id: str, minutes: str) -> None:
        if not minutes.isdecimal() or len(minutes) > 9 or int(minutes) not in MINUTES:
            message = f"Nothing was done: minutes must be a whole number from {MINUTES.start} to {MINUTES.stop - 1:,}."
            messages.error(self.request, message)
            return
        deadline = self.operations.extend(order_id, timedelta(minutes=int(minutes)))
        if deadline is None:
            messages.warning(self.request, "Nothing was done: the order is not pending.")
            return
        self.log([order_id], f"Extended by {minutes} minutes, to {deadline:%Y-%m-%d %H:%M:%S} UTC.")
        messages.success(self.request, f"Extended by {minutes} minutes.")

    def _order_id(self, object_id: str) -> str:
        order_id = links.decode(unquote(object_id))
        if order_id is None:
            raise Http404("not a valid order id")
        return order_id
