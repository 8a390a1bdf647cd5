"""``orders doctor``: finds what is wrong with a deployment and advises what to do."""

from __future__ import annotations

import json
from collections.abc import Sequence
from dataclasses import asdict
from itertools import groupby
from typing import Annotated

import typer
from rich.console import Console
from rich.markup import escape

from orders import process
from orders.cli.schedule import AsJson
from orders.operate import counted
from orders.operate.doctor import Examination, Finding, Patient, Severity, examine

STYLES = {Severity.OK: "green", Severity.UNKNOWN: "cyan", Severity.WARNING: "yellow", Severity.ERROR: "bold red"}

VERDICTS = {
    Severity.OK: "Healthy",
    Severity.UNKNOWN: "Healthy, as far as it could be checked",
    Severity.WARNING: "Works now, but will fail in a case that can happen",
    Severity.ERROR: "Orders expire late or not at all, or work is done in vain",
}


def doctor(
    *,
    timeout: Annotated[
        float, typer.Option(min=1, max=600, metavar="SECONDS", help="Time limit for all checks together.")
    ] = 20.0,
    verbose: Annotated[bool, typer.Option("--verbose", "-v", help="Also show what is right.")] = False,
    as_json: AsJson = False,
) -> None:
    """Check servers, processes and settings, and advise what to do. Exit status 0: healthy, 1: warnings, 2: errors."""
    found = examine(Patient(process.current()), seconds=timeout)
    if as_json:
        findings = [{**asdict(finding), "severity": finding.severity.name.lower()} for finding in found.findings]
        typer.echo(json.dumps({"worst": found.worst.name.lower(), "findings": findings}))
    else:
        _print(found, verbose=verbose)
    raise typer.Exit(max(int(found.worst), 0))


def _print(found: Examination, *, verbose: bool) -> None:
    """Print the verdict, then what is wrong, then what could not be checked, then what is right."""
    console = Console(soft_wrap=True, highlight=False)  # whoever pastes a statement wants it in one line
    by_severity = {each: [one for one in found.findings if one.severity is each] for each in Severity}
    worst = Severity.UNKNOWN if found.worst is Severity.OK and by_severity[Severity.UNKNOWN] else found.worst
    wrong = [
        counted(len(by_severity[each]), each.name.lower())
        for each in (Severity.ERROR, Severity.WARNING)
        if by_severity[each]
    ]
    console.print(f"[{STYLES[worst]}]{VERDICTS[worst]}[/]" + (f": {', '.join(wrong)}" if wrong else ""))
    for severity in (Severity.ERROR, Severity.WARNING):
        for finding in by_severity[severity]:
            _print_finding(console, finding, finding.name)
    _print_unknown(console, by_severity[Severity.UNKNOWN])
    right = by_severity[Severity.OK]
    for finding in right if verbose else []:
        _print_finding(console, finding, finding.name)
    if right and not verbose:
        style = STYLES[Severity.OK]
        console.print(f"[{style}]ok[/]       {counted(len(right), 'check')}; --verbose shows them")
    if found.worst > Severity.OK:
        # The last line says it once more: the first one may have scrolled off the screen.
        console.print(f"{', '.join(wrong).capitalize()}. docs/how-to/troubleshoot.md explains each finding.")


def _print_unknown(console: Console, findings: Sequence[Finding]) -> None:
    """Print what could not be checked, each reason once."""
    for _, same in groupby(sorted(findings, key=_reason), key=_reason):
        alike = list(same)
        _print_finding(console, alike[0], ", ".join(finding.name for finding in alike))


def _reason(finding: Finding) -> tuple[str, str]:
    return finding.found, finding.advice


def _print_finding(console: Console, finding: Finding, names: str) -> None:
    severity = finding.severity
    console.print(f"[{STYLES[severity]}]{severity.name.lower():8}[/] {names}: {escape(finding.found)}")
    if finding.advice:
        console.print(f"         [bold]→ {escape(finding.advice)}[/]")
