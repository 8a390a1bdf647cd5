"""A schedule on a real Redis, and no database."""

from __future__ import annotations

import pytest


@pytest.fixture
def database_url() -> str:
    return "sqlite://"  # nothing here asks the database
