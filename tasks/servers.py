"""``python -m tasks.servers``: exit with 0 if Redis and the broker answer, else with 1 and the error on standard error.

For liveness probes: a worker that waits for a server which hangs looks as if it hung itself, and a restart would not
help.
"""

import sys

import orders
from orders.config import mask
from tasks.app import serving


def main() -> int:
    """Ask Redis and the broker once."""
    try:
        expiry = orders.current()
        expiry.schedule.now()
        if expiry.settings.broker_url != expiry.settings.redis_url:
            with serving().connection_for_read() as connection:
                connection.connect()
    except Exception as error:  # noqa: BLE001 - each transport of kombu has its own errors
        sys.stderr.write(f"{mask(str(error))}\n")
        return 1
    return 0


if __name__ == "__main__":
    sys.exit(main())
