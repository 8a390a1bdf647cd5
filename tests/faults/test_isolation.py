"""A database whose default isolation level is not PostgreSQL's own."""

from __future__ import annotations

import pytest

from tests.faults import customers
from tests.faults.deployment import Deployment
from tests.servers import serializable


@pytest.fixture
def postgres_url(postgres_url: str) -> str:
    return serializable(postgres_url)


@pytest.mark.parametrize("adapter", ["sqlalchemy", "django", "flask"], indirect=True)
def test_a_database_that_is_serializable_by_default(deployment: Deployment) -> None:
    customers.half_of_them_pay(deployment)
    # and no transaction had to be repeated
    assert "after a conflict" not in deployment.log()
