"""How workers and beat of our own app log: Celery sets its handlers up, this how their lines are written.

A shop that has set up logging itself, or runs our tasks in an app of its own (`tasks.installation`), keeps what it has.
"""

import logging

from celery import current_task
from celery.signals import after_setup_logger, after_setup_task_logger
from celery.utils.log import ColorFormatter, get_multiprocessing_logger

from orders import process
from orders.logs import formatter


@after_setup_logger.connect
def log_each_order_once(**_: object) -> None:
    """Leave it to the line of an attempt, which names its orders; Celery's two for each message say less."""
    for name in ("celery.worker.strategy", "celery.app.trace"):
        logging.getLogger(name).addFilter(_is_told_by_celery)


@after_setup_logger.connect
def write_lines(logger: logging.Logger, **_: object) -> None:
    """Write lines as ``ORDERS_LOG_FORMAT`` says."""
    # No message of ours is worth a line when it is received: Celery need not put one together.
    logging.getLogger("celery.worker.strategy").setLevel(logging.WARNING)
    for each in (logger, get_multiprocessing_logger()):
        _write(each)


@after_setup_task_logger.connect
def write_lines_of_tasks(logger: logging.Logger, **_: object) -> None:
    """Likewise those of the loggers that Celery makes for tasks, which hooks of a shop may use."""
    _write(logger)


def leave_alone() -> None:
    """Have the lines of this process written as Celery, or a shop, writes them."""
    after_setup_logger.disconnect(write_lines)
    after_setup_task_logger.disconnect(write_lines_of_tasks)


def _write(logger: logging.Logger) -> None:
    log_format = process.process_settings().log_format
    for handler in logger.handlers:
        if isinstance(handler.formatter, ColorFormatter):  # set up by Celery, not by a shop
            handler.setFormatter(formatter(log_format, handler.formatter))
            handler.addFilter(_name_task)


def _name_task(record: logging.LogRecord) -> bool:
    """Add what is running to a line."""
    if current_task and current_task.request.id:
        record.task_id, record.task_name = current_task.request.id, current_task.name
    return True


def _is_told_by_celery(record: logging.LogRecord) -> bool:
    return record.levelno > logging.INFO or getattr(record, "data", {}).get("name") != "orders.expire"
