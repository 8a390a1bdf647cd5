"""The worked examples, as a reader runs them; and that their audit can fail."""

from __future__ import annotations

import re
import shutil
import subprocess
import sys
from pathlib import Path

ROOT = Path(__file__).parents[2]


def run(folder: Path) -> subprocess.CompletedProcess[str]:
    command = [sys.executable, "-m", "examples.money_and_stock"]
    return subprocess.run(command, cwd=folder, capture_output=True, text=True, check=False, timeout=120)


def columns(output: str) -> dict[str, list[str]]:
    """Return the rows of the tables by their first column."""
    rows = [re.split(r" {2,}", line.strip()) for line in output.splitlines() if line.startswith("  ")]
    return {name: rest for name, *rest in rows}


def test_money_and_stock_tells_what_became_of_each_order_and_its_books_balance() -> None:
    ran = run(ROOT)
    assert ran.returncode == 0, ran.stdout + ran.stderr
    assert ran.stderr == ""
    assert ran.stdout.endswith("The books balance.\n")
    told = columns(ran.stdout)
    # what became of the orders: events, verdicts, state
    assert told["ada"][1:] == ["paid", "accepted, duplicate", "paid"]
    assert told["ben"][1:] == ["expired", "lapsed"]
    assert told["eve"][1:] == ["paid, late_payment", "accepted, duplicate", "paid"]
    assert told["finn"][1:] == ["expired, revived", "accepted", "paid"]
    assert told["gina"][1:] == ["expired, late_payment", "too_late, too_late", "lapsed"]
    assert told["iris"][-2:] == ["closed", "cancelled"]
    assert told["lena"][-2:] == ["not_found, accepted", "paid"]
    # and the books
    assert told["orders"] == ["12 of 12 ended as their story says", "right"]
    assert told["stock of vase"] == ["1 before = 0 after + 1 sold", "right"]
    assert told["coupon WELCOME"] == ["3 uses before = 1 after + 2 used", "right"]
    assert told["money"] == ["1050.00 € captured = 620.00 € of paid orders + 430.00 € refunded", "right"]
    assert told["refunds"] == ["3 payments refunded = 3 refunds, in 4 requests", "right"]
    assert told["events"][0].startswith("16 events = 16 handled = 16 mails")
    # and the account of how it came to that
    assert "gina: pay-10 is too late and is refunded" in ran.stdout
    assert "pay-11 revives the order" in ran.stdout


def test_money_and_stock_fails_if_a_lapsed_order_keeps_its_coupon(tmp_path: Path) -> None:
    # given a shop that forgets to give coupons back
    shutil.copytree(ROOT / "examples", tmp_path / "examples", ignore=shutil.ignore_patterns("__pycache__"))
    stock = tmp_path / "examples" / "money_and_stock" / "stock.py"
    right, giving_back = stock.read_text(), " + uses.scalar_subquery()"
    assert right.count(giving_back) == 1
    stock.write_text(right.replace(giving_back, ""))
    # when it runs
    ran = run(tmp_path)
    # then its books tell
    assert ran.returncode == 1, ran.stdout + ran.stderr
    assert ran.stdout.endswith("The books do not balance.\n")
    told = columns(ran.stdout)
    assert told["coupon WELCOME"] == ["3 uses before = 0 after + 1 used", "WRONG"]
    assert told["finn"][1:] == ["expired, late_payment", "too_late", "lapsed"]
    assert told["stock of lamp"][-1] == "right"
