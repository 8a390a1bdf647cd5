"""`orders extend`: for one order, or for all that are due before some time."""

from __future__ import annotations

from collections.abc import Sequence

import pytest
from typer.testing import CliRunner

from orders.cli import app
from tests.conftest import Shop

NOON = "2030-01-31T12:00:00+00:00"


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        ((), "give either an order's ID or --due-before"),
        (("42", "--due-before", NOON), "give either an order's ID or --due-before"),
        (("42", "--dry-run", "--timeout", "60"), "--until, --by and --dry-run are for --due-before"),
        (("42", "--by", "30m"), "--until, --by and --dry-run are for --due-before"),
        (("--due-before", NOON, "--timeout", "60"), "--expires-at and --timeout are for one order"),
        (("--due-before", "2030-01-31T12:00:00", "--by", "30m"), "it must be a date and time with a time zone"),
        (("--due-before", NOON, "--by", "30m", "--until", "2030-02-01T12:00:00"), "--until is '2030-02-01T12:00:00'"),
    ],
)
def test_options_that_do_not_belong_together_change_nothing(shop: Shop, arguments: Sequence[str], message: str) -> None:
    shop.create()
    shop.place("42", due=5)
    before = shop.score("42")
    rejected = CliRunner().invoke(app, ["extend", *arguments])
    assert rejected.exit_code != 0
    said = f"{rejected.output} {rejected.exception}"
    assert message in " ".join(said.replace("│", " ").split())
    assert shop.score("42") == before
