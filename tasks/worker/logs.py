"""Logging of the workers and beat of our app: Celery sets up the handlers, this module sets their formatters.

Logging that the application has set up itself stays as it is, and so does that of other apps (`tasks.installation`).
"""

import logging

from celery import current_task
from celery.signals import after_setup_logger, after_setup_task_logger
from celery.utils.log import ColorFormatter, get_multiprocessing_logger

from orders import process
from orders.logs import formatter


@after_setup_logger.connect
def log_each_order_once(**_: object) -> None:
    """Drop Celery's two lines per message: the line of an attempt says more and names its orders."""
    for name in ("celery.worker.strategy", "celery.app.trace"):
        logging.getLogger(name).addFilter(_is_logged_by_celery)


@after_setup_logger.connect
def write_lines(logger: logging.Logger, **_: object) -> None:
    """Format lines as ``ORDERS_LOG_FORMAT`` says."""
    # None of our messages is logged when it is received, so Celery need not build the line.
    logging.getLogger("celery.worker.strategy").setLevel(logging.WARNING)
    for each in (logger, get_multiprocessing_logger()):
        _set_formatters(each)


@after_setup_task_logger.connect
def write_lines_of_tasks(logger: logging.Logger, **_: object) -> None:
    """Format the lines of Celery's task loggers, which hooks may use."""
    _set_formatters(logger)


def leave_alone() -> None:
    """Keep the formatters of Celery or of the application in this process."""
    after_setup_logger.disconnect(write_lines)
    after_setup_task_logger.disconnect(write_lines_of_tasks)


def _set_formatters(logger: logging.Logger) -> None:
    log_format = process.process_settings().log_format
    for handler in logger.handlers:
        if isinstance(handler.formatter, ColorFormatter):  # set up by Celery, not by the application
            handler.setFormatter(formatter(log_format, handler.formatter))
            handler.addFilter(_name_task)


def _name_task(record: logging.LogRecord) -> bool:
    """Add the id and name of the running task to a record."""
    if current_task and current_task.request.id:
        record.task_id, record.task_name = current_task.request.id, current_task.name
    return True


def _is_logged_by_celery(record: logging.LogRecord) -> bool:
    return record.levelno > logging.INFO or getattr(record, "data", {}).get("name") != "orders.expire"
