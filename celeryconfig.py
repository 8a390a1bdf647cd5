"""Celery's settings. The settings of orders are in `orders.config`.

A file of the same name in a worker's working directory replaces this one.
"""

from kombu.entity import Exchange, Queue

from orders.process import process_settings
from tasks.broker import broker
from tasks.start_errors import in_one_line

with in_one_line():
    _settings = process_settings()
    _broker = broker(_settings)

broker_url = _broker.url
broker_use_ssl = _broker.use_ssl or False
broker_connection_retry_on_startup = True
# A Sentinel failover or the start of RabbitMQ takes seconds to minutes. A worker retries without limit.
broker_connection_max_retries = None
broker_transport_options = {}
if _broker.is_redis:
    broker_transport_options = {
        # If a worker loses a message, its lease runs out and a sweep sends the orders again. Without acknowledgements,
        # a worker takes three times as many messages, and none is delivered twice after a visibility timeout.
        "ack_emulation": False,
        # No message has a priority: this makes one list per queue instead of four.
        "priority_steps": [0],
        # If Redis hangs, fail after this many seconds. No answer takes longer than BRPOP's timeout of one second.
        "socket_timeout": 10,
        "socket_connect_timeout": 5,
        **_broker.options,
    }
elif broker_url.startswith("amqp"):
    # No publisher confirms, and a worker acknowledges a message before it starts: if a message is lost, its lease runs
    # out and a sweep sends the orders again. Messages are still persistent, because a lease outlasts a restart.
    broker_transport_options = {"confirm_publish": False, "read_timeout": 10, "write_timeout": 10}
    broker_heartbeat = 30  # seconds; a connection that is lost silently is detected after two heartbeats

# Sweeps have their own queue, so that a backlog of orders never delays them. Events have their own queue, so that
# separate workers can run slow handlers.
_exchange = Exchange("orders")
# With another ORDERS_KEY they have other names in the broker, so that two deployments can share it. `--queues` and the
# routes name them by their aliases, which are the same in all deployments.
task_queues = [Queue(name, _exchange, routing_key=name, alias=alias) for alias, name in _settings.queues.items()]
task_routes = {
    "orders.sweep": {"queue": "orders.sweep"},
    "orders.reconcile": {"queue": "orders.sweep"},
    "orders.expire": {"queue": "orders.expire"},
    "orders.deliver": {"queue": "orders.events"},
    "orders.prune": {"queue": "orders.events"},
}
task_default_queue = "orders.expire"

# Accept only JSON, so that a client with write access to the broker cannot make a worker run code.
accept_content = ["json"]
result_accept_content = ["json"]
task_serializer = "json"
result_serializer = "json"
event_serializer = "json"
enable_utc = True
timezone = "UTC"

# The row shows what happened to an order. Flower shows results and tracebacks from events.
task_ignore_result = True
worker_send_task_events = True
# Messages that arrive together share one attempt (`tasks.worker.intake`). A worker uses one core: run one per core.
# Four of its threads run attempts; the others are for sweeps and events.
worker_pool = "threads"
worker_concurrency = 8
# Prefetched messages, for the next attempt of up to 1,000. Those not started are returned when the worker stops.
worker_prefetch_multiplier = 125
worker_disable_rate_limits = True  # there are no rate limits

# After a lost connection, Celery would reduce the prefetch count and raise it again from the pool's threads. Then two
# threads read from one connection, which the AMQP client does not support: it reads garbage or blocks forever.
worker_enable_prefetch_count_reduction = False

# Seconds between two runs. Workers send what beat does not (`tasks.worker.watch`).
beat_schedule = {
    "sweep": {"task": "orders.sweep", "schedule": _settings.sweep_interval},
    "reconcile": {"task": "orders.reconcile", "schedule": 60.0},
    "deliver": {"task": "orders.deliver", "schedule": _settings.events_interval},
    "prune": {"task": "orders.prune", "schedule": 3600.0},
}
# Keep no state across restarts: there is no schedule file, and beat sends all but reconcile when it starts.
beat_scheduler = "celery.beat:Scheduler"
beat_max_loop_interval = min(_settings.sweep_interval, _settings.events_interval, 5)
