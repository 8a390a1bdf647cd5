"""Creates the Flask app in a Celery worker and beat. ``ORDERS_APP`` names it.

``FLASK_APP`` is not used, because shops that use `orders` without the extension set it too.
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
    """Create the app that ``ORDERS_APP`` names, as ``flask --app`` does, and make this process serve it.

    Raises:
        ConfigError: there is no such app, or it has no Orders extension.
    """
    name = os.environ[VARIABLE]
    if get_load_dotenv():
        load_dotenv()
    try:
        app = ScriptInfo(name).load_app()
    except ClickException as error:
        raise ConfigError(
            f"{VARIABLE} is {name!r}: it must be a name for `flask --app`, such as shop or shop:create_app. "
            f"{error.message}"
        ) from None
    if NAME not in app.extensions:
        raise ConfigError(f"{VARIABLE} is {name!r}, but that app has no Orders extension: call init_app(app)")
    state_of(app).provide()
