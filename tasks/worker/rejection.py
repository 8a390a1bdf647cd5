"""Reject messages that Celery fails to handle, in the same way as messages that it cannot decode."""

from typing import Any

from celery import bootsteps


class Rejection(bootsteps.StartStopStep):
    """Rejects a message if Celery raises an error while handling it, which would otherwise end the worker."""

    requires = ("celery.worker.consumer.tasks:Tasks",)

    def __init__(self, consumer: Any, **_: Any) -> None:
        create = consumer.create_task_handler

        def create_guarded() -> Any:
            receive = create()

            def receive_or_reject(message: Any) -> None:
                try:
                    receive(message)
                except (*consumer.connection_errors, *consumer.channel_errors):
                    raise  # not caused by the message
                except Exception as error:  # noqa: BLE001 - an invalid message may raise anything
                    consumer.on_decode_error(message, error)

            return receive_or_reject

        consumer.create_task_handler = create_guarded
