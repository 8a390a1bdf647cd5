"""The Celery side: ``celery -A tasks worker``, ``celery -A tasks beat``, ``celery -A tasks flower``."""

from tasks.app import app
from tasks.expire import expire
from tasks.sweep import sweep

__all__ = ["app", "expire", "sweep"]
