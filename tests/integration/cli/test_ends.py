"""How commands end that are interrupted or cannot write, and what their help shows."""

from __future__ import annotations

import os
import subprocess
import sys
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import pytest

from orders.cli import main
from orders.cli.help import GROUPS
from orders.expiry import reconcile
from orders.operate import counted
from tests.conftest import Shop
from tests.integration.cli.command import run

FULL = Path("/dev/full")


def interrupt(*_: Any, **__: Any) -> Any:
    raise KeyboardInterrupt


def test_reconcile_that_is_interrupted_says_how_far_it_came(shop: Shop, monkeypatch: pytest.MonkeyPatch) -> None:
    # given more orders than a page, and a Ctrl-C while the second page is read
    shop.create()
    shop.place("1", "2", "3", due=-60, enqueue=False)
    monkeypatch.setattr(reconcile, "PAGE", 2)
    pages = shop.store.pending
    monkeypatch.setattr(shop.store, "pending", lambda **page: interrupt() if page["after"] else pages(**page))
    # when
    ran = run("reconcile", "--all")
    # then
    told = "interrupted: 2 pending orders seen, 2 scheduled. What is scheduled stays so; run it again\n"
    assert (ran.exit_code, ran.stdout, ran.stderr) == (130, "", told)
    monkeypatch.undo()
    monkeypatch.setattr("orders.process._current", shop.expiry)
    assert run("reconcile", "--all").output == "3 pending orders seen, 1 scheduled\n"


def test_a_sweep_that_is_interrupted_says_how_far_it_came(shop: Shop, monkeypatch: pytest.MonkeyPatch) -> None:
    shop.create()
    shop.place("1", "2", "3", due=-60)
    tried: list[str] = []

    def release(session: Any, order_ids: Sequence[str]) -> None:
        tried.extend(order_ids)
        if len(tried) > 1:
            raise KeyboardInterrupt

    shop.hooks.on_expire(release)
    ran = run("sweep")
    assert ran.exit_code == 130
    assert ran.stderr == (
        "interrupted: expired 1; what was claimed and not expired is due again within 120 s; run it again then\n"
    )
    assert [shop.status(order_id) for order_id in tried] == ["expired", "pending"]


@pytest.mark.skipif(not FULL.exists(), reason="only Linux has such a device")
@pytest.mark.parametrize("arguments", [["stats", "--json"], ["stats"], ["doctor"], ["--help"], ["dead", "list"]])
def test_a_full_disk_behind_the_output_is_one_line(shop: Shop, arguments: list[str]) -> None:
    settings = {"ORDERS_REDIS_URL": shop.settings.redis_url, "ORDERS_DATABASE_URL": shop.settings.database_url}
    with FULL.open("w") as output:
        ran = subprocess.run(
            [sys.executable, "-m", "orders.cli", *arguments],
            env={**os.environ, **settings},
            stdout=output,
            stderr=subprocess.PIPE,
            text=True,
            check=False,
        )
    assert (ran.returncode, ran.stderr) == (1, "error: the output cannot be written: No space left on device\n")


def test_any_other_error_of_the_system_is_not_taken_for_a_full_disk(
    shop: Shop, monkeypatch: pytest.MonkeyPatch
) -> None:
    def fail(_: object) -> None:
        raise FileNotFoundError("shop.ini")

    shop.create()
    shop.place("42", due=-60)
    monkeypatch.setattr(shop.expiry, "cancel", lambda *_, **__: fail(None))
    with pytest.raises(FileNotFoundError, match=r"shop\.ini"):
        main(["cancel", "42"])


def test_help_has_groups_and_no_types_of_flags() -> None:
    listed = run("--help").output
    assert all(f"─ {group} ─" in listed for group in GROUPS)
    assert "─ Commands ─" not in listed  # each command has its group
    for command in ((), ("reconcile",), ("dead",), ("dead", "requeue")):
        assert "bool" not in run(*command, "--help").output
    assert "TEXT" in run("dead", "requeue", "--help").output


def test_numbers_with_their_nouns() -> None:
    assert [counted(number, "order") for number in (0, 1, 2500)] == ["0 orders", "1 order", "2,500 orders"]


def test_a_text_of_a_customer_does_not_reach_the_terminal_as_it_is(shop: Shop) -> None:
    shop.create()
    shop.place("42", due=60)
    shop.expiry.cancel("42", reason="\x1b[2J [red] \u202e")
    told = run("explain", "42").output
    assert "\x1b" not in told
    assert "\u202e" not in told
    assert "[2J [red]" in told
    shop.redis.hset("{orders}:dead", "43", '{"reason": "\\u001b[2J", "attempts": 3, "buried_at": 1900000000}')
    for command in (("dead", "list"), ("dead", "show", "43"), ("list", "dead")):
        assert "\x1b" not in run(*command).output
