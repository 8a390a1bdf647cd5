"""Make kombu leave a Redis that is no longer the master, as our own clients do: `orders.schedule.leaving`.

To kombu the answer of a replica is an error of one command, after which it keeps the connection. A worker would end
with it, and beat and a sweep would get it for as long as they live. A lost connection is what all of them can handle.
"""

from kombu.transport import redis

from orders.schedule import leaving


def leave_replicas() -> None:
    """Replace the connection classes of kombu's Redis transports in this process, whichever app uses them."""
    for channel in (redis.Channel, redis.SentinelChannel):
        channel.connection_class = leaving(channel.connection_class)
        channel.connection_class_ssl = leaving(channel.connection_class_ssl)
