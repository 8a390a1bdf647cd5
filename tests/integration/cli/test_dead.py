"""``orders dead``, on a real Redis and SQLite."""

from __future__ import annotations

import json
import re
from datetime import UTC, datetime

import pytest

from orders.clock import local
from tests.conftest import Shop
from tests.integration.cli.command import run


def bury(shop: Shop, *order_ids: str) -> None:
    for number, order_id in enumerate(order_ids):
        letter = {"reason": f"no stock [{order_id}]", "attempts": 10, "buried_at": 1_900_000_000 + number}
        shop.redis.hset("{orders}:dead", order_id, json.dumps(letter))


def test_dead_letters_are_listed_and_shown(shop: Shop) -> None:
    assert run("dead", "list").output == "no dead letters\n"
    bury(shop, "42", "43")
    assert [letter["order_id"] for letter in json.loads(run("dead", "list", "--json").output)] == ["42", "43"]
    buried = local(datetime.fromtimestamp(1_900_000_000, UTC))
    assert buried in run("dead", "list").output
    assert re.fullmatch(
        rf"42: buried {re.escape(buried)} \(in \d+ d\) after 10 attempts\nno stock \[42\]\n",
        run("dead", "show", "42").output,
    )
    missing = run("dead", "show", "44")
    assert (missing.exit_code, missing.output) == (1, "44: no dead letter\n")


def test_dead_letters_are_requeued_and_dropped(shop: Shop) -> None:
    shop.create()
    shop.place("42", "43", due=-60, enqueue=False)
    bury(shop, "42", "43", "44", "45")
    partly = run("dead", "requeue", "42", "unknown")
    assert (partly.exit_code, partly.stderr, partly.stdout) == (1, "unknown: no dead letter\n", "1 requeued\n")
    assert shop.claim_and_expire() == {"expired": 1}
    assert run("dead", "drop", "44").output == "1 dropped\n"
    assert run("dead", "requeue", "--all").output == "2 requeued\n"
    assert shop.redis.exists("{orders}:dead") == 0
    bury(shop, "46")
    assert run("dead", "drop", "--all").output == "1 dropped\n"
    assert run("dead", "drop").exit_code == 2
    assert run("dead", "drop", "46", "--all").exit_code == 2


@pytest.mark.parametrize(("verb", "done"), [("requeue", "requeued"), ("drop", "dropped")])
def test_a_dead_letter_that_does_not_exist_is_said_to_be_missing(shop: Shop, verb: str, done: str) -> None:
    nothing = run("dead", verb, "42")
    assert (nothing.exit_code, nothing.stderr, nothing.stdout) == (1, "42: no dead letter\n", f"0 {done}\n")
    no_reason = run("dead", verb, "--reason", "no stock")
    assert (no_reason.exit_code, no_reason.stderr.splitlines()[0]) == (1, "no dead letter has the reason 'no stock'")
    bury(shop, "42")
    assert run("dead", verb, "42").exit_code == run("dead", verb, "--all").exit_code == 0


def test_the_former_name_of_requeue_works_and_is_hidden(shop: Shop) -> None:
    # given dead letters
    shop.create()
    shop.place("42", "43", "44", due=-60, enqueue=False)
    bury(shop, "42", "43", "44")
    # when an operator's script uses the former name
    assert run("dead", "retry", "42", "unknown").stdout == "1 requeued\n"
    assert run("dead", "retry", "--reason", "[43]").output == "1 requeued\n"
    assert run("dead", "retry", "--all").output == "1 requeued\n"
    # then the orders are due, and the help names only the new command
    assert shop.claim_and_expire() == {"expired": 3}
    assert run("dead", "retry").exit_code == 2
    listed = run("dead", "--help").output
    assert "requeue" in listed
    assert "retry" not in listed


def test_dead_letters_are_chosen_by_their_reason(shop: Shop) -> None:
    for order_id, reason in (
        ("42", "no stock"),
        ("43", "the table has no such row"),
        ("44", "the table has no such row"),
    ):
        letter = {"reason": reason, "attempts": 10, "buried_at": 1900000000}
        shop.redis.hset("{orders}:dead", order_id, json.dumps(letter))
    assert run("dead", "drop", "--reason", "no such row").output == "2 dropped\n"
    assert run("dead", "requeue", "--reason", "no stock").output == "1 requeued\n"
    assert run("dead", "drop", "--all", "--reason", "no stock").exit_code == 2
