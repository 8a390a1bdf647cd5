"""The command line, on a real Redis and SQLite."""

from __future__ import annotations

import json
import os
import pty
import re
import subprocess
import sys
from datetime import UTC, datetime
from pathlib import Path

import pytest

from orders import process
from orders.cli import main
from orders.clock import local
from orders.embedded import free_port
from orders.errors import ExpiryFailed, InvalidDeadline, StoreError
from orders.hooks import Hooks
from tests.conftest import Shop
from tests.integration.cli.command import run


@pytest.mark.parametrize("id_type", ["text", "integer", "uuid"])
def test_init_db_creates_the_table_and_leaves_it_alone_the_second_time(shop: Shop, id_type: str) -> None:
    first = run("init-db", "--id-type", id_type, "--no-events")
    assert first.output == "table orders: created\n"
    second = run("init-db")
    assert (
        second.output
        == "table orders: exists, not changed\ntable order_events: created\ntable order_events_webhooks: created\n"
    )
    third = run("init-db")
    assert all(line.endswith(": exists, not changed") for line in third.output.splitlines())
    shop.store.check()


def test_enqueue_and_remove(shop: Shop) -> None:
    due = re.escape(local(datetime(2030, 1, 31, 11, tzinfo=UTC)))
    assert re.fullmatch(
        rf"42: due {due} \(in \d+ d\)\n", run("enqueue", "42", "--expires-at", "2030-01-31T12:00:00+01:00").output
    )
    assert shop.score("42") == 1_896_087_600
    assert run("remove", "42").output == "42: removed\n"
    assert run("remove", "42").output == "42: was not scheduled\n"


def test_enqueue_inserts_a_row_for_a_try(shop: Shop) -> None:
    shop.create()
    told = run("enqueue", "42", "--insert", "--timeout", "60").output
    assert re.fullmatch(r"42: due .+ \(in (60|59) s\)\n", told)
    row = shop.store.row("42")
    assert row
    assert row.is_pending
    assert row.deadline
    assert shop.score("42") == pytest.approx(row.deadline.timestamp(), abs=0.001)
    # and changes none that is there
    with pytest.raises(StoreError, match="UNIQUE"):
        run("enqueue", "42", "--insert", "--timeout", "600")
    assert shop.store.row("42") == row


def test_check_tells_the_state(shop: Shop) -> None:
    shop.create()
    shop.place("42", due=60)
    assert (run("check", "42").exit_code, run("check", "42").output) == (0, "42: pending\n")
    assert (run("check", "43").exit_code, run("check", "43").output) == (1, "43: missing\n")


def test_extend_tells_whether_the_order_was_pending(shop: Shop) -> None:
    shop.create()
    shop.place("42")
    assert run("extend", "42", "--timeout", "60").output == "42: extended\n"
    refused = run("extend", "43", "--timeout", "60")
    assert (refused.exit_code, refused.output) == (1, "43: not pending, nothing changed\n")


def test_hold_and_cancel_say_what_became_of_the_order(shop: Shop) -> None:
    shop.create()
    shop.place("42", "43", due=5)
    before = shop.score("42") or 0
    assert run("hold", "42", "900").output == "42: held\n"
    assert (shop.score("42") or 0) > before + 800
    assert run("cancel", "42", "--reason", "bought in the shop").output == "42: cancelled\n"
    assert shop.events("42")[-1].data == {"reason": "bought in the shop"}
    assert (shop.status("42"), shop.score("42")) == ("cancelled", None)
    assert run("cancel", "43").output == "43: cancelled\n"
    assert shop.events("43")[-1].data == {"reason": "cancelled"}
    for arguments in (("hold", "42", "900"), ("cancel", "42"), ("cancel", "nobody")):
        refused = run(*arguments)
        assert (refused.exit_code, refused.output) == (1, f"{arguments[1]}: not pending, nothing changed\n")


def test_sweep_expires_here_and_now(shop: Shop) -> None:
    shop.create()
    shop.place("1", "2", due=-5)
    shop.place("3", status="paid", due=-5)
    shop.place("4", due=5)  # left to the workers
    assert json.loads(run("sweep", "--json").output) == {"claimed": 3, "expired": 2, "closed": 1}
    assert run("sweep").output == "claimed 0\n"
    assert [shop.status(order) for order in "1234"] == ["expired", "expired", "paid", "pending"]


def test_stats_counts(shop: Shop) -> None:
    shop.create()
    shop.place("1", due=-5)
    shop.place("2", due=500)
    assert json.loads(run("stats", "--json").output) == {"scheduled": 2, "due": 1, "started": 0, "dead": 0}
    shop.claim_and_expire()
    assert json.loads(run("stats", "--json").output)["expired"] == 1
    table = run("stats").output
    assert "swept_at" in table
    assert "scheduled" in table


@pytest.mark.parametrize("moment", ["tomorrow", "2030-01-31T12:00:00"])
def test_a_moment_that_is_none_is_refused(moment: str) -> None:
    with pytest.raises(
        InvalidDeadline, match=f"--expires-at is '{moment}': it must be a date and time with a time zone"
    ):
        run("enqueue", "42", "--expires-at", moment)


def test_an_error_is_one_line_and_status_1(monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]) -> None:
    monkeypatch.setattr("sys.argv", ["orders", "enqueue", "", "--timeout", "60"])
    with pytest.raises(SystemExit) as caught:
        main()
    assert caught.value.code == 1
    assert capsys.readouterr().err == "error: the order id is empty: it must have 1 to 255 characters\n"


@pytest.mark.parametrize(
    ("setting", "value", "told"),
    [
        ("ORDERS_LEASE", "soon", "error: ORDERS_LEASE is 'soon': it must be a number of seconds"),
        ("ORDERS_REDIS_URL", f"redis://127.0.0.1:{free_port()}", "error: Redis at ORDERS_REDIS_URL redis://127.0.0.1"),
    ],
    ids=["wrong", "unreachable"],
)
def test_a_process_of_its_own_says_what_is_wrong(setting: str, value: str, told: str) -> None:
    command = [sys.executable, "-m", "orders.cli", "enqueue", "42"]
    ran = subprocess.run(command, env={setting: value}, capture_output=True, text=True, check=False)
    assert (ran.returncode, ran.stdout) == (1, "")
    assert ran.stderr.startswith(told)
    assert len(ran.stderr.splitlines()) == 1


def test_reconcile_tells_what_it_found(shop: Shop) -> None:
    shop.create()
    shop.place("1", "2", due=-60, enqueue=False)
    shop.place("3", due=600, enqueue=False)
    assert run("reconcile", "--dry-run").output == "2 pending orders seen, 2 missing\n"
    assert run("reconcile").output == "2 pending orders seen, 2 scheduled\n"
    assert run("reconcile", "--dry-run").output == "2 pending orders seen, 0 missing\n"
    assert json.loads(run("reconcile", "--all", "--json").output) == {
        "seen": 3,
        "added": 1,
        "complete": True,
        "advanced": 0,
    }


def test_reconcile_shows_a_progress_bar_on_a_terminal(shop: Shop) -> None:
    shop.create()
    shop.place(*map(str, range(2500)), due=-60, enqueue=False)
    ours, theirs = pty.openpty()
    command = [sys.executable, "-m", "orders.cli", "reconcile"]
    with subprocess.Popen(command, stdout=subprocess.PIPE, stderr=theirs, env={**os.environ, "TERM": "xterm"}) as ran:
        told = ran.communicate()[0]
    os.close(theirs)
    assert told == b"2,500 pending orders seen, 2,500 scheduled\n"
    assert b"/2500" in os.read(ours, 100_000)
    os.close(ours)


def test_explain_as_text_and_as_json(shop: Shop) -> None:
    shop.create()
    shop.place("42", due=600)
    told = run("explain", "42").output
    assert told.startswith("order 42: pending\n")
    assert "a sweep claims it" in told
    assert json.loads(run("explain", "42", "--json").output)["state"] == "pending"


def test_sweep_here_goes_on_when_an_order_fails(shop: Shop) -> None:
    shop.create("integer")
    shop.place(1, 2, due=-5)
    shop.redis.zadd("orders", {"abc": 1.0})
    with pytest.raises(ExpiryFailed, match="abc"):
        run("sweep")
    assert [shop.status(order) for order in (1, 2)] == ["expired", "expired"]


def test_a_sweep_by_hand_calls_the_hooks_of_the_shop(
    shop: Shop, monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    # given hooks in the working directory
    (tmp_path / "hooks_of_a_sweep.py").write_text(
        "import orders\n"
        "asked, released = [], []\n"
        "@orders.guard\n"
        "def ask(order_id):\n"
        "    asked.append(order_id)\n"
        "    return orders.Answer.UNPAID\n"
        "@orders.on_expire\n"
        "def release(session, order_ids):\n"
        "    released.extend(order_ids)\n"
    )
    monkeypatch.chdir(tmp_path)
    monkeypatch.setattr("orders.process._hooks", hooks := Hooks())
    monkeypatch.setattr("orders.process._current", None)  # as in a process of its own
    for decorator in ("guard", "on_expire"):
        monkeypatch.setattr(f"orders.{decorator}", getattr(hooks, decorator))
    monkeypatch.setattr("sys.path", list(sys.path))
    monkeypatch.setenv("ORDERS_HOOKS", "hooks_of_a_sweep")
    shop.create()
    shop.place("42")
    # when somebody sweeps by hand
    assert "expired 1" in run("sweep").output
    # then the guard was asked, and the stock is back
    module = sys.modules["hooks_of_a_sweep"]
    assert (module.asked, module.released) == (["42"], ["42"])
    process.current().close()


def test_pay_tells_the_verdict(shop: Shop) -> None:
    shop.create()
    shop.place("42", "43")
    assert run("pay", "42", "--reference", "ch_1").output == "42: accepted\n"
    assert run("pay", "42", "--reference", "ch_1").output == "42: duplicate\n"
    assert run("check", "43").output == "43: expired\n"
    late = run("pay", "43", "--json")
    told = json.loads(late.output)
    assert late.exit_code == 1
    assert (told["verdict"], len(told["refund_key"])) == ("too_late", 36)
    assert run("pay", "43").output == f"43: too_late; refund with the idempotency key {told['refund_key']}\n"
