"""A worker's edge: what Celery cannot read is refused, as what it can read and does not believe."""

from typing import Any

from celery import bootsteps


class Refusal(bootsteps.StartStopStep):
    """Refuses a message that Celery stumbles over: it would end the worker, whoever sent it."""

    requires = ("celery.worker.consumer.tasks:Tasks",)

    def __init__(self, consumer: Any, **_: Any) -> None:
        create = consumer.create_task_handler

        def create_guarded() -> Any:
            receive = create()

            def receive_or_refuse(message: Any) -> None:
                try:
                    receive(message)
                except (*consumer.connection_errors, *consumer.channel_errors):
                    raise  # the broker's fault, and not the message's
                except Exception as error:  # noqa: BLE001 - whatever a message makes of a parser
                    consumer.on_decode_error(message, error)

            return receive_or_refuse

        consumer.create_task_handler = create_guarded
