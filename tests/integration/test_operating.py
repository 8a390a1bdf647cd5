"""What operators do, on a real Redis: counts, pages, retries, removals, extensions."""

from __future__ import annotations

import json
from datetime import UTC, datetime, timedelta
from pathlib import Path

import pytest
from typer.testing import CliRunner, Result

from orders.cli import app
from orders.clock import local
from orders.operate import Operations, Where
from orders.operate import operations as operating
from tests.conftest import Shop


@pytest.fixture
def database_url(tmp_path: Path) -> str:
    return f"sqlite:///{tmp_path / 'shop.db'}"


@pytest.fixture
def operations(shop: Shop) -> Operations:
    shop.create()
    return Operations(shop.expiry)


def bury(shop: Shop, *order_ids: str | bytes) -> None:
    for number, order_id in enumerate(order_ids):
        letter = {"reason": f"no stock {number}", "attempts": 10, "buried_at": 1_900_000_000 + number}
        shop.redis.hset("{orders}:dead", order_id, json.dumps(letter))


def listed(operations: Operations, where: Where, number: int = 1, size: int = 50) -> list[str]:
    return [item.order_id for item in operations.page(where, number=number, size=size).items]


def test_an_empty_schedule_has_empty_pages(operations: Operations) -> None:
    overview = operations.overview()
    assert overview.counts == dict.fromkeys(Where, 0)
    assert overview.swept_ago is None
    for where in Where:
        page = operations.page(where, number=7)
        assert (page.items, page.number, page.pages, page.total) == ([], 1, 1, 0)


def test_a_lease_is_told_from_a_deadline_and_from_a_retry(shop: Shop, operations: Operations) -> None:
    # given two claims, and a deadline before, between and behind their leases
    now = shop.schedule.now()
    shop.schedule.enqueue([("first", now - 9), ("failing", now - 8)])
    first = shop.schedule.claim(10)
    shop.schedule.enqueue([("second", now - 7)])
    second = shop.schedule.claim(10)
    between = (first.lease + second.lease) / 2
    shop.schedule.enqueue([("before", now + 60), ("between", between), ("behind", now + 600), ("late", now - 1)])
    # when one that was claimed is to be tried again
    (claimed,) = [claimed for claimed in first.claimed if claimed.order_id == "failing"]
    shop.store.check()
    shop.schedule.start(first.lease, [claimed.order_id])
    shop.expiry.expire(["failing"], first.lease)
    # then
    counts = operations.overview().counts
    assert counts == {Where.PENDING: 4, Where.DUE: 1, Where.LEASED: 2, Where.DEAD: 0}
    assert listed(operations, Where.LEASED) == ["first", "second"]
    assert listed(operations, Where.DUE) == ["late"]
    assert [name for name in listed(operations, Where.PENDING) if name != "failing"] == ["before", "between", "behind"]
    failing = next(item for item in operations.page(Where.PENDING).items if item.order_id == "failing")
    assert failing.reason == "the table has no such row"
    assert operations.overview().swept_ago == pytest.approx(0, abs=5)


def test_a_lease_that_has_run_out_is_due_and_a_settled_one_is_gone(shop: Shop, operations: Operations) -> None:
    shop = shop.configured(lease=0.05, lookahead=0.01)
    shop.place("out", "settled", due=-60)
    claim = shop.schedule.claim(10)
    operations = Operations(shop.expiry)
    assert operations.overview().counts[Where.LEASED] == 2
    shop.expiry.expire(["settled"], claim.lease)
    while shop.schedule.now() <= claim.lease_ends:  # a real lease that runs out
        pass
    assert operations.overview().counts == {Where.PENDING: 0, Where.DUE: 1, Where.LEASED: 0, Where.DEAD: 0}


def test_claims_forget_the_tokens_of_leases_that_have_run_out(shop: Shop) -> None:
    shop = shop.configured(lease=0.05, lookahead=0.01)
    shop.schedule.enqueue([("a", 1.0)])
    first = shop.schedule.claim(1)
    while shop.schedule.now() <= first.lease_ends:
        pass
    second = shop.schedule.claim(1)
    assert shop.redis.zscore("{orders}:leases", f"{second.lease:.6f}") == second.lease
    assert shop.redis.zcard("{orders}:leases") == 1


@pytest.mark.parametrize("values", [{}, {"score": "created", "timeout": 900}, {"grace": 30}], ids=str)
def test_pages_show_each_order_once_in_order_around_the_leases(shop: Shop, values: dict[str, object]) -> None:
    # given 260 that are pending, with 45 under leases in their midst
    shop = shop.configured(**values)
    operations, now = Operations(shop.expiry), shop.schedule.now()
    for batch in range(3):
        shop.schedule.enqueue((f"leased-{batch}-{number:02}", now - 60) for number in range(15))
        shop.schedule.claim(100)
    expected = [f"{number:03}" for number in range(260)]
    shop.schedule.enqueue((name, now + 20 + int(name)) for name in expected)
    # when
    pages = [operations.page(Where.PENDING, number=number, size=50) for number in range(1, 7)]
    # then
    assert [item.order_id for page in pages for item in page.items] == expected
    assert [len(page.items) for page in pages] == [50, 50, 50, 50, 50, 10]
    assert {(page.pages, page.total) for page in pages} == {(6, 260)}
    assert operations.page(Where.PENDING, number=99, size=50) == pages[-1]
    leased = [listed(operations, Where.LEASED, number=number, size=20) for number in (1, 2, 3)]
    assert [len(page) for page in leased] == [20, 20, 5]
    assert len({name for page in leased for name in page}) == 45


def test_dead_letters_come_oldest_first_and_no_more_than_can_be_sorted(
    shop: Shop, operations: Operations, monkeypatch: pytest.MonkeyPatch
) -> None:
    names = [f"{number:03}" for number in range(250)]
    bury(shop, *names)
    pages = [listed(operations, Where.DEAD, number=number, size=100) for number in (1, 2, 3)]
    assert [name for page in pages for name in page] == names
    monkeypatch.setattr(operating, "REACH", 120)
    page = operations.page(Where.DEAD, number=2, size=100)
    assert (page.total, page.reachable, page.pages, len(page.items)) == (250, 120, 2, 20)


def test_retry_takes_only_what_is_buried_and_gives_it_all_its_attempts(shop: Shop, operations: Operations) -> None:
    bury(shop, "42", "43", b"\xff")
    shop.schedule.enqueue([("44", 2e9)])
    shop.redis.hset("{orders}:attempts", "42", 3)
    assert operations.retry(["42", "44", "nobody", "\udcff"]) == ["42", "\udcff"]
    assert shop.score("44") == 2e9
    assert shop.score("nobody") is None
    assert {claimed.order_id: claimed.attempts for claimed in shop.schedule.claim(9).claimed} == {"42": 0, "\udcff": 0}
    assert operations.retry_all() == 1
    assert operations.overview().counts[Where.DEAD] == 0


def test_remove_takes_whatever_bytes(shop: Shop, operations: Operations) -> None:
    bury(shop, b"\xff")
    shop.schedule.enqueue([("42", 2e9)])
    assert operations.remove(["42", "\udcff", "nobody"]) == 2
    assert shop.redis.exists("orders", "{orders}:dead") == 0


def test_extend_counts_from_the_deadline_or_from_now(shop: Shop, operations: Operations) -> None:
    shop.place("ahead", due=3600)
    shop.place("past", due=-3600)
    shop.place("paid", status="paid")
    ahead = operations.extend("ahead", timedelta(minutes=15))
    past = operations.extend("past", timedelta(minutes=15))
    now = datetime.now(UTC)
    assert ahead is not None
    assert past is not None
    assert (ahead - now).total_seconds() == pytest.approx(3600 + 900, abs=10)
    assert (past - now).total_seconds() == pytest.approx(900, abs=10)
    assert shop.score("past") == pytest.approx(past.timestamp(), abs=1e-3)
    assert shop.expiry.explain("ahead").deadline == ahead
    assert operations.extend("paid", timedelta(minutes=15)) is None
    assert operations.extend("nobody", timedelta(minutes=15)) is None


def test_explain_takes_whatever_bytes(shop: Shop, operations: Operations) -> None:
    shop.redis.zadd("orders", {b"\xff": 2e9})
    known = operations.explain("\udcff")
    assert known.scheduled == datetime.fromtimestamp(2e9, UTC)
    assert "not UTF-8" in known.next


def run(*arguments: str) -> Result:
    return CliRunner().invoke(app, arguments, catch_exceptions=False)


def test_the_command_line_lists(shop: Shop, operations: Operations, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("orders.process._current", shop.expiry)
    shop.schedule.enqueue([("42", 1_900_000_000.0), ("[43]", 1_900_000_001.0)])
    bury(shop, "44")
    told = run("list").output
    assert local(datetime.fromtimestamp(1_900_000_000, UTC)) in told
    assert "[43]" in told
    assert told.endswith("2 pending; page 1 of 1\n")
    assert json.loads(run("list", "pending", "--size", "1", "--page", "2", "--json").output) == {
        "total": 2,
        "page": 2,
        "pages": 2,
        "orders": [{"order_id": "[43]", "at": "2030-03-17T17:46:41+00:00", "attempts": 0, "reason": None}],
    }
    assert "no stock 0" in run("list", "dead").output
    assert run("list", "due").output == "0 due; page 1 of 1\n"
    assert run("list", "lost").exit_code == 2
