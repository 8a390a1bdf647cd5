"""Bootsteps and settings of a Celery worker: how it receives messages, reads their times, logs and stops."""
