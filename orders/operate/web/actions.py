"""The pages that change something: each asks first, says how many and which orders, and logs who did it."""

from __future__ import annotations

import logging
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from datetime import timedelta
from typing import Any

from flask import Blueprint, abort, flash, g, redirect, render_template, request, url_for
from flask.typing import ResponseReturnValue

from orders.errors import InvalidDeadline, InvalidOrderId, OrdersError
from orders.logs import about
from orders.operate import Operations, Where, counted, links
from orders.operate.web.pages import LISTS, state

logger = logging.getLogger(__name__)

pages = Blueprint("actions", __name__)

MINUTES = range(1, 366 * 24 * 60)
"""By how many minutes an operator may extend or hold orders, or pause the schedule."""

SHOWN = 20
"""Ids that a confirmation shows before the rest is folded away."""


@dataclass(frozen=True, slots=True)
class Result:
    """What an action did."""

    done: Sequence[str]
    """The orders that it changed."""
    what: str
    """What it did with them, after their number: "requeued, due now"."""
    left: Sequence[str] = ()
    """The orders that it did not change."""
    why: str = ""
    """Why not, before their ids."""


@dataclass(frozen=True, slots=True)
class Action:
    """Something that an operator does with orders."""

    verb: str
    """On the button."""
    effect: str
    """What it does, for the confirmation."""
    run: Callable[[Operations, Sequence[str], int], Result]
    takes_minutes: bool = False
    is_bad: bool = False
    """Whether it cannot be undone."""


def _extend(operations: Operations, order_ids: Sequence[str], minutes: int) -> Result:
    by = timedelta(minutes=minutes)
    return _each(order_ids, lambda order_id: operations.extend(order_id, by), f"extended by {minutes} min")


def _hold(operations: Operations, order_ids: Sequence[str], minutes: int) -> Result:
    by = timedelta(minutes=minutes)
    return _each(order_ids, lambda order_id: operations.hold(order_id, by), f"held for at least {minutes} min")


def _each(order_ids: Sequence[str], change: Callable[[str], object], what: str) -> Result:
    done: list[str] = []
    left: list[str] = []
    for order_id in order_ids:
        try:
            (done if change(order_id) else left).append(order_id)
        except (InvalidOrderId, InvalidDeadline):  # no reason to leave out the others
            left.append(order_id)
    return Result(done, what, left, "Not changed, because they are not pending")


def _expire(operations: Operations, order_ids: Sequence[str], _: int) -> Result:
    done = operations.expire_now(order_ids)
    left = sorted(set(order_ids) - set(done))
    return Result(done, "due now; the next sweep expires them", left, "Not changed, because they are not pending")


def _requeue(operations: Operations, order_ids: Sequence[str], _: int) -> Result:
    done = operations.retry(order_ids)
    left = sorted(set(order_ids) - set(done))
    return Result(done, "requeued, due now", left, "No longer among the dead letters")


def _remove(operations: Operations, order_ids: Sequence[str], _: int) -> Result:
    operations.remove(order_ids)
    return Result(order_ids, "removed from the schedule; their rows did not change")


ACTIONS = {
    "extend": Action("Extend", "Their deadline moves, from where it is or, if it has passed, from now.", _extend, True),
    "hold": Action("Hold", "They do not expire before then. A later deadline stays.", _hold, True),
    "expire": Action(
        "Expire now",
        "Their deadline becomes now, and the next sweep expires them. A payment that comes first still counts.",
        _expire,
        is_bad=True,
    ),
    "requeue": Action("Requeue", "They are due now, with all their attempts.", _requeue),
    "remove": Action(
        "Remove",
        "They leave the schedule and the dead letters. Their rows do not change: a row that stays pending is found by "
        "reconcile once it is overdue, and scheduled again.",
        _remove,
        is_bad=True,
    ),
}

OF_LISTS = {
    "pending": ("extend", "hold", "expire", "remove"),
    "due": ("extend", "hold", "remove"),
    "leased": ("extend", "hold", "remove"),
    "kept": ("extend", "hold", "remove"),
    "dead": ("requeue", "remove"),
}
"""The actions on the orders of each list."""


@pages.app_context_processor
def _known() -> dict[str, Any]:
    return {"actions": ACTIONS, "of_lists": OF_LISTS}


@pages.post("/confirm")
def confirm() -> ResponseReturnValue:
    """Ask whether to do something with orders, and say how many and which."""
    action, order_ids = _action(), _chosen()
    if not order_ids:
        flash("Nothing was done: tick the orders first.", "warn")
        return redirect(_back(), 303)
    return render_template(
        "confirm.html",
        name=request.form["action"],
        action=action,
        order_ids=order_ids,
        what=counted(len(order_ids), "order"),
        shown=SHOWN,
        most=MINUTES[-1],
        back=_back(),
        form=request.form,
    )


@pages.post("/act")
def act() -> ResponseReturnValue:
    """Do it, after the confirmation."""
    action, order_ids, minutes = _action(), _chosen(), 0
    if action.takes_minutes:
        minutes = _minutes(request.form.get("minutes", ""))
    try:
        result = action.run(state().operations, order_ids, minutes)
    except OrdersError as error:
        flash(f"That failed: {error}", "bad")
        return redirect(_back(), 303)
    log(request.form["action"], f"{counted(len(result.done), 'order')} {result.what}", result.done)
    if result.done:
        flash(f"{counted(len(result.done), 'order')} {result.what}.", "good")
    if result.left:
        named = ", ".join(map(links.show, result.left[:10])) + (", …" if len(result.left) > 10 else "")
        flash(f"{result.why}: {named}.", "warn")
    return redirect(_back(), 303)


@pages.get("/pause")
def pause_page() -> ResponseReturnValue:
    """Ask for how long to pause, and why; or, during a pause, whether to resume."""
    return render_template("pause.html", pause=state().operations.paused(), most=MINUTES[-1])


@pages.post("/pause")
def pause() -> ResponseReturnValue:
    """Pause the schedule."""
    minutes, reason = request.form.get("minutes", "").strip(), request.form.get("reason", "").strip()
    seconds = 60.0 * _minutes(minutes) if minutes else None
    begun = state().operations.pause(seconds, reason=reason[:255] or None, by=g.user[:255])
    log("pause", str(begun))
    flash("Paused: nothing expires until it is resumed." if begun.until is None else "Paused.", "good")
    return redirect(url_for("pages.overview"), 303)


@pages.post("/resume")
def resume() -> ResponseReturnValue:
    """End the pause."""
    ended = state().operations.resume(extend="extend" in request.form)
    log("resume", f"resumed; it was {ended}" if ended else "the schedule was not paused")
    flash("Resumed: orders expire again." if ended else "The schedule was not paused.", "good")
    return redirect(url_for("pages.overview"), 303)


@pages.post("/doctor")
def examine() -> ResponseReturnValue:
    """Run the doctor again."""
    state().examination.value(again=True)
    return redirect(url_for("pages.doctor"), 303)


def _action() -> Action:
    name = request.form.get("action", "")
    if name not in ACTIONS:
        abort(400, f"There is no action {name!r}. The actions are {', '.join(ACTIONS)}.")
    return ACTIONS[name]


def _chosen() -> Sequence[str]:
    """Return the ids that were ticked, or all dead letters of a reason."""
    operations, form = state().operations, request.form
    if "everything" in form and form.get("where") == Where.DEAD.value:
        return operations.buried(form.get("reason") or None)
    decoded = map(links.decode, form.getlist("id"))
    return list(dict.fromkeys(order_id for order_id in decoded if order_id))


def _minutes(text: str) -> int:
    if not (text.isascii() and text.isdecimal() and len(text) <= 9 and int(text) in MINUTES):
        abort(400, f"The minutes are {text!r}: they must be a whole number from {MINUTES[0]} to {MINUTES[-1]:,}.")
    return int(text)


def _back() -> str:
    """Return the URL of the page from which the operator came: an order, or a list."""
    form = request.form
    if order := form.get("order"):
        return url_for("pages.order", id=order)
    where = form.get("where", "")
    if where not in LISTS:
        return url_for("pages.overview")
    filters: dict[str, Any] = {name: form[name] for name in ("p", "within", "reason") if form.get(name)}
    return url_for("pages.listing", where=where, **filters)


def log(action: str, what: str, order_ids: Sequence[str] = ()) -> None:
    """Log what the operator did who sends this request."""
    fields = about("operator", order_ids, by=g.user, action=action)
    logger.warning("operator %s: %s", links.show(g.user), what, extra=fields)
