"""``python -m examples.money_and_stock``: runs the shop, prints what happens, and checks the books."""

from __future__ import annotations

import logging
import os
import sys
import tempfile
import time
from collections.abc import Iterator
from contextlib import ExitStack, closing, contextmanager
from pathlib import Path

import orders
from examples.money_and_stock import cast, view
from examples.money_and_stock.books import audit
from examples.money_and_stock.database import engine, transaction
from examples.money_and_stock.gateway import ADDRESS, FakeGateway
from examples.money_and_stock.models import AWAITING_PAYMENT, LAPSED, PAID, Base
from examples.money_and_stock.story import Story, events
from orders.cli import processes
from orders.embedded import EmbeddedRedis
from orders.store.sql_store import SqlStore

ROOT = Path(__file__).parents[2]

SETTINGS = {
    "ORDERS_HOOKS": "examples.money_and_stock.shop_hooks",
    # The shop's own names for the table, its columns and the states
    "ORDERS_TABLE": "purchases",
    "ORDERS_ID_COLUMN": "number",
    "ORDERS_STATUS_COLUMN": "state",
    "ORDERS_DEADLINE_COLUMN": "pay_until",
    "ORDERS_PENDING": AWAITING_PAYMENT,
    "ORDERS_PAID": PAID,
    "ORDERS_EXPIRED": LAPSED,
    # Short times, so that the example takes seconds
    "ORDERS_SWEEP_INTERVAL": "1",
    "ORDERS_EVENTS_INTERVAL": "1",
    "ORDERS_GUARD_TIMEOUT": "3",
}

START_TIMEOUT = 60.0
"""The first sweep must be done within this many seconds."""


def main() -> int:
    """Run the shop; return the exit status."""
    logging.basicConfig(stream=sys.stdout, format="         └ %(message)s")
    logging.getLogger("examples").setLevel(logging.INFO)
    with ExitStack() as stack:
        folder = Path(stack.enter_context(tempfile.TemporaryDirectory(prefix="money-and-stock-")))
        bank = stack.enter_context(FakeGateway())
        redis = stack.enter_context(EmbeddedRedis(folder / "redis"))
        _set_environment(folder, bank, redis)
        stack.enter_context(closing(orders.configure()))
        stack.callback(lambda: engine().dispose())
        _open_shop()
        print("Starting a worker and beat …", flush=True)
        stack.enter_context(_celery(folder))
        Story(bank).tell()
        happened = events()
        with transaction() as session:
            books = audit(session, bank, happened)
            view.show(session, happened, books)
    return 0 if all(line.is_right for line in books) else 1


def _set_environment(folder: Path, bank: FakeGateway, redis: EmbeddedRedis) -> None:
    for name in [name for name in os.environ if name.startswith("ORDERS_")]:
        del os.environ[name]  # so that the example does not depend on the environment
    servers = {"ORDERS_REDIS_URL": redis.url, "ORDERS_DATABASE_URL": f"sqlite:///{folder / 'shop.db'}"}
    os.environ.update({**SETTINGS, **servers, ADDRESS: bank.address})


def _open_shop() -> None:
    Base.metadata.create_all(engine())
    with closing(SqlStore(orders.current().settings)) as store:
        store.create_outbox()  # the table of events; `orders init-db` does the same
    with transaction() as session:
        session.add_all(cast.opening_stock())


@contextmanager
def _celery(folder: Path) -> Iterator[None]:
    """Run a worker and beat in the block, which begins after the first sweep."""
    children = [
        processes.celery(f"{name} {options} --loglevel=INFO", settings={}, log=folder / f"{name}.log", folder=ROOT)
        for name, options in {"worker": "--concurrency=2", "beat": ""}.items()
    ]
    try:
        give_up = time.monotonic() + START_TIMEOUT
        while "swept_at" not in orders.current().schedule.stats():
            if time.monotonic() > give_up or any(child.poll() is not None for child in children):
                raise RuntimeError(f"the worker and beat did not start: {_logs(folder)}")
            time.sleep(0.05)
        yield
    except TimeoutError as error:
        raise RuntimeError(f"{error}: {_logs(folder)}") from error
    finally:
        processes.stop(*children)


def _logs(folder: Path) -> str:
    return "\n".join(path.read_text(errors="replace")[-3000:] for path in sorted(folder.glob("*.log")))


if __name__ == "__main__":
    sys.exit(main())
