"""The settings, and how passwords are kept out of what people read."""

from orders.config.masking import mask
from orders.config.redis_url import RedisUrl, is_ours
from orders.config.settings import MAX_BATCH, MAX_SHARDS, PREFIX, Settings

__all__ = ["MAX_BATCH", "MAX_SHARDS", "PREFIX", "RedisUrl", "Settings", "is_ours", "mask"]
