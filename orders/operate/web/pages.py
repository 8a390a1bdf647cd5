"""The pages that show something. A page that htmx polls is asked for its live part only."""

from __future__ import annotations

from collections.abc import Mapping
from datetime import timedelta
from typing import Any

from flask import Blueprint, Response, abort, current_app, jsonify, redirect, render_template, request, url_for
from flask.typing import ResponseReturnValue

from orders.expiry import timeline
from orders.operate import Page, Where, links, plots
from orders.operate.doctor import Severity
from orders.operate.web.state import Glance, State, tone

pages = Blueprint("pages", __name__)

SIZE = 50
"""Orders on a page."""

NEXT = 6
"""Orders among those that expire next."""

KEPT = "kept"
"""The list of orders that the shop's condition keeps, beside those of `Where`."""

LISTS: Mapping[str, tuple[str, str, str]] = {
    "pending": (
        "Due",
        "They are not due yet.",
        "Nothing is scheduled. Call orders.enqueue when an order is placed.",
    ),
    "due": ("Due since", "They are due. The next sweep claims them.", "Nothing is due and unclaimed."),
    "leased": ("Lease ends", "A sweep has claimed them for workers.", "Workers have nothing to do."),
    KEPT: (
        "Deadline",
        "They are pending and due, but the shop's condition keeps them.",
        "The shop's condition keeps no order from expiring.",
    ),
    "dead": (
        "Buried",
        "They could not be expired. Fix the cause, then requeue them.",
        "There are no dead letters. An order that cannot be expired is buried here after ORDERS_MAX_ATTEMPTS.",
    ),
}
"""The heading of its times, what a list holds, and what it says if it is empty."""

WITHIN: Mapping[str, timedelta] = {
    "1 minute": timedelta(minutes=1),
    "10 minutes": timedelta(minutes=10),
    "1 hour": timedelta(hours=1),
    "1 day": timedelta(days=1),
}
"""The filters of pending orders: those that are due within such a time."""


def state() -> State:
    """Return what the pages of this app show."""
    found: State = current_app.extensions["order_expiry_page"]
    return found


def render(template: str, glance: Glance, **shown: Any) -> Response:
    """Return a page, or its live part if htmx asks for it: status 503 if something could not be read."""
    name = f"_{template}" if "HX-Request" in request.headers else template
    now = glance.overview.now if glance.overview else state().expiry.held_until(0)
    counts: dict[str, int | None] = {KEPT: glance.kept}
    if glance.overview:
        counts |= {where.value: number for where, number in glance.overview.counts.items()}
    context = {"glance": glance, "now": now, "tiles": {name: counts.get(name) for name in LISTS}, **shown}
    return Response(render_template(f"{name}.html", **context), 503 if glance.problems else 200)


@pages.get("/")
def overview() -> ResponseReturnValue:
    """Show the overview, or the order that was searched for."""
    if searched := request.args.get("q", "").strip():
        return redirect(url_for("pages.order", id=links.encode(searched)), 303)
    glance, operations = state().glance(), state().operations
    found = glance.overview
    following = found and glance.read(lambda: operations.page(Where.PENDING, size=NEXT, overview=found))
    is_live = "HX-Request" in request.headers
    return render(
        "overview",
        glance,
        following=following.items if following else (),
        reasons=glance.read(operations.reasons) if found and found.counts[Where.DEAD] else (),
        webhook_troubles=glance.read(state().webhook_troubles),
        history=None if is_live else glance.read(lambda: plots.hour_and_day(operations)),
        offset=plots.offset(),
    )


@pages.get("/history.json")
def history() -> ResponseReturnValue:
    """Return the points of a plot: of the last hour or of the last day."""
    span = request.args.get("span", plots.HOUR)
    if span not in plots.SPANS:
        abort(404)
    return jsonify(plots.columns(state().operations, span))


@pages.get("/forecast")
def forecast() -> ResponseReturnValue:
    """Show how many orders will expire in the next 24 hours."""
    glance = Glance(state().expiry.settings)
    return render("forecast", glance, forecast=glance.read(state().forecast.value))


@pages.get("/orders")
def listing() -> ResponseReturnValue:
    """Show a page of a list."""
    where = request.args.get("where", Where.PENDING.value)
    if where not in LISTS:
        abort(404, f"There is no list {where!r}. The lists are {', '.join(LISTS)}.")
    glance, number = state().glance(), request.args.get("p", "")
    within, reason = request.args.get("within", ""), request.args.get("reason", "")
    chosen = int(number[:9]) if number.isdecimal() else 1
    page = glance.read(lambda: _page(glance, where, chosen, within, reason))
    time_heading, hint, empty = LISTS[where]
    is_dead = where == Where.DEAD.value
    return render(
        "list",
        glance,
        where=where,
        page=page,
        time_heading=time_heading,
        hint=hint,
        empty="No order matches the filter." if within or reason else empty,
        within=within,
        reason=reason,
        reasons=(glance.read(state().operations.reasons) or ()) if is_dead else (),
        spans=WITHIN,
    )


def _page(glance: Glance, where: str, number: int, within: str, reason: str) -> Page | None:
    operations = state().operations
    if where == KEPT:
        return operations.kept(number=number, size=SIZE)
    if glance.overview is None:
        return None
    return operations.page(
        Where(where),
        number=number,
        size=SIZE,
        overview=glance.overview,
        within=WITHIN.get(within),
        reason=reason or None,
    )


@pages.get("/order")
def order() -> ResponseReturnValue:
    """Show one order: its timeline, and what happens next. Its id may be any member of the schedule."""
    order_id = links.decode(request.args.get("id", ""))
    if not order_id:
        abort(404, "This is not a valid order id.")
    glance = Glance(state().expiry.settings)
    known = glance.read(lambda: state().operations.explain(order_id))
    is_known = known and (known.state is not None or known.scheduled or known.dead_letter)
    page = render(
        "order",
        glance,
        order_id=order_id,
        known=known,
        steps=timeline(known) if known else (),
        is_pending=known and known.state == glance.settings.pending,
        **({"now": known.now} if known else {}),
    )
    if known and not is_known:
        page.status_code = 404
    return page


@pages.get("/doctor")
def doctor() -> ResponseReturnValue:
    """Show what the doctor finds. The card of the overview asks for its part."""
    glance = Glance(state().expiry.settings)
    examination, at = state().examination.value()
    order = (Severity.ERROR, Severity.WARNING, Severity.UNKNOWN, Severity.OK)
    found = {each: [finding for finding in examination.findings if finding.severity is each] for each in order}
    return render("doctor", glance, found=found, worst=examination.worst, at=at, tone=tone)
