"""An UPDATE that matches a row and changes nothing: a trigger or a policy is in its way."""

from __future__ import annotations

import json
from collections.abc import Iterator
from contextlib import suppress

import pytest
import sqlalchemy as sa

from orders.config.settings import Settings
from orders.errors import ExpiryFailed, StoreError
from orders.expiry.use_cases import OrderExpiry
from orders.hooks import Answer
from orders.store import UNCHANGED, Outcome, PaymentVerdict, Verdict
from orders.store.sql_store import SqlStore
from tests.conftest import Shop

IN_THE_WAY = {
    "a trigger skips the row": """
        CREATE FUNCTION skip() RETURNS trigger LANGUAGE plpgsql AS 'BEGIN RETURN NULL; END';
        CREATE TRIGGER skip BEFORE UPDATE ON orders FOR EACH ROW WHEN (OLD.id = '42') EXECUTE FUNCTION skip()
    """,
    "a trigger restores the status": """
        CREATE FUNCTION keep() RETURNS trigger LANGUAGE plpgsql AS 'BEGIN NEW.status := OLD.status; RETURN NEW; END';
        CREATE TRIGGER keep BEFORE UPDATE ON orders FOR EACH ROW WHEN (OLD.id = '42') EXECUTE FUNCTION keep()
    """,
    "a policy hides the row": """
        DO 'BEGIN CREATE ROLE clerk; EXCEPTION WHEN duplicate_object THEN END';
        GRANT USAGE ON SCHEMA public TO clerk;
        GRANT ALL ON ALL TABLES IN SCHEMA public TO clerk;
        GRANT ALL ON ALL SEQUENCES IN SCHEMA public TO clerk;
        ALTER TABLE orders ENABLE ROW LEVEL SECURITY;
        CREATE POLICY seen ON orders FOR SELECT USING (true);
        CREATE POLICY kept ON orders FOR UPDATE USING (id <> '42')
    """,
}


@pytest.fixture
def database_url(postgres_url: str) -> str:
    return postgres_url


@pytest.fixture(params=IN_THE_WAY)
def blocked(shop: Shop, request: pytest.FixtureRequest) -> Iterator[Shop]:
    """A shop with two due orders, of which no UPDATE changes 42."""
    shop.create()
    shop.place("42", "43")
    with shop.engine.begin() as connection:
        connection.execute(sa.text(IN_THE_WAY[request.param]))
    url = sa.make_url(shop.settings.database_url)
    if "policy" in request.param:  # it does not apply to a superuser
        url = url.update_query_dict({"options": "-c role=clerk"})
    store = SqlStore(Settings(database_url=url.render_as_string(hide_password=False)), hooks=shop.hooks)
    shop.expiry = OrderExpiry(
        shop.settings, shop.schedule, store, hooks=shop.hooks, sleep=shop.slept.append, jitter=lambda: 0.0
    )
    yield shop
    store.close()


def until_buried(shop: Shop) -> None:
    """Attempt to expire the order until it is a dead letter."""
    for _ in range(shop.settings.max_attempts):
        shop.redis.zadd("orders", {"42": 1.0})  # time passes
        with pytest.raises(ExpiryFailed, match="42: the row is pending, but the UPDATE did not change it"):
            shop.claim_and_expire()


def test_each_attempt_has_a_reason_and_in_the_end_there_is_a_dead_letter(blocked: Shop) -> None:
    until_buried(blocked)
    assert (blocked.status("42"), blocked.status("43")) == ("pending", "expired")
    letter = json.loads(blocked.redis.hget("{orders}:dead", "42") or "")
    assert (letter["reason"], letter["attempts"]) == (UNCHANGED, blocked.settings.max_attempts)
    assert blocked.kinds("42") == []


def test_the_same_if_the_guard_says_that_it_was_paid(blocked: Shop) -> None:
    blocked.hooks.guard(lambda order_id: Answer.PAID if order_id == "42" else Answer.UNPAID)
    until_buried(blocked)
    assert (blocked.status("42"), blocked.status("43")) == ("pending", "expired")
    assert blocked.schedule.stats()["dead"] == 1


def test_a_payment_is_neither_accepted_nor_refused(blocked: Shop) -> None:
    verdicts = []
    with suppress(StoreError):
        verdicts.append(blocked.expiry.pay("42", reference="ch_1").verdict)
    assert verdicts in ([], [PaymentVerdict.NOT_FOUND])  # a policy hides the row from SELECT … FOR UPDATE too
    assert blocked.status("42") == "pending"
    assert blocked.kinds("42") == []


def test_a_deadline_that_passes_between_the_update_and_the_look_is_no_failure(shop: Shop) -> None:
    # given an order of which the first look, after the update, is the first to find it due
    shop.create()
    shop.place("42")
    verdicts = iter([Verdict(Outcome.NOT_DUE, 1.0, -0.001)])
    expire = shop.store.expire
    shop.store.expire = lambda order_ids: (  # type: ignore[method-assign]
        {"42": verdict} if (verdict := next(verdicts, None)) else expire(order_ids)
    )
    # then the next update expires it
    assert shop.claim_and_expire() == {"expired": 1}
