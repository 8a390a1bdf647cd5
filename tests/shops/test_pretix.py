"""The page about pretix, in a pretix as packaged."""

from __future__ import annotations

import json

from tests.acceptance.conftest import wait_until
from tests.blocks import blocks
from tests.shops.conftest import HOW_TO, Shop, glue

PAGE = blocks((HOW_TO / "pretix.md").read_text())

PACKAGE = (
    "pretix",
    {
        "DJANGO_SETTINGS_MODULE": "shop.settings",
        "PRETIX_CELERY_BACKEND": "{redis}",
        "PRETIX_CELERY_BROKER": "{redis}",
        "PRETIX_DATABASE_BACKEND": "postgresql",
        "PRETIX_DATABASE_NAME": "{database}",
        "PRETIX_REDIS_LOCATION": "{redis}",
    },
    "true",  # migrating is in the page, and takes longest
)

PLACED, PAID = 40, 15

SECONDS = 5
"""How long after its last change an order is due."""

STATUSES = "SELECT status, array_agg(id ORDER BY id) FROM pretixbase_order GROUP BY status"

LOGGED = (
    "SELECT array_agg(object_id ORDER BY object_id) FROM pretixbase_logentry WHERE action_type LIKE '%order.expired'"
)

AUDITED = (
    "pretixbase_logentry object_id INSERT WHEN (new.action_type = 'pretix.event.order.expired')",
    "pretixbase_order id UPDATE WHEN (new.status = 'e')",
    "pretixbase_transaction order_id INSERT WHEN (new.count < 0)",
)


def test_the_glue_is_short() -> None:
    assert glue(PAGE) <= 30


def test_orders_of_pretix_expire(shop: Shop) -> None:
    # given a pretix that has followed the page, and whose workers run
    *build, run, cron, index = PAGE
    shop.follow(build)
    shop.audit(*AUDITED)
    with shop.running(run) as output:
        # when customers place orders, of which some are paid
        told = json.loads(shop.reader.run(f"python box_office.py {PLACED} {PAID} {SECONDS}"))
        left = told.pop("left")
        assert left == {"concert": 100 - PLACED - 6, "delayed": 90, "open-end": 97}
        # then those expire that pretix itself would let expire
        wait_until(lambda: dict(shop.rows(STATUSES)).get("e") == told["e"], within=60, why="orders are left open")
        assert "'kept'" in output()
        assert "Traceback" not in output()
    # and no others: those that are paid, await an approval, are valid if pending, or whose delay is not over
    assert dict(shop.rows(STATUSES)) == told
    # in the transaction that changed their status, and that wrote pretix's own log and transactions, once
    assert shop.transactions() == {"pretixbase_logentry, pretixbase_order, pretixbase_transaction": len(told["e"])}
    assert shop.rows(LOGGED) == [(told["e"],)]
    # and pretix's own job, which the page excludes, finds nothing that is left
    job, tickets = shop.reader.run("python box_office.py after").splitlines()
    assert cron.text == f"python -m pretix runperiodic --exclude {job}\n"
    assert dict(shop.rows(STATUSES)) == told
    # with their quotas
    over = len(told["e"]) - (PLACED - PAID)
    assert json.loads(tickets) == {"concert": 100 - PAID - 6, "delayed": 90 + over, "open-end": 97}
    shop.rows(index.text)
