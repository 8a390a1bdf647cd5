"""``python -m tasks.servers``: exit status 0 if Redis and the broker answer, 1 if not; the error is on standard error.

For probes: a loop that waits for a server which hangs looks like one that hangs itself, and a restart would not help.
"""

import sys

import orders
from orders.config import mask
from tasks.app import app


def main() -> int:
    """Ask both, once, for a few seconds."""
    try:
        expiry = orders.current()
        expiry.schedule.now()
        if expiry.settings.broker_url != expiry.settings.redis_url:
            with app.connection_for_read() as connection:
                connection.connect()
    except Exception as error:  # noqa: BLE001 - of whatever transport
        sys.stderr.write(f"{mask(str(error))}\n")
        return 1
    return 0


if __name__ == "__main__":
    sys.exit(main())
