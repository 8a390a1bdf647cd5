"""The Celery app. Its settings are in the module ``celeryconfig``."""

from celery import Celery
from celery.signals import import_modules

import orders
from orders import names
from tasks.start_errors import in_one_line

app = Celery("orders", set_as_current=False)  # the process may have another app
app.config_from_object(names.CELERYCONFIG)

_installed: list[Celery] = []


def serve(shop: Celery) -> None:
    """Make a shop's own app the one in which the tasks of this process run; see `tasks.installation`."""
    _installed[:] = [shop]


def serving() -> Celery:
    """Return the app in which the tasks run: the shop's own that they are installed in, or ours."""
    return _installed[0] if _installed else app


@import_modules.connect
def import_hooks(**_: object) -> None:
    """Import the hooks when a worker starts, so that it fails to start without them."""
    with in_one_line():
        orders.configure()
