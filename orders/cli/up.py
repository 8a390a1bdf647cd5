"""``orders up``: what the Procfile names, on embedded parts where none are given, until Ctrl-C."""

from __future__ import annotations

import fcntl
import os
import socket
import sys
from collections.abc import Iterator
from contextlib import ExitStack, closing, contextmanager
from pathlib import Path
from typing import Annotated

import typer
from rich.console import Console

from orders.cli.processes import environment
from orders.config import Settings, mask
from orders.embedded import EmbeddedRedis, free_port
from orders.errors import EmbeddedError
from orders.sql import SqlStore

FLOWER_PORT = 5555

ProcfileOption = Annotated[Path, typer.Option(help="What to run.")]
FolderOption = Annotated[Path, typer.Option(help="Where the embedded Redis and SQLite keep their data.")]


def up(*, procfile: ProcfileOption = Path("Procfile"), folder: FolderOption = Path(".orders")) -> None:
    """Run worker, beat and Flower until Ctrl-C, with a Redis and a SQLite of their own unless ORDERS_* name others."""
    try:
        from honcho.environ import parse_procfile  # noqa: PLC0415 - an extra
        from honcho.manager import Manager  # noqa: PLC0415
    except ImportError as error:
        raise EmbeddedError("`orders up` needs honcho: install order-expiry[embedded]") from error
    if not procfile.is_file():
        raise EmbeddedError(f"--procfile is {procfile}: there is no such file")
    with ExitStack() as stack:
        settings = stack.enter_context(_parts(folder))
        flower = os.environ.get("FLOWER_PORT") or str(_flower_port())
        manager = Manager()
        for name, command in parse_procfile(procfile.read_text()).processes.items():
            manager.add_process(name, command, env=environment({**settings, "FLOWER_PORT": flower}))
        console = Console(soft_wrap=True, highlight=False)
        console.print(f"Redis     {mask(settings['ORDERS_REDIS_URL'])}")
        console.print(f"Database  {mask(settings['ORDERS_DATABASE_URL'])}")
        console.print(f"Flower    http://127.0.0.1:{flower}")
        console.print("Ctrl-C stops all of them.")
        manager.loop()
    # Stopped by a signal is how it is meant to end.
    sys.exit(0 if manager.returncode in {130, 143} else manager.returncode)


@contextmanager
def _parts(folder: Path) -> Iterator[dict[str, str]]:
    """Start what the environment does not name; yield the settings that say where everything is."""
    given = Settings()  # a wrong setting stops here, before anything was started
    with ExitStack() as stack:
        redis_url, database_url = given.redis_url, given.database_url
        if not os.environ.get("ORDERS_REDIS_URL"):
            _lock(stack, folder)
            redis_url = stack.enter_context(EmbeddedRedis(folder / "redis")).url
        if not os.environ.get("ORDERS_DATABASE_URL"):
            folder.mkdir(parents=True, exist_ok=True)
            database_url = f"sqlite:///{(folder / 'orders.db').resolve()}"
            with closing(SqlStore(Settings.of({"DATABASE_URL": database_url}))) as store:
                store.create_table("text")
                store.create_outbox()
        yield {"ORDERS_REDIS_URL": redis_url, "ORDERS_DATABASE_URL": database_url}


def _lock(stack: ExitStack, folder: Path) -> None:
    folder.mkdir(parents=True, exist_ok=True)
    lock = stack.enter_context((folder / "lock").open("w"))
    try:
        fcntl.flock(lock, fcntl.LOCK_EX | fcntl.LOCK_NB)
    except OSError as error:
        raise EmbeddedError(
            f"another `orders up` uses the folder {folder}: stop it, or name another --folder"
        ) from error


def _flower_port() -> int:
    with socket.socket() as probe:
        try:
            probe.bind(("127.0.0.1", FLOWER_PORT))
        except OSError:
            return free_port()
    return FLOWER_PORT
