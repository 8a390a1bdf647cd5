"""The pages about django-oscar and about orders of third-party models, in a shop made of django-oscar."""

from __future__ import annotations

import pytest

from tests.acceptance.conftest import wait_until
from tests.blocks import Block, blocks
from tests.shops.conftest import HOW_TO, Shop, glue

PACKAGE = "oscar", {"DJANGO_SETTINGS_MODULE": "vases.settings"}, "python manage.py migrate"

PLACED, PAID = 60, 20
"""How many orders are placed, how many of them are paid; one more is cancelled, and the others are left to expire."""

QUANTITY = 2

SECONDS = 8
"""The time to pay, in place of half an hour. A paid order is paid as soon as it is placed."""

STATUSES = "SELECT status, count(*) FROM order_order GROUP BY status ORDER BY status"

LEFT = PLACED - PAID - 1

EXPIRED = ("Expired", LEFT)

HISTORY = """
    SELECT old_status, new_status, count(DISTINCT order_id), count(*) FROM order_orderstatuschange
    GROUP BY old_status, new_status ORDER BY new_status
"""

LINES = """
    SELECT o.status, l.status, l.num_allocated, l.allocation_cancelled, count(*)
    FROM order_order o JOIN order_line l ON l.order_id = o.id GROUP BY 1, 2, 3, 4 ORDER BY 1
"""

STOCK = "SELECT sum(num_in_stock)::int, sum(num_allocated)::int FROM partner_stockrecord"

EARLY = f"""
    SELECT count(*) FROM order_order o JOIN order_orderstatuschange c ON c.order_id = o.id
    WHERE c.new_status = 'Expired' AND c.date_created < o.date_placed + interval '{SECONDS} s'
"""


def page(name: str) -> list[Block]:
    """Return the blocks of a page, with less time to pay."""
    text = (HOW_TO / name).read_text()
    return blocks(text.replace("minutes=30", f"seconds={SECONDS}").replace('"GRACE": 1800', f'"GRACE": {SECONDS}'))


def section(title: str) -> list[Block]:
    text = (HOW_TO / "third-party-models.md").read_text()
    return blocks(
        text.partition(f"\n## {title}\n")[2].partition("\n## ")[0].replace("minutes=30", f"seconds={SECONDS}")
    )


def test_the_glue_is_short() -> None:
    assert glue(page("oscar.md")) <= 25


def placed_and_grace() -> list[Block]:
    *build, _, _ = page("oscar.md")
    return build


def column_of_its_own() -> list[Block]:
    [hooks] = [block for block in page("oscar.md") if block.file == "expiry/order_hooks.py"]
    hooks.text = hooks.text.replace("order.date_placed", "order.expires_at")
    return [Block("sh", "mkdir expiry && touch expiry/__init__.py"), hooks, *section("A column of your own")]


def table_of_its_own() -> list[Block]:
    return section("A table of your own")


WAYS = {
    "placed and grace": (placed_and_grace, "expiry"),
    "column": (column_of_its_own, "expiry"),
    "table": (table_of_its_own, "deadlines"),
}
"""What the pages say to do, and the app of the shop with the hooks."""

EXTENDED = """
from django.utils import timezone
from oscar.core.loading import get_model
import orders
orders_ = get_model("order", "Order").objects
order = orders_.filter(status="Expired").first()
orders_.filter(pk=order.pk).update(status="Pending")
def times():
    return orders_.values_list("date_placed", "{deadline}").get(pk=order.pk)
before = times()
{reopen}
assert orders.extend(order.pk, timeout=60)
after = times()
assert after[1] > timezone.now() > before[1]
assert (before[0] == after[0]) is {keeps_date}
"""
"""What `orders.extend` changes, which the page says."""

AFTERWARDS = {
    "placed and grace": EXTENDED.format(deadline="date_placed", reopen="", keeps_date=False),
    "column": EXTENDED.format(deadline="expires_at", reopen="", keeps_date=True)
    + """
# the dashboard cancels an order that has expired since it was read
from oscar.apps.order.exceptions import InvalidOrderStatus
stale = orders_.get(pk=order.pk)
orders_.filter(pk=order.pk).update(status="Expired")
try:
    stale.set_status("Cancelled")
except InvalidOrderStatus:
    assert orders_.get(pk=order.pk).status == "Expired"
else:
    raise AssertionError("it was cancelled")
""",
    "table": EXTENDED.format(
        deadline="deadline__expires_at",
        reopen="from deadlines.models import Deadline; Deadline.objects.filter(pk=order.pk).update(status='Pending')",
        keeps_date=True,
    )
    + """
# the dashboard cancels an order that is pending
orders_.get(pk=order.pk).set_status("Cancelled")
assert Deadline.objects.get(pk=order.pk).status == "Cancelled"
""",
}


@pytest.mark.parametrize("way", WAYS)
def test_orders_of_oscar_expire(shop: Shop, way: str) -> None:
    # given a shop that has followed the page, and whose workers run
    build, app = WAYS[way]
    shop.follow(build())
    tables = ["order_line order_id UPDATE", "order_order id UPDATE", "order_orderstatuschange order_id INSERT"]
    shop.audit(*tables)
    [run] = [block for block in page("oscar.md") if block.text.startswith("celery")]
    with shop.running(run) as output:
        # when customers place orders, of which some are paid, and one is cancelled
        placed = shop.reader.run(f"python checkout.py {app}.order_hooks {PLACED} {PAID}")
        assert int(placed) == PLACED * QUANTITY
        # then the others expire after their time to pay
        wait_until(lambda: EXPIRED in shop.rows(STATUSES), within=60, why="orders are left open")
        assert "Traceback" not in output()
    assert shop.rows(STATUSES) == [("Cancelled", 1), EXPIRED, ("Paid", PAID)]
    assert shop.rows(EARLY) == [(0,)]
    # with their allocations, and nobody else's
    assert shop.rows(STOCK) == [(3000, PAID * QUANTITY)]
    assert shop.rows(LINES) == [
        ("Cancelled", "Cancelled", 0, True, 1),
        ("Expired", "Pending", 0, True, LEFT),
        ("Paid", "Pending", QUANTITY, False, PAID),
    ]
    # in the transaction that changed the status, and that wrote oscar's history
    assert shop.rows(HISTORY) == [
        ("Pending", "Cancelled", 1, 1),
        ("Pending", "Expired", LEFT, LEFT),
        ("Pending", "Paid", PAID, PAID),
    ]
    changed = [table.split()[0] for table in tables]
    history_alone, with_lines = [", ".join(changed[1:]), ", ".join(changed)]
    assert shop.transactions() == {history_alone: PAID, with_lines: LEFT + 1}
    # and what else the pages say is so
    warns = "order_expiry.W001" in shop.reader.run("python manage.py check 2>&1")
    assert warns is (way == "placed and grace")
    shop.rows(page("oscar.md")[-1].text if warns else "SELECT 1")
    shop.reader.run(f"python manage.py shell <<'END'\n{AFTERWARDS[way]}\nEND")
