"""``orders demo``: runs a shop on real servers and workers for half a minute, and audits the result."""

from __future__ import annotations

import os
import tempfile
import time
from collections.abc import Iterator, Sequence
from contextlib import ExitStack, closing, contextmanager
from pathlib import Path
from subprocess import Popen
from typing import Annotated

import typer

from orders.cli import processes
from orders.cli.demo.gateway import GATEWAY_URL, Gateway
from orders.cli.demo.plan import Event, draw
from orders.cli.demo.shop import Shop
from orders.cli.demo.view import View
from orders.config import PREFIX, Settings
from orders.embedded import EmbeddedRedis
from orders.errors import EmbeddedError
from orders.expiry import OrderExpiry

START_TIMEOUT = 60.0
"""Seconds in which the workers must finish the first sweep."""

PATIENCE = 3.0
"""Sweep intervals after the last deadline. If an order is still open then, the demo fails."""


def demo(
    *,
    orders: Annotated[int, typer.Option(min=1, max=100_000, help="How many orders to place.")] = 300,
    seconds: Annotated[float, typer.Option(min=5, max=3600, help="How many seconds the shop is open.")] = 30.0,
    sweep_interval: Annotated[float, typer.Option(min=0.5, max=60, help="Seconds between sweeps.")] = 2.0,
    workers: Annotated[int, typer.Option(min=1, max=16, help="Threads of the worker.")] = 2,
    seed: Annotated[int | None, typer.Option(help="Seed to repeat the same run.")] = None,
) -> None:
    """Run a shop on an embedded Redis, SQLite and real Celery processes, and check the final state of every order."""
    for name in [name for name in os.environ if name.startswith(PREFIX)]:
        del os.environ[name]  # the demo must not depend on the settings
    view = View(orders)
    with ExitStack() as stack:
        folder = Path(stack.enter_context(tempfile.TemporaryDirectory(prefix="orders-demo-")))
        view.say("Starting Redis, a worker and beat …")
        redis = stack.enter_context(EmbeddedRedis(folder / "redis"))
        gateway = stack.enter_context(Gateway())
        environment = {
            "ORDERS_REDIS_URL": redis.url,
            "ORDERS_BROKER_URL": redis.url,
            "ORDERS_DATABASE_URL": f"sqlite:///{folder / 'shop.db'}",
            "ORDERS_SWEEP_INTERVAL": str(sweep_interval),
            "ORDERS_EVENTS_INTERVAL": str(min(sweep_interval, 1.0)),
        }
        settings = Settings.of({name.removeprefix("ORDERS_"): value for name, value in environment.items()})
        environment |= {"ORDERS_HOOKS": f"{__package__}.hooks", GATEWAY_URL: gateway.url}  # for the workers
        expiry = stack.enter_context(closing(OrderExpiry.connect(settings)))
        shop = stack.enter_context(closing(Shop(expiry, gateway, orders)))
        children = stack.enter_context(_celery(environment, folder, workers))
        _wait_for_sweep(expiry, children, folder)
        with view:
            events = draw(orders, seconds, sweep_interval, seed)
            began = _play(events, shop, view)
            last_deadline = max(event.at + event.timeout for event in events)
            _wait_until_closed(shop, expiry, view, began + last_deadline + PATIENCE * sweep_interval)
        summary = shop.sum_up()
    view.show(summary)
    raise typer.Exit(0 if summary.is_right else 1)


@contextmanager
def _celery(environment: dict[str, str], folder: Path, workers: int) -> Iterator[list[Popen[bytes]]]:
    children: list[Popen[bytes]] = []
    try:
        for name, arguments in {
            "worker": f"worker --concurrency={workers} --loglevel=INFO",
            "beat": "beat --loglevel=INFO",
        }.items():
            log = folder / f"{name}.log"
            children.append(processes.celery(arguments, settings=environment, log=log, folder=folder))
        yield children
    finally:
        processes.stop(*children)


def _wait_for_sweep(expiry: OrderExpiry, children: Sequence[Popen[bytes]], folder: Path) -> None:
    give_up = time.monotonic() + START_TIMEOUT
    while "swept_at" not in expiry.schedule.stats():
        if time.monotonic() > give_up or any(child.poll() is not None for child in children):
            logs = "\n".join(path.read_text()[-2000:] for path in sorted(folder.glob("*.log")))
            raise EmbeddedError(f"the worker and beat did not start; their logs end with:\n{logs}")
        time.sleep(0.1)


def _play(events: Sequence[Event], shop: Shop, view: View) -> float:
    began = time.monotonic()
    for event in events:
        while (ahead := began + event.at - time.monotonic()) > 0:
            time.sleep(min(ahead, view.refresh(shop)))
        shop.act(event)
    return began


def _wait_until_closed(shop: Shop, expiry: OrderExpiry, view: View, give_up: float) -> None:
    while shop.counts().get("pending", 0) or expiry.schedule.stats()["scheduled"] or not shop.has_delivered_all():
        if time.monotonic() > give_up:
            return  # the summary shows the open orders
        time.sleep(view.refresh(shop))
