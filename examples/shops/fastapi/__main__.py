"""``python -m examples.shops.fastapi``: runs the shop and everything that it needs."""

import sys

from examples.shops.run import Shop, run

SHOP = Shop(
    framework="FastAPI",
    open="-m examples.shops.fastapi.models",
    web="-m uvicorn examples.shops.fastapi.app:app --port {port} --log-level warning",
    settings={"ORDERS_HOOKS": "examples.shops.fastapi.hooks"},
)

if __name__ == "__main__":
    sys.exit(run(SHOP))
