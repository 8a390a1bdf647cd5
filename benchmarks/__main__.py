"""``python -m benchmarks``: measure, print tables, and write JSON and plots."""

from __future__ import annotations

import json
import os
import signal
import sys
import time
from collections.abc import Sequence
from pathlib import Path
from typing import Annotated, Any

import typer
from rich.console import Console
from rich.progress import BarColumn, MofNCompleteColumn, Progress, TextColumn, TimeElapsedColumn
from rich.table import Table

from benchmarks import machine, servers
from benchmarks.lab import Lab, Measure, Result
from benchmarks.measures import MEASURES
from benchmarks.ratios import QUICK, ratios
from orders.config.settings import PREFIX

NAMES = ", ".join(measure.name for measure in MEASURES)

WIDTH = 180
"""Width of the output in columns, if it does not go to a terminal."""


def main(
    *,
    quick: Annotated[
        bool, typer.Option("--quick", help="About a minute: this project and the limits, fewer orders, one round.")
    ] = False,
    only: Annotated[list[str] | None, typer.Option(help=f"Only these: {NAMES}. Repeat it for several.")] = None,
    contender: Annotated[str, typer.Option(help="In the drain, only those with this in their name.")] = "",
    rounds: Annotated[int | None, typer.Option(min=1, max=20, help="Rounds; by default 3, quick 1.")] = None,
    json_file: Annotated[Path | None, typer.Option("--json", help="Write every round to this file.")] = None,
    plot: Annotated[Path | None, typer.Option(help="Draw plots into this folder.")] = None,
) -> None:
    """Measure how fast, how late and at what cost orders are expired, on servers that are started for the run."""
    wanted = _wanted(only or (QUICK if quick else []))
    if quick and not only:
        contender = contender or "this project"
    signal.signal(signal.SIGTERM, lambda *_: sys.exit(143))  # so that all that was started is stopped
    _forget_settings()
    console, began = _console(), time.monotonic()
    with servers.started() as started, _progress(console) as progress:
        told = machine.describe(started)
        _print_machine(console, told)
        task = progress.add_task("", total=None)

        def step(what: str) -> None:
            progress.update(task, advance=1, description=what)

        lab = Lab(started, quick, rounds or (1 if quick else 3), contender, step)
        steps = sum(measure.steps(lab) for measure in wanted)
        progress.update(task, total=steps, completed=-1)
        results, errors = _measure(wanted, lab, console)
        progress.update(task, description="done", completed=steps)
    told |= {"seconds": round(time.monotonic() - began), "errors": errors}
    console.print(f"\n{told['seconds']} s")
    if json_file:
        _write(json_file, told, results)
        console.print(f"written: {json_file}")
    if plot:
        _draw(console, results, plot)


def _forget_settings() -> None:
    """Remove the settings of the environment: the project is measured with its defaults."""
    for name in os.environ:
        if name.startswith(PREFIX) and not name.startswith(f"{PREFIX}BENCH_"):
            del os.environ[name]


def _console() -> Console:
    console = Console()
    if not console.is_terminal:
        console.width = WIDTH
    return console


def _measure(wanted: Sequence[Measure], lab: Lab, console: Console) -> tuple[list[Result], dict[str, str]]:
    """Measure and print one after another, and the ratios; return the results, and the errors by measurement."""
    results: list[Result] = []
    errors: dict[str, str] = {}
    for measure in wanted:
        try:
            found = measure.run(lab)
        except Exception as error:  # noqa: BLE001 - one that fails is reported, and the others are made
            errors[measure.name] = f"{type(error).__name__}: {error}"
            console.print(f"\n[bold red]{measure.name} failed:[/] {errors[measure.name]}", highlight=False)
            continue
        results += found
        for result in found:
            _print(console, result)
    if compared := ratios(results):
        _print(console, compared)
        results.append(compared)
    return results, errors


def _wanted(names: Sequence[str]) -> list[Measure]:
    """Return the measurements with these names, or all if no names are given."""
    unknown = set(names) - {measure.name for measure in MEASURES}
    if unknown:
        raise typer.BadParameter(f"--only {', '.join(sorted(unknown))}: there are {NAMES}")
    return [measure for measure in MEASURES if not names or measure.name in names]


def _progress(console: Console) -> Progress:
    return Progress(
        TimeElapsedColumn(), BarColumn(), MofNCompleteColumn(), TextColumn("{task.description}"), console=console
    )


def _print_machine(console: Console, told: dict[str, Any]) -> None:
    is_on, versions = told["machine"], told["versions"]
    console.print(
        f"{is_on['cores']} cores, {is_on['cpu']}, {is_on['memory_gb']} GB, load {is_on['load_before'][0]:.1f} before; "
        f"Python {versions['python']}, PostgreSQL {versions['postgresql']}, {versions['redis-server']}, "
        f"Celery {versions['celery']}, kombu {versions['kombu']}",
        highlight=False,
    )


def _print(console: Console, result: Result) -> None:
    table = Table(title=result.title, title_justify="left", caption=result.note, caption_justify="left")
    for number, column in enumerate(result.columns):
        table.add_column(column, justify="right" if number else "left", overflow="fold")
    for row in result.rows:
        table.add_row(*row)
    console.print()
    console.print(table, highlight=False)


def _draw(console: Console, results: Sequence[Result], folder: Path) -> None:
    from benchmarks.plots import plot  # noqa: PLC0415 - it takes its time

    for file in plot(results, folder):
        console.print(f"written: {file}")


def _write(file: Path, told: dict[str, Any], results: Sequence[Result]) -> None:
    tables = [
        {
            "name": result.name,
            "title": result.title,
            "columns": result.columns,
            "rows": result.rows,
            "note": result.note,
            "rounds": result.data,
        }
        for result in results
    ]
    file.parent.mkdir(parents=True, exist_ok=True)
    file.write_text(json.dumps({**told, "results": tables}, indent=1, default=str, ensure_ascii=False) + "\n")


if __name__ == "__main__":
    typer.run(main)
