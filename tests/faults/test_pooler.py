"""PgBouncer between everything and PostgreSQL: each transaction may have another session, and none is prepared."""

from __future__ import annotations

from collections.abc import Iterator

import pytest

from tests.faults import customers
from tests.faults.deployment import Deployment
from tests.pooler import pooled


@pytest.fixture
def postgres_url(postgres_url: str) -> Iterator[str]:
    with pooled(postgres_url) as url:
        yield url


@pytest.mark.parametrize("adapter", ["sqlalchemy", "django", "flask"], indirect=True)
def test_a_pooler_that_gives_each_transaction_another_session(deployment: Deployment) -> None:
    deployment.environment["SHOP_POOLER"] = "yes"
    customers.half_of_them_pay(deployment)
    # and no attempt failed
    assert "Traceback" not in deployment.log()
