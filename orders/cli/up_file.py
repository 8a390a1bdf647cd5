"""The file in which `orders up` says where its servers are, for other terminals in the same folder.

`orders` reads it, if nothing else says where Redis is. A shell reads it with ``. .orders/up.env``. It names only
servers that `orders up` has started itself, and counts only while that runs: a lock says so, which the system releases
even if the process is killed.
"""

from __future__ import annotations

import fcntl
import os
import re
import shlex
from collections.abc import Iterator, Mapping
from contextlib import contextmanager, suppress
from pathlib import Path

import typer

from orders.errors import EmbeddedError

FOLDER = Path(".orders")
"""The folder of `orders up`, unless ``--folder`` names another one."""

NAME = "up.env"

VARIABLES = ("ORDERS_REDIS_URL", "ORDERS_DATABASE_URL")
"""What the file may set."""


@contextmanager
def locked(folder: Path) -> Iterator[None]:
    """Hold the lock of a folder, which says that an `orders up` runs in it.

    Raises:
        EmbeddedError: another one does.
    """
    folder.mkdir(parents=True, exist_ok=True)
    with (folder / "lock").open("w") as lock:
        try:
            fcntl.flock(lock, fcntl.LOCK_EX | fcntl.LOCK_NB)
        except OSError as error:
            raise EmbeddedError(
                f"another `orders up` uses the folder {folder}: stop it, or give another --folder"
            ) from error
        yield


@contextmanager
def written(folder: Path, settings: Mapping[str, str]) -> Iterator[Path]:
    """Write the file, yield its path, and remove it at the end. Call it while the folder is locked."""
    path = folder / NAME
    path.unlink(missing_ok=True)
    lines = [f"export {name}={shlex.quote(settings[name])}\n" for name in VARIABLES if name in settings]
    with os.fdopen(os.open(path, os.O_WRONLY | os.O_CREAT | os.O_EXCL, 0o600), "w") as file:
        file.writelines(["# The servers of the `orders up` that runs in this folder.\n", *lines])
    try:
        yield path
    finally:
        path.unlink(missing_ok=True)


def read(folder: Path) -> dict[str, str]:
    """Return what the file sets; nothing if no `orders up` runs in the folder, or the file is somebody else's."""
    with suppress(OSError):
        path = folder / NAME
        if path.stat().st_uid == os.geteuid() and _is_locked(folder):
            found = re.findall(r"^export (\w+)=(.+)$", path.read_text(), re.MULTILINE)
            return {name: "".join(shlex.split(value)) for name, value in found if name in VARIABLES}
    return {}


def use() -> None:
    """Use the servers of the `orders up` that runs here, if the environment names no Redis; say so on stderr."""
    if os.environ.get("ORDERS_REDIS_URL"):
        return
    found = {name: value for name, value in read(FOLDER).items() if not os.environ.get(name)}
    if found:
        os.environ |= found
        typer.echo(f"using {' and '.join(found)} of the `orders up` that runs here ({FOLDER / NAME})", err=True)


def _is_locked(folder: Path) -> bool:
    with (folder / "lock").open() as lock:
        try:
            fcntl.flock(lock, fcntl.LOCK_SH | fcntl.LOCK_NB)
        except OSError:
            return True
        return False
