"""Prints the summary at the end: each order, and the books."""

from __future__ import annotations

import sys
from collections.abc import Sequence

import sqlalchemy as sa
from rich import box
from rich.console import Console
from rich.table import Table
from sqlalchemy.orm import Session

from examples.money_and_stock.books import Line
from examples.money_and_stock.cast import CAST
from examples.money_and_stock.models import PaymentNotice, Purchase
from orders import Event

WIDTH = None if sys.stdout.isatty() else 120
"""The width of the output in columns; None for the terminal's width."""


def show(session: Session, happened: Sequence[Event], books: Sequence[Line]) -> None:
    """Print the summary."""
    console = Console(width=WIDTH, highlight=False)
    console.print(_orders(session, happened))
    console.print(_books(books))
    if all(line.is_right for line in books):
        console.print("The books balance.")
    else:
        console.print("[bold red]The books do not balance.[/]")


def _orders(session: Session, happened: Sequence[Event]) -> Table:
    table = Table("order", "story", "events", "callbacks", "state", title="Orders", box=box.SIMPLE_HEAD)
    notices = session.scalars(sa.select(PaymentNotice).order_by(PaymentNotice.id)).all()
    for number, order in CAST.items():
        table.add_row(
            number,
            order.story,
            ", ".join(event.kind for event in happened if event.order_id == number),
            ", ".join(notice.verdict for notice in notices if notice.number == number),
            session.get_one(Purchase, number).state,
        )
    return table


def _books(books: Sequence[Line]) -> Table:
    table = Table("", "", "", title="Books", box=box.SIMPLE_HEAD, show_header=False)
    for line in books:
        table.add_row(line.what, line.result, "right" if line.is_right else "[bold red]WRONG[/]")
    return table
