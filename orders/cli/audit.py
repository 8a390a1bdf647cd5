"""``orders audit``: proves that every order ended as it should, or says which did not."""

from __future__ import annotations

import json
from typing import Annotated

import typer
from rich.console import Console
from rich.markup import escape

from orders import ids, process
from orders.cli import bulk
from orders.cli.schedule import AsJson
from orders.clock import local
from orders.operate import Audit, Wrong, audit_orders, counted


def audit(
    *,
    since: Annotated[str, typer.Option(metavar="TIME", help="The period: 30m, 24h, 7d until now.")] = "24h",
    as_json: AsJson = False,
) -> None:
    """Prove that each order expired once, in time and unpaid, and none is lost. Exit status 1: something is wrong."""
    try:
        with Console(stderr=True).status("reading rows, events and the schedule"):
            found = audit_orders(process.current(), since=bulk.parse_duration("--since", since))
    except ValueError as error:
        raise typer.BadParameter(str(error)) from error
    if as_json:
        typer.echo(json.dumps(found.as_json()))
    else:
        _print(found)
    if not found.is_right:
        raise typer.Exit(1)


def _print(found: Audit) -> None:
    console = Console(soft_wrap=True, highlight=False)
    names = ", ".join(wrong.kind for wrong in found.wrongs)
    console.print(f"[bold red]Wrong: {names}.[/]" if names else "[bold green]Nothing is wrong.[/]")
    for wrong in found.wrongs:
        _print_wrong(console, wrong)
    console.print(
        f"Examined: {counted(found.expired, 'order')} expired since {local(found.since)}, "
        f"{found.due:,} pending and due, {found.scheduled:,} in the schedule, {counted(found.dead, 'dead letter')}."
    )
    if late := found.lateness:
        slo = "" if found.slo is None else f"; ORDERS_SLO is {found.slo:g} s"
        console.print(f"Lateness: p50 {late.p50:,.3f} s, p99 {late.p99:,.3f} s, max {late.max:,.3f} s{slo}.")
    for reason in found.unproved:
        console.print(f"Not proved: {escape(reason)}")


def _print_wrong(console: Console, wrong: Wrong) -> None:
    console.print(f"\n[bold]{wrong.kind}[/]: {counted(wrong.number, 'order')}")
    for case in wrong.cases:
        console.print(f"  {escape(ids.printable(case.order_id))}: {escape(case.detail)}")
    if more := wrong.number - len(wrong.cases):
        console.print(f"  … and {more:,} more")
    console.print(f"  → {escape(wrong.advice)}\n")
