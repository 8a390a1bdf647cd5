"""Runs a shop until Ctrl-C: Redis, SQLite, a worker, beat and a web server, all in one folder."""

from __future__ import annotations

import fcntl
import os
import secrets
import shlex
import signal
import socket
import subprocess
import sys
import time
from argparse import ArgumentParser, Namespace
from collections.abc import Iterator, Mapping, Sequence
from contextlib import ExitStack, closing, contextmanager
from dataclasses import dataclass, field
from pathlib import Path

from orders.cli import processes
from orders.config.settings import PREFIX, Settings
from orders.embedded import EmbeddedRedis, free_port
from orders.schedule.sorted_set import Schedule

ROOT = Path(__file__).parents[2]

START_TIMEOUT = 60.0
"""The web server must listen and the first sweep must be done within this many seconds."""


@dataclass(frozen=True, kw_only=True)
class Shop:
    """The commands and settings of a shop. Commands are arguments of Python; ``{port}`` is the web server's port."""

    framework: str
    web: str
    open: str
    """The command that creates the tables, and the products if there are none."""
    operator: str = "/operator"
    settings: Mapping[str, str] = field(default_factory=dict)
    """More environment variables."""


def run(shop: Shop) -> int:
    """Run a shop until Ctrl-C or SIGTERM; return the exit status."""
    options = _options(shop)
    signal.signal(signal.SIGTERM, lambda *_: sys.exit(0))
    try:
        with ExitStack() as stack:
            _lock(stack, options.folder)
            print("Starting Redis, a worker, beat and a web server …", flush=True)
            redis = stack.enter_context(EmbeddedRedis(options.folder / "redis"))
            environment = _environment(shop, options, redis.url)
            subprocess.run([sys.executable, *shlex.split(shop.open)], check=True, env=environment, cwd=ROOT)  # noqa: S603
            children = stack.enter_context(_children(shop, options, environment))
            _wait_until_open(options, redis.url, children)
            print(f"The shop      http://127.0.0.1:{options.port}/")
            print(f"For operators http://127.0.0.1:{options.port}{shop.operator} (operator, operator)")
            print(f"Data and logs {options.folder}")
            print("Ctrl-C stops all of it.", flush=True)
            while all(child.poll() is None for child in children):
                time.sleep(0.2)
            raise RuntimeError(f"a process has ended: {_logs(options.folder)}")
    except KeyboardInterrupt:
        return 0


def _options(shop: Shop) -> Namespace:
    parser = ArgumentParser(prog=f"python -m examples.shops.{shop.framework.lower()}", description=__doc__)
    parser.add_argument("--port", type=int, default=8000, help="of the web server; 0 for any")
    parser.add_argument("--timeout", type=float, default=60.0, metavar="SECONDS", help="to pay an order")
    parser.add_argument("--sweep-interval", type=float, default=2.0, metavar="SECONDS")
    folder = Path(".orders") / f"shop-{shop.framework.lower()}"
    parser.add_argument("--folder", type=Path, default=folder, help="for data and logs")
    options = parser.parse_args()
    options.port = options.port or free_port()
    options.folder = options.folder.resolve()
    return options


def _lock(stack: ExitStack, folder: Path) -> None:
    folder.mkdir(parents=True, exist_ok=True)
    lock = stack.enter_context((folder / "lock").open("w"))
    try:
        fcntl.flock(lock, fcntl.LOCK_EX | fcntl.LOCK_NB)
    except OSError:
        sys.exit(f"This shop is already running in {folder}: stop it, or choose another --folder.")


def _environment(shop: Shop, options: Namespace, redis_url: str) -> dict[str, str]:
    for name in [name for name in os.environ if name.startswith(PREFIX)]:
        del os.environ[name]  # so that the example does not depend on the environment
    return processes.environment(
        {
            "SHOP_FILE": str(options.folder / "shop.db"),
            "SECRET_KEY": secrets.token_hex(),
            "ORDERS_REDIS_URL": redis_url,
            "ORDERS_DATABASE_URL": f"sqlite:///{options.folder / 'shop.db'}",
            "ORDERS_TIMEOUT": str(options.timeout),
            "ORDERS_SWEEP_INTERVAL": str(options.sweep_interval),
            "ORDERS_MAX_ATTEMPTS": "2",  # so that the cracked bowl soon becomes a dead letter
            **shop.settings,
        }
    )


@contextmanager
def _children(shop: Shop, options: Namespace, environment: dict[str, str]) -> Iterator[list[subprocess.Popen[bytes]]]:
    commands = {
        "worker": "-m celery -A tasks worker --concurrency=2 --loglevel=INFO",
        "beat": "-m celery -A tasks beat --loglevel=INFO",
        "web": shop.web.format(port=options.port),
    }
    children: list[subprocess.Popen[bytes]] = []
    try:
        for name, command in commands.items():
            with (options.folder / f"{name}.log").open("wb") as log:
                child = subprocess.Popen(  # noqa: S603 - the command contains no outside input
                    [sys.executable, *shlex.split(command)],
                    stdout=log,
                    stderr=log,
                    env=environment,
                    cwd=ROOT,
                    start_new_session=True,  # so that Ctrl-C reaches only this process, which stops the others in order
                )
            children.append(child)
        yield children
    finally:
        processes.stop(*children)


def _wait_until_open(options: Namespace, redis_url: str, children: Sequence[subprocess.Popen[bytes]]) -> None:
    give_up = time.monotonic() + START_TIMEOUT
    with closing(Schedule.connect(Settings.of({"REDIS_URL": redis_url}))) as schedule:
        while not (_listens(options.port) and schedule.swept_at()):
            if time.monotonic() > give_up or any(child.poll() is not None for child in children):
                raise RuntimeError(f"the shop did not open: {_logs(options.folder)}")
            time.sleep(0.05)


def _listens(port: int) -> bool:
    with socket.socket() as probe:
        return probe.connect_ex(("127.0.0.1", port)) == 0


def _logs(folder: Path) -> str:
    return "\n".join(path.read_text(errors="replace")[-3000:] for path in sorted(folder.glob("*.log")))
