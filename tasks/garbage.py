"""How often a worker of ours looks for garbage: seldom.

A message is many small objects, and thousands of them are held until their deadlines. Nearly all are freed without the
garbage collector; with Python's defaults it walks over them after every 700 new ones, which takes a third of a
worker's CPU time, and holds all its threads up.
"""

import gc
from typing import Any

from celery import bootsteps

THRESHOLDS = (20_000, 50, 100)
"""New objects before a look at the youngest, and how many such looks before one at those that survived."""


class RareCollections(bootsteps.StartStopStep):
    """Has what was there before the first message never be looked at, and the rest less often."""

    requires = ("celery.worker.consumer.tasks:Tasks",)

    def start(self, consumer: Any) -> None:  # noqa: ARG002 - Celery's signature
        """Begin; called by Celery when the worker consumes."""
        gc.collect()
        gc.freeze()
        gc.set_threshold(*THRESHOLDS)
