"""What is written into the table of events, and by how many statements."""

from __future__ import annotations

import threading

import pytest
import sqlalchemy as sa

from orders.store.identity import KIND
from orders.store.outbox import Outbox
from tests.conftest import Shop

pytestmark = pytest.mark.every_adapter


def inserts(shop: Shop) -> int:
    """Return how many rows or groups of rows MariaDB was told to insert, by anybody."""
    with shop.engine.connect() as connection:
        return int(connection.exec_driver_sql("SHOW GLOBAL STATUS LIKE 'Com_insert'").one()[1])


def test_the_events_of_an_attempt_are_written_at_once(shop: Shop) -> None:
    # when an attempt expires many orders
    shop.create("integer")
    shop.place(*range(1, 101))
    shop.expiry.ownership.check_once()  # writes a row of its own
    is_mariadb = shop.engine.dialect.name in {"mysql", "mariadb"}
    before = inserts(shop) if is_mariadb else 0
    assert shop.claim_and_expire() == {"expired": 100}
    # then each has its event, in the order of the ids
    table = Outbox(shop.settings, shop.engine.dialect.name, None).table
    data = sa.cast(table.c.data, sa.String(100))
    with shop.engine.connect() as connection:
        select = sa.select(table, data.label("text")).where(table.c.kind != KIND).order_by(table.c.id)
        rows = connection.execute(select).all()
    found = [(row.order_id, row.kind, row.text, row.refusals, row.delivered_at, row.error) for row in rows]
    assert found == [(str(order_id), "expired", "{}", 0, None, None) for order_id in range(1, 101)]
    # and all have the instant of the one statement by which they were written
    assert len({moment for row in rows for moment in (row.at, row.try_at)}) == 1
    if is_mariadb:
        assert inserts(shop) - before == 1


def test_an_order_whose_payment_commits_first_has_no_event_of_its_expiry(shop: Shop) -> None:
    # given a payment of one order of three that has changed its row, and has not been committed
    shop.create()
    shop.place("41", "42", "43")
    shop.store.check()
    ended: list[dict[str, int]] = []
    expiring = threading.Thread(target=shop.adapter.tidy(lambda: ended.append(shop.claim_and_expire())))
    with shop.engine.begin() as connection:
        connection.execute(sa.text("UPDATE orders SET status = 'paid' WHERE id = '42'"))
        # when an attempt at all three begins meanwhile, and waits for the row
        expiring.start()
        expiring.join(0.2)
        assert expiring.is_alive()
    expiring.join()
    # then the payment stands, and two orders are told of
    assert ended == [{"expired": 2, "closed": 1}]
    assert [shop.kinds(order_id) for order_id in ("41", "42", "43")] == [["expired"], [], ["expired"]]
