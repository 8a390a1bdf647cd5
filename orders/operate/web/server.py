"""``orders web``: serves the operators' page with waitress, one process with some threads."""

from __future__ import annotations

from collections.abc import Callable

from waitress.server import create_server

from orders.errors import ConfigError
from orders.operate.web.app import create_app
from orders.operate.web.gate import Site

THREADS = 8
"""Requests that are served at once. The doctor may take some seconds for one."""


def serve(*, host: str, port: int, read_only: bool, ready: Callable[[str], object]) -> None:
    """Serve the operators' page until the process ends.

    Args:
        host: the address to listen on.
        port: the port; 0 for any free one.
        read_only: whether nothing can be changed, even without ``ORDERS_WEB_READ_ONLY``.
        ready: called with the URL once the page can be opened.

    Raises:
        ConfigError: there is no login and the address is not this machine's own, or it cannot listen there.
    """
    app = create_app(Site.alone(host, read_only=read_only))
    try:
        server = create_server(app, host=host, port=port, threads=THREADS, ident="")
    except OSError as error:
        raise ConfigError(f"--host is {host!r} and --port is {port}: cannot listen there: {error}") from error
    # waitress has one of both, because a name like localhost may have several addresses
    bound = getattr(server, "effective_port", None) or server.effective_listen[0][1]  # type: ignore[union-attr]  # see above
    ready(f"http://{f'[{host}]' if ':' in host else host}:{bound}/")
    try:
        server.run()
    finally:
        server.close()
