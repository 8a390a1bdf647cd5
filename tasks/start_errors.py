"""What the command ``celery`` prints if a setting is wrong: the message, without a traceback."""

import sys
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

from orders.config import mask
from orders.errors import OrdersError


@contextmanager
def in_one_line() -> Iterator[None]:
    """End the command ``celery`` with the message of an error. Other programs get the error.

    An error with a cause, such as an exception in a module of hooks, keeps its traceback, which says where it is.

    Raises:
        SystemExit: the block raised an `OrdersError` in the command ``celery``.
    """
    try:
        yield
    except OrdersError as error:
        if error.__cause__ or not is_celery():
            raise
        sys.exit(f"error: {mask(str(error))}")


def is_celery() -> bool:
    """Return whether this process runs the command ``celery``, or ``python -m celery``."""
    return "celery" in Path(sys.argv[0]).parts[-2:]
