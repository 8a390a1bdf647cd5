"""The page of webhooks: how each endpoint is, what to do about its dead letters, and a test event."""

from __future__ import annotations

from flask import Blueprint, abort, flash, redirect, render_template, request, url_for
from flask.typing import ResponseReturnValue

from orders.config import Endpoint
from orders.errors import ConfigError, OrdersError
from orders.operate import NO_WEBHOOKS, EndpointState, counted, endpoint_states, endpoints_named, post_trial
from orders.operate.web.actions import log
from orders.operate.web.pages import render, state
from orders.operate.web.state import Glance

pages = Blueprint("webhooks", __name__, url_prefix="/webhooks")

ANSWER = 200
"""Characters of an answer that are shown. The log has all that was read of it."""


@pages.get("")
def overview() -> ResponseReturnValue:
    """Show the endpoints."""
    glance = Glance(state().expiry.settings)
    if not glance.settings.webhooks:
        abort(404, f"There are {NO_WEBHOOKS}.")
    return render("webhooks", glance, found=glance.read(lambda: endpoint_states(state().expiry)), tone=tone)


@pages.get("/replay")
def ask() -> ResponseReturnValue:
    """Ask whether to replay the dead letters of an endpoint, and say how many there are."""
    name = _chosen(request.args.get("name", "")).name
    [known] = [each for each in endpoint_states(state().expiry) if each.name == name]
    dead = known.progress.dead if known.progress else 0
    return render_template("replay.html", endpoint=known, what=counted(dead, "dead letter"), dead=dead)


@pages.post("/replay")
def replay() -> ResponseReturnValue:
    """Have the dead letters of an endpoint posted again, after the confirmation. It gets events again, too."""
    name = _chosen(request.form.get("name", "")).name
    try:
        number = state().expiry.store.deliveries.replay(name, dead=True)
    except OrdersError as error:
        flash(f"That failed: {error}", "bad")
        return redirect(url_for("webhooks.overview"), 303)
    done = f"{name}: {counted(number, 'event')} to post again"
    log("replay", done)
    flash(f"{done}.", "good")
    return redirect(url_for("webhooks.overview"), 303)


@pages.post("/test")
def try_out() -> ResponseReturnValue:
    """Post a test event, and show the answer."""
    endpoint = _chosen(request.form.get("name", ""))
    try:
        trial = post_trial(endpoint, state().expiry.settings)
    except OrdersError as error:
        flash(f"That failed: {error}", "bad")
        return redirect(url_for("webhooks.overview"), 303)
    log("test", f"a test event to {endpoint.name}: {trial.answer} ({trial.details})")
    answer = trial.answer if len(trial.answer) <= ANSWER else f"{trial.answer[:ANSWER]}…"
    flash(f"Test event to {endpoint.name}: {answer} ({trial.details})", "good" if trial.is_success else "bad")
    return redirect(url_for("webhooks.overview"), 303)


def tone(each: EndpointState) -> str:
    """Return the tone of an endpoint: "good", "warn", "bad" or "" for one that gets nothing from us."""
    if each.origin is None or each.progress is None:
        return ""
    if each.progress.is_gone:
        return "bad"
    return "warn" if each.progress.rests or each.progress.dead or each.progress.error else "good"


def _chosen(name: str) -> Endpoint:
    try:
        [endpoint] = endpoints_named(state().expiry.settings, name)
    except ConfigError as error:
        abort(404, f"There is {error}.")
    return endpoint
