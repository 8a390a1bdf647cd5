"""Plots of a run, as PNG and SVG."""

from __future__ import annotations

import statistics
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import matplotlib as mpl

mpl.use("Agg")

from matplotlib import pyplot as plt
from matplotlib.axes import Axes
from matplotlib.figure import Figure

from benchmarks.lab import Result

OURS, OTHERS = "#1f6f8b", "#b8b8b8"
"""Colours of the bars and lines of this project, and of the others."""

DARK = """<style type="text/css">
  @media (prefers-color-scheme: dark) { :root { filter: invert(0.9) hue-rotate(180deg) } }
 </style>
 """
"""White becomes almost black, and each colour stays the colour that the legend names."""


def plot(results: Sequence[Result], folder: Path) -> list[Path]:
    """Draw these results; return the files.

    Args:
        results: all or some of the results of a run.
        folder: where to put the files; it is created if it is missing.
    """
    folder.mkdir(parents=True, exist_ok=True)
    files: list[Path] = []
    of = {name: [result for result in results if result.name == name] for name in ("drain", "lateness", "growth")}
    if of["drain"]:
        with _figure(
            folder / "drain", files, height=0.4, rows=[len(result.rows) + 2 for result in of["drain"]]
        ) as axes:
            for axis, result in zip(axes, of["drain"], strict=True):
                _drain(axis, result)
    if of["lateness"]:
        with _figure(folder / "lateness", files) as (axis,):
            _lateness(axis, of["lateness"][0])
    if of["growth"]:
        with _figure(folder / "growth", files) as (axis,):
            _growth(axis, of["growth"][0])
    return files


@contextmanager
def _figure(
    path: Path, files: list[Path], *, height: float = 4.0, rows: Sequence[int] = (1,)
) -> Iterator[Sequence[Axes]]:
    """Yield axes one above the other; save them at the end. *height*: inches of one of the *rows*."""
    figure, axes = plt.subplots(
        len(rows), figsize=(9, height * sum(rows)), squeeze=False, height_ratios=rows, layout="constrained"
    )
    yield list(axes[:, 0])
    for suffix in ("png", "svg"):
        files.append(path.with_suffix(f".{suffix}"))
        save(figure, files[-1], dpi=150)
    plt.close(figure)


def save(figure: Figure, file: Path, **options: Any) -> None:
    """Write a figure. An SVG is dark where its reader's pages are dark."""
    figure.savefig(file, **options)
    if file.suffix == ".svg":
        head, tag, rest = file.read_text().partition("<defs>")
        file.write_text(f"{head}{DARK}{tag}{rest}")


def _drain(axis: Axes, result: Result) -> None:
    """Draw a bar for each contender: the median, with a line from the lowest to the highest."""
    rates: dict[str, list[float]] = {}
    for round_ in result.data:
        if not round_["tuning"]:
            audit = round_["audit"]
            rates.setdefault(round_["contender"], []).append(audit["rate"] if audit else 0.0)
    wrong = {round_["contender"] for round_ in result.data if not round_["is_right"]}
    ordered = sorted(rates.items(), key=lambda item: statistics.median(item[1]))
    medians = [statistics.median(found) for _, found in ordered]
    around = [
        [median - min(found) for median, (_, found) in zip(medians, ordered, strict=True)],
        [max(found) - median for median, (_, found) in zip(medians, ordered, strict=True)],
    ]
    names = [f"{name} (not right)" if name in wrong else name for name, _ in ordered]
    colours = [OURS if name.startswith("this project") else OTHERS for name, _ in ordered]
    bars = axis.barh(names, medians, xerr=around, color=colours, ecolor="#444444", capsize=2)
    axis.bar_label(bars, labels=[f"{median:,.0f}" for median in medians], padding=6)
    axis.set_title(result.title, loc="left")
    axis.set_xlabel("orders/s")
    axis.margins(x=0.12)
    axis.locator_params(axis="x", nbins=6)
    axis.xaxis.set_major_formatter(lambda value, _: f"{value:,.0f}")
    axis.spines[["top", "right"]].set_visible(False)


def _lateness(axis: Axes, result: Result) -> None:
    """Draw the distribution of lateness: which share of the orders was expired how late."""
    labels = set()
    for round_, style in _styled(result.data):
        label = round_["load"]
        points = sorted((int(share) / 10, late) for share, late in round_["shares"].items())
        axis.plot(
            [late for _, late in points],
            [share for share, _ in points],
            style,
            color=OURS,
            label=None if label in labels else label,
        )
        labels.add(label)
    axis.set_xscale("log")
    axis.set_xlabel("milliseconds from the deadline to the commit of the expiry")
    axis.set_ylabel("% of the orders")
    axis.set_title(result.title, loc="left")
    axis.grid(alpha=0.3)
    axis.legend()


def _styled(data: Sequence[dict[str, Any]]) -> Iterator[tuple[dict[str, Any], str]]:
    """Yield each round with the line style of its load."""
    styles = dict(zip(dict.fromkeys(round_["load"] for round_ in data), ("-", "--", ":", "-."), strict=False))
    for round_ in data:
        yield round_, styles[round_["load"]]


def _growth(axis: Axes, result: Result) -> None:
    """Draw what a claim and an empty sweep cost."""
    pending = [found["pending"] for found in result.data]
    axis.plot(pending, [found["claim"] for found in result.data], "o-", color=OURS, label="claim of 1,000")
    axis.plot(pending, [found["sweep"] for found in result.data], "s--", color=OURS, label="sweep, nothing due")
    axis.set_xscale("log")
    axis.set_ylim(bottom=0)
    axis.set_xlabel("orders pending")
    axis.set_ylabel("milliseconds of Redis's time")
    axis.set_title(result.title, loc="left")
    axis.grid(alpha=0.3)
    axis.legend()
