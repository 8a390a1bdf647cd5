"""A shop on SQLite, and a process whose environment and use cases are those of the shop."""

from __future__ import annotations

from pathlib import Path

import pytest

from tests.conftest import Shop


@pytest.fixture
def database_url(tmp_path: Path) -> str:
    return f"sqlite:///{tmp_path / 'shop.db'}"


@pytest.fixture(autouse=True)
def _environment(shop: Shop, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("ORDERS_REDIS_URL", shop.settings.redis_url)
    monkeypatch.setenv("ORDERS_DATABASE_URL", shop.settings.database_url)
    monkeypatch.setattr("orders.process._current", shop.expiry)
