"""Add the tasks to an existing Celery app, to run with its broker, its workers and its beat.

Only the queues, the routes and the beat entries of the tasks are added to the app's settings. Everything else, such as
acknowledgements, the pool and serializers, stays as the app has it.
"""

from functools import cache
from importlib.util import module_from_spec, spec_from_file_location
from pathlib import Path
from types import ModuleType
from typing import Any

from celery import Celery
from kombu.entity import Exchange, Queue

from tasks.app import serve
from tasks.registry import TASKS
from tasks.wiring import Wiring
from tasks.worker import logs
from tasks.worker.heartbeat import Heartbeat
from tasks.worker.intake import Intake
from tasks.worker.recovery import Recovery
from tasks.worker.stall import Stall
from tasks.worker.watch import Watch


def install(app: Celery) -> None:
    """Add the tasks of `orders` to a Celery app, before or after its configuration is read.

    Workers of the app then also consume the queues ``orders.sweep``, ``orders.expire`` and ``orders.events``, unless
    ``-Q`` names others.

    Args:
        app: the Celery app. It becomes the default app of the process, whatever was imported before.
    """
    app.set_default()
    serve(app)
    logs.leave_alone()
    for function, options in TASKS:
        app.task(**{"ignore_result": True, **options})(function)
    for step in (Heartbeat, Intake, Recovery, Stall, Watch, Wiring):
        app.steps["consumer"].add(step)
    app.on_after_configure.connect(_add_settings, weak=False)  # also if it is configured anew
    if app.configured:
        _add_settings(app)


def _add_settings(sender: Celery, **_: Any) -> None:
    """Add the queues, routes and beat entries to the settings of the app, unless it has them."""
    conf, ours = sender.conf, _our_celeryconfig()
    default = conf.task_default_queue
    exchange = Exchange(conf.task_default_exchange or default, conf.task_default_exchange_type)
    own = conf.task_queues or [Queue(default, exchange, routing_key=conf.task_default_routing_key or default)]
    own = list(own.values()) if isinstance(own, dict) else list(own)
    conf.task_queues = [*(queue for queue in own if queue not in ours.task_queues), *ours.task_queues]
    routes = conf.task_routes or []
    routes = list(routes) if isinstance(routes, list | tuple) else [routes]
    conf.task_routes = [*(route for route in routes if route is not ours.task_routes), ours.task_routes]
    entries = {f"orders.{name}": entry for name, entry in ours.beat_schedule.items()}
    conf.beat_schedule = {**entries, **(conf.beat_schedule or {})}
    if "amqp" in vars(sender):  # its queues and routes were made from the settings before
        del sender.amqp


@cache
def _our_celeryconfig() -> ModuleType:
    """Load ``celeryconfig`` from this distribution by path: the application may have a module of that name."""
    path = Path(__file__).parents[1] / "celeryconfig.py"
    spec = spec_from_file_location("orders_celeryconfig", path)
    assert spec is not None and spec.loader is not None  # noqa: S101, PT018 - a file that we ship
    module = module_from_spec(spec)
    spec.loader.exec_module(module)
    return module
