"""Django's settings for django-vtasks. They are read in its own environment, without this project's dependencies."""

from __future__ import annotations

import os

from benchmarks.peers.job import REDIS_URL

SECRET_KEY = "benchmark"  # noqa: S105 - it signs nothing
INSTALLED_APPS = ["django_vtasks"]
USE_TZ = True
TASKS = {
    "default": {
        "BACKEND": "django_vtasks.backends.valkey.ValkeyTaskBackend",
        "OPTIONS": {"BROKER_URL": os.environ[REDIS_URL]},
    }
}
LOGGING = {"version": 1, "disable_existing_loggers": False, "loggers": {"django_vtasks": {"level": "WARNING"}}}
"""Write no log line per job."""
