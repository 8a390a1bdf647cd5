"""django-vtasks: its task. It runs in its own environment, without this project's dependencies."""

from __future__ import annotations

import asyncio
import os

import django
from django.tasks import task_backends
from django_vtasks import task

from benchmarks.peers.async_job import expire

CHUNK = 1000

os.environ.setdefault("DJANGO_SETTINGS_MODULE", "benchmarks.peers.vtasks_settings")


@task
async def expire_order(order_id: int) -> None:
    """Expire an order."""
    await expire(order_id)


def fill(orders: int) -> None:
    """Enqueue one task per order."""
    django.setup()
    asyncio.run(_fill(orders))


async def _fill(orders: int) -> None:
    backend = task_backends["default"]
    for first in range(1, orders + 1, CHUNK):
        ids = range(first, min(first + CHUNK, orders + 1))
        await backend.aenqueue_many([(expire_order, (order_id,), {}) for order_id in ids])
