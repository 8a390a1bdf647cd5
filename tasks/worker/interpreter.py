"""Settings of the Python interpreter for a worker, which holds thousands of messages and is busy in two threads."""

import gc
import sys
from typing import Any

from celery import bootsteps

THRESHOLDS = (20_000, 50, 100)
"""Arguments of `gc.set_threshold`. A message is many small objects, and reference counting frees nearly all of them.
With Python's default, the collector visits the waiting messages after every 700 new objects. That takes a third of a
worker's CPU time, during which all its threads wait."""

SWITCH_INTERVAL = 0.001
"""Argument of `sys.setswitchinterval`, in seconds; Python's default is five times as long. The threads of attempts
continue sooner after each reply while the event loop reads messages: a tenth more orders per second."""


class Tuning(bootsteps.StartStopStep):
    """Makes Python collect garbage less often, never visit the objects of the start, and switch threads sooner."""

    requires = ("celery.worker.consumer.tasks:Tasks",)

    def start(self, consumer: Any) -> None:  # noqa: ARG002 - Celery's signature
        """Apply the settings; called by Celery when the worker consumes."""
        gc.collect()
        gc.freeze()
        gc.set_threshold(*THRESHOLDS)
        sys.setswitchinterval(SWITCH_INTERVAL)
