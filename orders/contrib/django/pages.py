"""The operators' pages: the lists with their counts, and the page of one order."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from contextlib import suppress
from typing import Any

from django.contrib import messages
from django.contrib.admin.utils import unquote
from django.core.paginator import Paginator
from django.http import Http404, HttpRequest, HttpResponse, HttpResponseRedirect
from django.utils.http import urlencode
from django.utils.timezone import get_current_timezone

from orders import process
from orders.contrib.django.frame import LIVE, MINUTES, OperatorPage
from orders.contrib.django.history import pictures, urls_of_files
from orders.contrib.django.permissions import WHOLE, Schedule
from orders.errors import OrdersError, StoreError
from orders.expiry import timeline
from orders.operate import Item, Overview, Page, Where, links
from orders.store import Pause

SIZE = 50
"""Orders on a page."""

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
        shown = self._shown(where, overview, page)
        if LIVE not in request.headers:
            shown |= {"files": urls_of_files(self.site_admin), "plots": self._plots()}
        return self.render("list", "Order expiry", **shown)

    def post(self, request: HttpRequest) -> HttpResponse:
        """Run the chosen action on the selected orders."""
        where, action = self._where(), request.POST.get("action", "")
        back = f"{self.url('changelist')}?{urlencode({'where': where})}"
        if action in {"pause", "resume"}:
            return self._stop_or_go_on(action, back)
        decoded = map(links.decode, request.POST.getlist("_selected_action"))
        order_ids = [order_id for order_id in decoded if order_id is not None]
        everything = request.POST.get("select_across") == "1" and where is Where.DEAD
        if not order_ids:
            messages.warning(request, "Nothing was done: select the orders first.")
        elif action in {"remove", "extend"} and not request.POST.get("post"):
            return self.confirm(action, order_ids, back)
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
            elif action == "extend":
                self.extend(order_ids, self.request.POST.get("minutes", ""))
            else:
                messages.warning(self.request, "Nothing was done: choose an action first.")
        except OrdersError as error:
            messages.error(self.request, f"That failed: {error}")

    def _retry_all(self) -> None:
        requeued = self.operations.retry_all()
        every = Schedule(key=None)
        self.site_admin.log_change(self.request, every, f"Requeued all {requeued} dead letters.")
        messages.success(self.request, f"{requeued} orders requeued, due now.")

    def _stop_or_go_on(self, action: str, back: str) -> HttpResponse:
        """Pause the schedule or end the pause, if the operator has confirmed it."""
        request = self.request
        if not request.POST.get("post"):
            most = MINUTES[-1]
            return self.render("pause", "Are you sure?", action=action, back=back, most=most, pause=self._pause())
        minutes, reason = request.POST.get("minutes", "").strip(), request.POST.get("reason", "").strip()
        try:
            if action == "resume":
                ended = self.operations.resume(extend=bool(request.POST.get("extend")))
                done = f"Resumed. It was {ended}." if ended else "The schedule was not paused."
            elif minutes and self.minutes(minutes) is None:
                return HttpResponseRedirect(back)
            else:
                seconds = float(minutes) * 60 if minutes else None
                begun = self.operations.pause(seconds, reason=reason[:255] or None, by=request.user.get_username())
                done = f"The schedule is {begun}."
        except OrdersError as error:
            messages.error(request, f"That failed: {error}")
        else:
            self.site_admin.log_change(request, Schedule(key=WHOLE), done)
            messages.success(request, done)
        return HttpResponseRedirect(back)

    def _pause(self) -> Pause | None:
        """Return the pause; None if the schedule is not paused, or the database cannot tell."""
        with suppress(StoreError):
            return self.operations.paused()
        return None

    def _plots(self) -> Sequence[Mapping[str, Any]]:
        """Return the plots; none if this user of Redis may not read the history."""
        with suppress(OrdersError):
            return pictures(self.operations)
        return ()

    def _where(self) -> Where:
        try:
            return Where(self.request.GET.get("where", Where.PENDING))
        except ValueError:
            return Where.PENDING

    def _shown(self, where: Where, overview: Overview, page: Page) -> dict[str, Any]:
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
            "pause": self._pause() or ("paused" if overview.is_paused else None),
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
            known = self.operations.explain(order_id)
        except OrdersError as error:
            return self.render("order", f"Order {shown}", status=503, problem=str(error), shown=shown)
        return self.render(
            "order",
            f"Order {shown}",
            shown=shown,
            history=self.url("history", order_id),
            known=known,
            now=known.now,
            steps=timeline(known, get_current_timezone()),
            is_extendable=known.state == process.current().settings.pending,
            is_known=bool(known.scheduled or known.dead_letter),
        )

    def post(self, request: HttpRequest, object_id: str) -> HttpResponse:
        """Run the chosen action."""
        order_id = self._order_id(object_id)
        action = request.POST.get("action")
        if action == "remove" and not request.POST.get("post"):
            return self.confirm(action, [order_id], self.url("change", order_id))
        try:
            if action == "retry":
                self.retry([order_id])
            elif action == "remove":
                self.remove([order_id])
            elif action == "extend":
                self.extend([order_id], request.POST.get("minutes", ""))
        except OrdersError as error:
            messages.error(request, f"That failed: {error}")
        return HttpResponseRedirect(self.url("change", order_id))

    def _order_id(self, object_id: str) -> str:
        order_id = links.decode(unquote(object_id))
        if order_id is None:
            raise Http404("not a valid order id")
        return order_id
