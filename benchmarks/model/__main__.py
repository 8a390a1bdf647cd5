"""``python -m benchmarks.model``: compare the model with the measurements, and print its predictions."""

from __future__ import annotations

import json
from collections.abc import Sequence
from pathlib import Path
from typing import Annotated

import typer
from rich.console import Console
from rich.table import Table

from benchmarks.lab import Result
from benchmarks.model.measured import KEPT, collect, load
from benchmarks.model.report import Predicted, compare, predict, tables


def main(
    files: Annotated[list[Path] | None, typer.Argument(help="What `python -m benchmarks --json` wrote.")] = None,
    *,
    keep: Annotated[bool, typer.Option(help="Keep what matters of the files in measured.json.")] = False,
    page: Annotated[Path | None, typer.Option(help="Put the tables into this page, between its marks.")] = None,
    plot: Annotated[Path | None, typer.Option(help="Draw plots into this folder.")] = None,
) -> None:
    """Simulate deployments from measured costs: those in FILES, or by default those in measured.json."""
    kept = collect(files) if files else json.loads(KEPT.read_text())
    if keep:
        KEPT.write_text(json.dumps(kept, indent=1) + "\n")
    measured = load(kept)
    compared = compare(measured)
    predicted: Predicted = predict(measured)
    results = tables(measured, compared, predicted)
    console = Console()
    for result in results:
        _print(console, result)
    if page:
        _put(page, results)
    if plot:
        from benchmarks.model.plots import plot as draw  # noqa: PLC0415 - slow to import

        for file in draw(compared, predicted, plot):
            console.print(f"written: {file}")


def _print(console: Console, result: Result) -> None:
    table = Table(title=result.title, title_justify="left", caption=result.note, caption_justify="left")
    for number, column in enumerate(result.columns):
        table.add_column(column, justify="right" if number else "left", overflow="fold")
    for row in result.rows:
        table.add_row(*row)
    console.print()
    console.print(table, highlight=False)


def _put(page: Path, results: Sequence[Result]) -> None:
    """Replace the text between the marks of each table: ``<!-- costs: begin -->``."""
    text = page.read_text()
    for result in results:
        begin, end = (f"<!-- {result.name}: {which} -->" for which in ("begin", "end"))
        before, found, rest = text.partition(begin)
        if not found:
            raise typer.BadParameter(f"--page {page}: there is no {begin}")
        text = f"{before}{begin}\n\n{_markdown(result)}\n\n{end}{rest.partition(end)[2]}"
    page.write_text(text)


def _markdown(result: Result) -> str:
    lines = [
        result.columns,
        ["---", *["---:"] * (len(result.columns) - 1)],
        *result.rows,
    ]
    return "\n".join([*(f"| {' | '.join(line)} |" for line in lines), "", result.note])


if __name__ == "__main__":
    typer.run(main)
