"""The settings, and the masking of passwords in logs and errors."""

from orders.config.masking import mask
from orders.config.redis_url import RedisUrl, is_ours
from orders.config.settings import MAX_BATCH, MAX_SHARDS, PREFIX, Settings

__all__ = ["MAX_BATCH", "MAX_SHARDS", "PREFIX", "RedisUrl", "Settings", "is_ours", "mask"]
