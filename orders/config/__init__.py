"""The settings, and the masking of passwords in logs and errors."""

from orders.config.database_url import prepare_threshold
from orders.config.durations import Brake, parse_duration
from orders.config.masking import mask
from orders.config.redis_url import RedisUrl, is_ours
from orders.config.reminders import Reminders
from orders.config.settings import MAX_BATCH, MAX_SHARDS, PREFIX, QUEUES, Settings
from orders.config.variables import misspelt, strangers
from orders.config.webhooks import Endpoint

__all__ = [
    "MAX_BATCH",
    "MAX_SHARDS",
    "PREFIX",
    "QUEUES",
    "Brake",
    "Endpoint",
    "RedisUrl",
    "Reminders",
    "Settings",
    "is_ours",
    "mask",
    "misspelt",
    "parse_duration",
    "prepare_threshold",
    "strangers",
]
