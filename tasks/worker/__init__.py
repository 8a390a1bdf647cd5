"""What makes a Celery worker fit for orders: steps of its start, and how it takes, times and reports messages."""
