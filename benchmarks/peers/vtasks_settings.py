"""django-vtasks: Django's settings for it. Read in an environment of its own, without this project's dependencies."""

from __future__ import annotations

import os

from benchmarks.peers.job import REDIS_URL

SECRET_KEY = "benchmark"  # noqa: S105 - nothing is signed with it
INSTALLED_APPS = ["django_vtasks"]
USE_TZ = True
TASKS = {
    "default": {
        "BACKEND": "django_vtasks.backends.valkey.ValkeyTaskBackend",
        "OPTIONS": {"BROKER_URL": os.environ[REDIS_URL]},
    }
}
LOGGING = {"version": 1, "disable_existing_loggers": False, "loggers": {"django_vtasks": {"level": "WARNING"}}}
"""No line for each job in the log."""
