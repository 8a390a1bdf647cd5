"""The Flask app: its filters, its error pages, and what all templates know."""

from __future__ import annotations

import hashlib
import logging
from datetime import datetime
from functools import partial
from typing import Any

from flask import Flask, g, render_template, request, url_for
from flask.typing import ResponseReturnValue
from markupsafe import Markup
from werkzeug.exceptions import HTTPException, InternalServerError, ServiceUnavailable

from orders.clock import distance, local
from orders.config import mask
from orders.errors import OrdersError
from orders.logs import about
from orders.operate import counted, links, plain
from orders.operate.web import actions, pages, webhooks
from orders.operate.web.gate import Site, guard
from orders.operate.web.state import State

logger = logging.getLogger(__name__)

MAX_FORM = 1_000_000
"""Bytes of a form: a page of ticked orders, each with an id of at most 255 characters."""


def create_app(site: Site) -> Flask:
    """Return the app."""
    app = Flask(__name__, static_url_path="/static")
    app.config.update(
        MAX_CONTENT_LENGTH=MAX_FORM,
        SECRET_KEY=_secret(site),
        SESSION_COOKIE_NAME="order_expiry_page",
        SESSION_COOKIE_SAMESITE="Strict",
        TRAP_HTTP_EXCEPTIONS=False,
    )
    app.extensions["order_expiry_page"] = State(site.expiry)
    app.jinja_env.trim_blocks = app.jinja_env.lstrip_blocks = True
    app.jinja_env.filters |= {
        "anchor": anchor,
        "coded": coded,
        "counted": counted,
        "distance": distance,
        "key": links.encode,
        "local": local,
        "number": "{:,}".format,
        "plain": lambda text: plain(text).replace("\n", " "),
        "shown": links.show,
        "unix": datetime.timestamp,
    }
    guard(app, site)

    app.context_processor(partial(_known, site))
    app.register_error_handler(HTTPException, _http_error)
    app.register_error_handler(OrdersError, _orders_error)
    app.register_error_handler(Exception, _unexpected)
    app.register_blueprint(pages.pages)
    app.register_blueprint(actions.pages)
    app.register_blueprint(webhooks.pages)
    return app


def anchor(order_id: str) -> str:
    """Return an id for elements, of letters and digits only, whatever the order's id is."""
    return hashlib.blake2s(order_id.encode(errors="surrogateescape"), digest_size=6).hexdigest()


def coded(text: str) -> Markup:
    """Return a text with what stands between backticks as code."""
    parts = enumerate(plain(text).split("`"))
    return Markup("").join(Markup("<code>{}</code>").format(part) if number % 2 else part for number, part in parts)


def _secret(site: Site) -> bytes:
    """Return the key of the cookie with the message "12 orders requeued", the same in all processes of a deployment."""
    settings = site.expiry().settings
    parts = (__name__, settings.redis_url, settings.database_url, site.login or "")
    return hashlib.sha256("\n".join(parts).encode()).digest()


def _known(site: Site) -> dict[str, Any]:
    """Return what all templates know."""
    is_known = g.get("user") is not None
    return {
        "user": g.get("user"),
        "is_read_only": is_known and _is_read_only(site),
        "has_webhooks": is_known and _has_webhooks(site),
        "here": _here(),
        "is_fragment": "HX-Request" in request.headers,
    }


def _here() -> str | None:
    """Return the URL of this page, for those that it polls."""
    if request.endpoint is None or request.method != "GET" or request.view_args:
        return None
    path = url_for(request.endpoint)  # not with the arguments as names: url_for has names of its own
    return f"{path}?{request.query_string.decode('latin-1')}" if request.query_string else path


def _is_read_only(site: Site) -> bool:
    try:
        return site.is_read_only
    except OrdersError:
        return True


def _has_webhooks(site: Site) -> bool:
    try:
        return bool(site.expiry().settings.webhooks)
    except OrdersError:
        return False


def _http_error(error: HTTPException) -> ResponseReturnValue:
    response = error.get_response()
    if error.code is None or error.code < 400:
        return response
    response.set_data(render_template("error.html", code=error.code, name=error.name, text=error.description))
    response.content_type = "text/html; charset=utf-8"
    return response


def _orders_error(error: OrdersError) -> ResponseReturnValue:
    logger.warning("the operators' page cannot read: %s", error, extra=about("page_unread", error=str(error)))
    return _http_error(ServiceUnavailable(mask(str(error))))


def _unexpected(error: Exception) -> ResponseReturnValue:
    logger.error("the operators' page failed", exc_info=error, extra=about("page_failed"))
    return _http_error(InternalServerError("That is a mistake in the page. The log of its process says more."))
