"""``orders doctor``: finds what is wrong with a deployment and advises what to do."""

from __future__ import annotations

import json
from dataclasses import asdict
from typing import Annotated

import typer
from rich.console import Console
from rich.markup import escape
from rich.table import Table

from orders import process
from orders.cli.schedule import AsJson
from orders.operate.doctor import Patient, Severity, examine

STYLES = {Severity.OK: "green", Severity.UNKNOWN: "cyan", Severity.WARNING: "yellow", Severity.ERROR: "bold red"}


def doctor(
    *,
    timeout: Annotated[
        float, typer.Option(min=1, max=600, metavar="SECONDS", help="Time limit for all checks together.")
    ] = 20.0,
    as_json: AsJson = False,
) -> None:
    """Check servers, processes and settings, and advise what to do. Exit status 0: healthy, 1: warnings, 2: errors."""
    found = examine(Patient(process.current()), seconds=timeout)
    if as_json:
        findings = [{**asdict(finding), "severity": finding.severity.name.lower()} for finding in found.findings]
        typer.echo(json.dumps({"worst": found.worst.name.lower(), "findings": findings}))
    else:
        table = Table("check", "", "found")
        for finding in found.findings:
            severity = f"[{STYLES[finding.severity]}]{finding.severity.name.lower()}[/]"
            advice = f"\n[bold]→ {escape(finding.advice)}[/]" if finding.advice else ""
            table.add_row(finding.name, severity, escape(finding.found) + advice)
        Console().print(table)
        typer.echo("docs/how-to/troubleshoot.md explains each finding." if found.worst > Severity.OK else "Healthy.")
    raise typer.Exit(max(int(found.worst), 0))
