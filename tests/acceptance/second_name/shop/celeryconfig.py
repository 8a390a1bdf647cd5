"""The settings of the shop's own Celery app. With these, ours would expire nothing."""

broker_url = "memory://"
beat_schedule: dict[str, object] = {}
