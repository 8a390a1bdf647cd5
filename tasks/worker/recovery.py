"""Reconnect after any error that the broker answers.

Celery ends a worker with "Unrecoverable error" if the broker answers with an error, unless
``broker_channel_error_retry`` is set. But a Redis that loads its data, that is full or cannot write to its disk, and a
RabbitMQ without the node of a queue recover. No supervisor need be there to start the worker again.
"""

from typing import Any

from celery import bootsteps


class Recovery(bootsteps.Step):
    """Makes the worker treat errors that the broker answers like a lost connection: it connects again."""

    def __init__(self, consumer: Any, **_: Any) -> None:
        consumer.connection_errors = (*consumer.connection_errors, *consumer.channel_errors)
