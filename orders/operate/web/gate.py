"""Who may do what: the login, requests of other sites, names of the host, and the headers of every answer.

A request that changes something must come from this page itself. As in Go's ``http.CrossOriginProtection`` (Filippo
Valsorda, "Cross-Site Request Forgery", 2025), the browser says so: by ``Sec-Fetch-Site``, or, if it is old, by an
``Origin`` that names this host. There are no tokens. Programs that are no browsers send neither, and are not attacked.
"""

from __future__ import annotations

import getpass
import hmac
from collections.abc import Callable
from dataclasses import dataclass
from typing import TYPE_CHECKING
from urllib.parse import urlsplit

from flask import Flask, Response, g, redirect, request
from flask.typing import ResponseReturnValue
from werkzeug.datastructures import WWWAuthenticate
from werkzeug.exceptions import BadRequest, Forbidden, Unauthorized

from orders import process
from orders.errors import ConfigError
from orders.expiry import OrderExpiry

if TYPE_CHECKING:
    from _typeshed.wsgi import WSGIEnvironment

SAFE = {"GET", "HEAD", "OPTIONS"}

LOOPBACK = frozenset({"127.0.0.1", "::1", "localhost"})
"""The names of the loopback interface."""

CONTENT = "; ".join(
    (
        "default-src 'self'",
        "img-src 'self' data:",
        "base-uri 'none'",
        "object-src 'none'",
        "form-action 'self'",
        "frame-ancestors 'none'",
    )
)

HEADERS = {
    "Content-Security-Policy": CONTENT,
    "Cross-Origin-Opener-Policy": "same-origin",
    "Cross-Origin-Resource-Policy": "same-origin",
    "Referrer-Policy": "same-origin",
    "X-Content-Type-Options": "nosniff",
    "X-Frame-Options": "DENY",
}
"""What every answer has."""


@dataclass(frozen=True)
class Site:
    """Whose orders a page shows, and to whom."""

    expiry: Callable[[], OrderExpiry]
    """Returns the use cases."""
    user: Callable[[WSGIEnvironment], str | None] | None = None
    """Returns the operator's name, or None."""
    login: str | None = None
    """``name:password``, if *user* is None."""
    login_url: str | None = None
    """Where a browser logs in."""
    read_only: bool | None = None
    """Whether nothing can be changed; None for ``ORDERS_WEB_READ_ONLY``."""
    hosts: frozenset[str] | None = None
    """The names by which a browser may call it; None for any."""

    @classmethod
    def mounted(
        cls,
        expiry: Callable[[], OrderExpiry] | None,
        *,
        user: Callable[[WSGIEnvironment], str | None] | None,
        login_url: str | None,
        read_only: bool | None,
    ) -> Site:
        """Return the site of an app that is mounted in another; see `orders.operate.web.wsgi`."""
        expiry = expiry or process.current
        login = None if user else expiry().settings.web_login
        if not user and not login:
            raise ConfigError("the operators' page has no login: give it user=…, or set ORDERS_WEB_LOGIN=name:password")
        return cls(expiry, user=user, login=login, login_url=login_url, read_only=read_only)

    @classmethod
    def alone(cls, host: str, *, read_only: bool) -> Site:
        """Return the site of ``orders web``.

        Raises:
            ConfigError: others than the users of this machine could reach it, and there is no login.
        """
        expiry = process.current()  # of this thread's context, which those that serve requests do not have
        read_only = read_only or expiry.settings.web_read_only
        if login := expiry.settings.web_login:
            return cls(lambda: expiry, login=login, read_only=read_only)
        if host not in LOOPBACK:
            raise ConfigError(
                f"--host is {host!r}, where others can reach the page, and there is no login: set "
                "ORDERS_WEB_LOGIN=name:password, or listen on 127.0.0.1"
            )
        # Without a login, a name that somebody else owns must not lead a browser here (DNS rebinding).
        return cls(lambda: expiry, user=lambda _: _local_user(), read_only=read_only, hosts=LOOPBACK)

    @property
    def is_read_only(self) -> bool:
        """Whether nothing can be changed."""
        return self.expiry().settings.web_read_only if self.read_only is None else self.read_only


def guard(app: Flask, site: Site) -> None:
    """Check every request to an app, and add the headers to every answer."""

    @app.before_request
    def check() -> ResponseReturnValue | None:
        if site.hosts is not None and _host(request.host) not in site.hosts:
            raise BadRequest(
                f"This page does not answer to the host name {request.host!r}. Open it as 127.0.0.1 or localhost, or "
                "set ORDERS_WEB_LOGIN=name:password to use it behind a proxy."
            )
        if request.endpoint == "static":
            return None
        g.user = _user(site)
        if g.user is None:
            return redirect(site.login_url, 303) if site.login_url else _nobody(site)
        if request.method not in SAFE:
            if not is_from_here(request.headers.get("Sec-Fetch-Site"), request.headers.get("Origin"), request.host):
                raise Forbidden("This request came from another site. Nothing was done.")
            if site.is_read_only:
                raise Forbidden("This page is read-only. Nothing was done.")
        return None

    @app.after_request
    def add_headers(response: Response) -> Response:
        response.headers.update(HEADERS)
        response.headers["Cache-Control"] = "no-cache" if request.endpoint == "static" else "no-store"
        response.headers.add("Vary", "HX-Request")
        return response


def is_from_here(fetch_site: str | None, origin: str | None, host: str) -> bool:
    """Return whether an unsafe request came from this page, or from no browser.

    Args:
        fetch_site: the header ``Sec-Fetch-Site``.
        origin: the header ``Origin``.
        host: the header ``Host``.
    """
    if fetch_site is not None:
        return fetch_site in {"same-origin", "none"}
    return origin is None or urlsplit(origin).netloc == host


def _user(site: Site) -> str | None:
    if site.user:
        return site.user(request.environ)
    given = request.authorization
    if given is None or given.type != "basic" or given.username is None or given.password is None:
        return None
    text, login = f"{given.username}:{given.password}", site.login or ""
    return given.username if hmac.compare_digest(text.encode(), login.encode()) else None


def _nobody(site: Site) -> ResponseReturnValue:
    if site.user:
        raise Forbidden("Log in as an operator first.")
    challenge = WWWAuthenticate("basic", {"realm": "order expiry", "charset": "UTF-8"})
    raise Unauthorized("Log in with the name and the password of ORDERS_WEB_LOGIN.", www_authenticate=challenge)


def _host(host: str) -> str:
    """Return a Host header without its port."""
    return urlsplit(f"//{host}").hostname or ""


def _local_user() -> str:
    try:
        return getpass.getuser()
    except (KeyError, OSError):  # the user has no name, as in some containers
        return "local"
