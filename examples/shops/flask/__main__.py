"""``python -m examples.shops.flask``: runs the shop and everything that it needs."""

import sys

from examples.shops.run import Shop, run

APP = "examples.shops.flask.app:create_app"

SHOP = Shop(
    framework="Flask",
    open=f"-m flask --app {APP} open",
    web=f"-m gunicorn --bind 127.0.0.1:{{port}} --threads 8 '{APP}()'",
    settings={"ORDERS_APP": APP},  # for the worker and beat
)

if __name__ == "__main__":
    sys.exit(run(SHOP))
