"""Celery's settings; everything about orders is in `orders.config`.

A file of this name in the working directory of a worker takes this one's place.
"""

from kombu.entity import Exchange, Queue

from orders.process import process_settings
from tasks.broker import broker

_settings = process_settings()

_broker = broker(_settings)
broker_url = _broker.url
broker_use_ssl = _broker.use_ssl or False
broker_connection_retry_on_startup = True
# A failover of Sentinel, or the start of a RabbitMQ, takes seconds to minutes: a worker waits for it, at any length.
broker_connection_max_retries = None
broker_transport_options = {}
if _broker.is_redis:
    broker_transport_options = {
        # A lease redelivers what a worker loses. Without acknowledgements a worker takes three times as many
        # messages, and nothing is delivered twice after a visibility time-out.
        "ack_emulation": False,
        # No message here has a priority: one list per queue to wait at instead of four.
        "priority_steps": [0],
        # A Redis that hangs is an error after this many seconds; no answer takes longer than BRPOP's one second.
        "socket_timeout": 10,
        "socket_connect_timeout": 5,
        **_broker.options,
    }
elif broker_url.startswith("amqp"):
    # Nothing waits for RabbitMQ's confirmation of a message, and a worker acknowledges one before it begins: a lease
    # redelivers what is lost. Messages are on disk all the same, because a lease lasts longer than a restart.
    broker_transport_options = {"confirm_publish": False, "read_timeout": 10, "write_timeout": 10}
    broker_heartbeat = 30  # seconds; a connection that has gone silently is found after two

# The sweep has a queue of its own, so that a backlog of orders never delays it; events too, so that a handler that is
# slow can be left to workers of its own.
_exchange = Exchange("orders")
_queues = ("orders.sweep", "orders.expire", "orders.events")
task_queues = [Queue(name, _exchange, routing_key=name) for name in _queues]
task_routes = {
    "orders.sweep": {"queue": "orders.sweep"},
    "orders.reconcile": {"queue": "orders.sweep"},
    "orders.expire": {"queue": "orders.expire"},
    "orders.deliver": {"queue": "orders.events"},
    "orders.prune": {"queue": "orders.events"},
}
task_default_queue = "orders.expire"

# Whoever may write to the broker must not be able to have code run: nothing but JSON, whatever it is for.
accept_content = ["json"]
result_accept_content = ["json"]
task_serializer = "json"
result_serializer = "json"
event_serializer = "json"
enable_utc = True
timezone = "UTC"

# What became of an order is in its row; Flower shows results and tracebacks from events.
task_ignore_result = True
worker_send_task_events = True
# One attempt is for all messages that came together (`tasks.worker.intake`). A worker uses one core: run one for each.
# Of its threads four make attempts; the others are for sweeps and events.
worker_pool = "threads"
worker_concurrency = 8
# Messages at hand, for the next attempt of up to 1,000. Those that are not begun go back when the worker stops.
worker_prefetch_multiplier = 125
worker_disable_rate_limits = True  # it has none

# After a lost connection Celery would fetch fewer messages at first, and ask for more from the threads that work: two
# threads would read from one connection, which AMQP's client cannot (it reads garbage, or waits for ever).
worker_enable_prefetch_count_reduction = False

# Seconds after which a task of beat is void, so that they do not pile up while no worker runs. More than the clocks
# of beat and of a worker may differ by; each is a matter of milliseconds if there is nothing to do.
_KEPT = 7200.0
beat_schedule = {
    "sweep": {
        "task": "orders.sweep",
        "schedule": _settings.sweep_interval,
        "options": {"expires": _KEPT},
    },
    "reconcile": {
        "task": "orders.reconcile",
        "schedule": 60.0,
        "options": {"expires": _KEPT},
    },
    "deliver": {
        "task": "orders.deliver",
        "schedule": _settings.events_interval,
        "options": {"expires": _KEPT},
    },
    "prune": {
        "task": "orders.prune",
        "schedule": 3600.0,
        "options": {"expires": _KEPT},
    },
}
# Nothing is to be remembered across restarts: no file, and a sweep when beat starts.
beat_scheduler = "tasks.worker.heartbeat:Scheduler"
beat_max_loop_interval = min(_settings.sweep_interval, _settings.events_interval, 5)
