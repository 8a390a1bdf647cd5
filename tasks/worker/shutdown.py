"""How a worker stops: soon, and with its attempts finished.

A deploy sends SIGTERM to the worker, and often to its whole process group. The worker returns prefetched messages to
the queue and waits for running tasks. Its pool processes must survive that signal, or their orders would wait until the
lease ends. A running sweep ends after its current claim.
"""

import multiprocessing
import signal
from typing import Any

from billiard import pool
from celery import signals

RESULTS_TIMEOUT = 1.0
"""Seconds that an ending pool process waits for its results to be read. Billiard's 30 would delay a deploy, and the
results are also in the rows and in the log."""

is_stopping = multiprocessing.get_context("fork").Event()
"""Set in all processes of a worker when it is asked to stop."""


@signals.worker_shutting_down.connect
def tell_the_pool(**_: Any) -> None:
    """Tell a running sweep in the pool to stop."""
    is_stopping.set()


@signals.worker_process_init.connect
def outlive_sigterm(**_: Any) -> None:
    """Ignore SIGTERM in pool processes: the worker ends them through their pipe. SIGKILL still works."""
    signal.signal(signal.SIGTERM, signal.SIG_IGN)
    interval = pool.GUARANTEE_MESSAGE_CONSUMPTION_RETRY_INTERVAL
    pool.GUARANTEE_MESSAGE_CONSUMPTION_RETRY_LIMIT = round(RESULTS_TIMEOUT / interval)
