"""What the tests of a worker's intake share."""

from __future__ import annotations

from collections.abc import Iterator
from types import SimpleNamespace

import pytest
from celery.worker import state

import orders


@pytest.fixture
def no_guard(monkeypatch: pytest.MonkeyPatch) -> Iterator[None]:
    """A shop without a guard, and a worker to which nothing was revoked."""
    found = SimpleNamespace(guard=None, settings=SimpleNamespace(guard_parallel=16))
    monkeypatch.setattr(orders, "current", lambda: found)
    state.revoked.clear()
    yield
    state.revoked.clear()
