"""What a deploy asks of a worker: to stop soon, and to leave nothing half done.

A deploy sends SIGTERM to the worker, and often to its whole process group. The worker hands what it has prefetched
back to the queue and waits for what runs; its pool processes must not die of that signal meanwhile, or their orders
would wait out a lease. A sweep that runs ends with the claim that it is at.
"""

import multiprocessing
import signal
from typing import Any

from billiard import pool
from celery import signals

RESULTS_TIMEOUT = 1.0
"""Seconds that a pool process waits at its end for its results to be read: billiard's 30 hold up a deploy, and a
result of ours tells nothing that its row and its log line do not."""

is_stopping = multiprocessing.get_context("fork").Event()
"""Set in all processes of a worker once it was asked to stop."""


@signals.worker_shutting_down.connect
def tell_the_pool(**_: Any) -> None:
    """Let a sweep in the pool know."""
    is_stopping.set()


@signals.worker_process_init.connect
def outlive_sigterm(**_: Any) -> None:
    """Leave it to the worker when a pool process ends: it says so on their pipe. SIGKILL still works."""
    signal.signal(signal.SIGTERM, signal.SIG_IGN)
    interval = pool.GUARANTEE_MESSAGE_CONSUMPTION_RETRY_INTERVAL
    pool.GUARANTEE_MESSAGE_CONSUMPTION_RETRY_LIMIT = round(RESULTS_TIMEOUT / interval)
