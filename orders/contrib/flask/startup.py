"""Flask in a process that is no web server of its own: a Celery worker, beat. ``ORDERS_APP`` names the app there.

``FLASK_APP`` would not do: it is also set where a shop uses `orders` without the extension.
"""

from __future__ import annotations

import os

from click import ClickException
from flask.cli import ScriptInfo, load_dotenv
from flask.helpers import get_load_dotenv

from orders.contrib.flask.extension import NAME, state_of
from orders.errors import ConfigError

VARIABLE = "ORDERS_APP"


def start() -> None:
    """Make the app that ``ORDERS_APP`` names, as ``flask --app`` does, and have this process serve it.

    Raises:
        ConfigError: there is no such app, or it has no Orders extension.
    """
    named = os.environ[VARIABLE]
    if get_load_dotenv():
        load_dotenv()
    try:
        app = ScriptInfo(named).load_app()
    except ClickException as error:
        raise ConfigError(
            f"{VARIABLE} is {named!r}: accepted is what `flask --app` accepts, shop or shop:create_app. {error.message}"
        ) from error
    if NAME not in app.extensions:
        raise ConfigError(f"{VARIABLE} is {named!r}, and that app has no Orders extension: call init_app(app)")
    state_of(app).provide()
