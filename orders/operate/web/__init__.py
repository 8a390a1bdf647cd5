"""The operators' page: one WSGI app, for ``orders web`` and to mount in the app of a shop. Needs ``order-expiry[web]``.

Its parts: `app` makes the app, `gate` decides who may do what, `state` collects what a page shows, `pages` shows it,
`actions` changes it, `webhooks` does both for webhooks, `server` serves it.
"""

from __future__ import annotations

from collections.abc import Callable
from typing import TYPE_CHECKING, Any

from orders.errors import ConfigError
from orders.expiry import OrderExpiry

if TYPE_CHECKING:
    from _typeshed.wsgi import WSGIApplication, WSGIEnvironment

__all__ = ["asgi", "serve", "wsgi"]


def wsgi(
    *,
    expiry: Callable[[], OrderExpiry] | None = None,
    user: Callable[[WSGIEnvironment], str | None] | None = None,
    login_url: str | None = None,
    read_only: bool | None = None,
) -> WSGIApplication:
    """Return the operators' page as a WSGI app, to mount below a prefix.

    Args:
        expiry: returns the use cases, at each request; by default `orders.current`.
        user: returns the name of the operator who sends a request, from its WSGI environment; None if nobody who may
            see the page is logged in. Without it, ``ORDERS_WEB_LOGIN`` is asked for.
        login_url: where to send a browser if *user* returns None; by default it gets status 403.
        read_only: whether nothing can be changed; by default ``ORDERS_WEB_READ_ONLY``.

    Raises:
        ConfigError: neither *user* nor ``ORDERS_WEB_LOGIN`` is given, or Flask is not installed.
    """
    try:
        from orders.operate.web.app import create_app  # noqa: PLC0415 - an extra
        from orders.operate.web.gate import Site  # noqa: PLC0415 - an extra
    except ImportError as error:
        raise ConfigError("the operators' page needs Flask: pip install 'order-expiry[web]'") from error
    return create_app(Site.mounted(expiry, user=user, login_url=login_url, read_only=read_only)).wsgi_app


def asgi(
    *,
    expiry: Callable[[], OrderExpiry] | None = None,
    user: Callable[[WSGIEnvironment], str | None] | None = None,
    login_url: str | None = None,
    read_only: bool | None = None,
) -> Any:
    """Return the operators' page as an ASGI app, to mount below a prefix. Each request runs in a thread.

    The arguments and errors are those of `wsgi`. The environment that *user* gets has the ASGI scope under
    ``"asgi.scope"``, with what a middleware has put there, such as ``scope["session"]``.
    """
    app = wsgi(expiry=expiry, user=user, login_url=login_url, read_only=read_only)
    try:
        from a2wsgi import WSGIMiddleware  # noqa: PLC0415 - an extra
    except ImportError as error:
        raise ConfigError("the operators' page in an ASGI app needs a2wsgi: pip install 'order-expiry[web]'") from error
    return WSGIMiddleware(app)  # type: ignore[arg-type]  # it declares environments of its own


def serve(*, host: str, port: int, read_only: bool, ready: Callable[[str], object]) -> None:
    """Serve the operators' page until the process ends; see `orders.operate.web.server.serve`."""
    try:
        from orders.operate.web import server  # noqa: PLC0415 - an extra
    except ImportError as error:
        raise ConfigError("`orders web` needs Flask and waitress: pip install 'order-expiry[web]'") from error
    server.serve(host=host, port=port, read_only=read_only, ready=ready)
