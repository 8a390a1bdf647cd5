"""What a worker of ours asks of Python, since it holds thousands of messages and is busy in two threads."""

import gc
import sys
from typing import Any

from celery import bootsteps

THRESHOLDS = (20_000, 50, 100)
"""New objects before the garbage collector looks at the youngest, and how many such looks before one at the survivors.
A message is many small objects, which nearly all are freed without it. With Python's defaults it walks over those that
wait after every 700 new ones: a third of a worker's CPU time, in which all its threads wait."""

SWITCH_INTERVAL = 0.001
"""Seconds after which a thread that wants to run gets its turn; Python's default is five times as long. An attempt
wants to go on after each answer of a server, while the event loop reads what has come: a tenth more orders a second."""


class Tuning(bootsteps.StartStopStep):
    """Has Python look for garbage less often, never at what was there before the first message, and switch sooner."""

    requires = ("celery.worker.consumer.tasks:Tasks",)

    def start(self, consumer: Any) -> None:  # noqa: ARG002 - Celery's signature
        """Begin; called by Celery when the worker consumes."""
        gc.collect()
        gc.freeze()
        gc.set_threshold(*THRESHOLDS)
        sys.setswitchinterval(SWITCH_INTERVAL)
