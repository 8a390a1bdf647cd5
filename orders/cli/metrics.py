"""``orders metrics``: the metrics endpoint for Prometheus."""

from __future__ import annotations

from typing import Annotated

import typer

from orders import process
from orders.errors import ConfigError

PORT = 9540


def metrics(
    *,
    host: Annotated[str, typer.Option(help="The address to listen on. There is no password: see the guide.")] = (
        "127.0.0.1"
    ),
    port: Annotated[int, typer.Option(min=0, max=65535, help="The port to listen on; 0 for any free port.")] = PORT,
) -> None:
    """Serve metrics for Prometheus until Ctrl-C. One process is enough for any number of workers."""
    try:
        from prometheus_client import CollectorRegistry, start_http_server  # noqa: PLC0415 - an extra

        from orders.operate.metrics import OrdersCollector  # noqa: PLC0415 - needs that extra
    except ImportError as error:
        raise ConfigError("`orders metrics` needs prometheus-client: install order-expiry[metrics]") from error
    registry = CollectorRegistry()
    registry.register(OrdersCollector(process.current()))
    try:
        server, thread = start_http_server(port, host, registry)
    except OSError as error:
        raise ConfigError(f"--host is {host!r} and --port is {port}: cannot listen there: {error}") from error
    typer.echo(f"http://{host}:{server.server_port}/metrics")
    thread.join()
