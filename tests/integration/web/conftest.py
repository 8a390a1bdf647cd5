"""A shop on SQLite, and the operators' page before it."""

from __future__ import annotations

from pathlib import Path

import pytest
from werkzeug.test import Client

from tests.conftest import Shop
from tests.integration.webhooks.conftest import receivers
from tests.page import page_of

__all__ = ["database_url", "page", "receivers"]


@pytest.fixture
def database_url(tmp_path: Path) -> str:
    return f"sqlite:///{tmp_path / 'shop.db'}"


@pytest.fixture
def page(shop: Shop) -> Client:
    shop.create()
    return page_of(shop)
