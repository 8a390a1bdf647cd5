"""Plots of the model, as SVG."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path

import matplotlib as mpl

mpl.use("Agg")

from matplotlib import pyplot as plt
from matplotlib.axes import Axes
from matplotlib.figure import Figure

from benchmarks.model.report import Compared, Predicted
from benchmarks.plots import save

COLOURS = ("#999999", "#e3a857", "#c0504d", "#9ecae1", "#4a9cb8", "#1f6f8b", "#0b3c4d")
"""A colour for each line of the plot of floods."""
PARTS = {
    "schedule": "#c0504d",
    "broker": "#e3a857",
    "sweeper": "#777777",
    "workers": "#1f6f8b",
    "PostgreSQL": "#4f8a4f",
}


def plot(compared: Sequence[Compared], predicted: Predicted, folder: Path) -> list[Path]:
    """Draw the plots; return the files.

    Args:
        compared: the measured drains, and the model's results for them.
        predicted: the predictions of the model.
        folder: where to put the files; it is created if it is missing.
    """
    folder.mkdir(parents=True, exist_ok=True)
    mpl.rcParams["svg.hashsalt"] = "model"  # so that equal figures give equal files
    files = []
    for name, figure in (
        ("compared", _compared(compared)),
        ("floods", _floods(predicted)),
        ("steady", _steady(predicted)),
    ):
        files.append(folder / f"{name}.svg")
        save(figure, files[-1], metadata={"Date": None})
        plt.close(figure)
    return files


def _compared(compared: Sequence[Compared]) -> Figure:
    """Draw each drain as a point, with the measured rate on the x axis and the modelled rate on the y axis."""
    figure, axis = plt.subplots(figsize=(6.5, 6), layout="constrained")
    measured = [each.drain.rate for each in compared]
    ends = [min(measured) * 0.7, max(measured) * 1.4]
    axis.plot(ends, ends, color="#444444", linewidth=1, label="equal")
    axis.fill_between(
        ends, [end * 0.8 for end in ends], [end * 1.2 for end in ends], color="#1f6f8b", alpha=0.15, label="within 20 %"
    )
    axis.plot(measured, [each.rate for each in compared], "o", color="#1f6f8b", alpha=0.8, label="a drain")
    _logarithmic(axis, "orders/s, measured", "orders/s, model")
    axis.set_title("The model against what was measured", loc="left")
    axis.legend(loc="upper left")
    return figure


def _floods(predicted: Predicted) -> Figure:
    """Draw how fast a flood is drained, by number of workers."""
    figure, axis = plt.subplots(figsize=(11, 5.5), layout="constrained")
    for (name, found), colour in zip(predicted.floods.items(), COLOURS, strict=True):
        style = "--" if name.startswith("a task") else "-"
        rates = [drained.rate for drained in found.values()]
        label = f"{name} ({found[max(found)].bottleneck})"
        axis.plot(list(found), rates, style, color=colour, marker="o", ms=4, label=label)
    _logarithmic(axis, "workers, of one core each", "orders/s")
    axis.set_title("A flood, by workers; in brackets, the part that is busiest with 1,000 of them", loc="left")
    axis.legend(reverse=True, loc="upper left", bbox_to_anchor=(1, 1), frameon=False)
    return figure


def _steady(predicted: Predicted) -> Figure:
    """Draw how many cores a steady stream keeps busy."""
    figure, axis = plt.subplots(figsize=(9, 5.5), layout="constrained")
    pending = [found.pending for found in predicted.steady]
    for part, colour in PARTS.items():
        cores = [found.cores[part] for found in predicted.steady]
        axis.plot(pending, cores, color=colour, marker="o", ms=4, label=part)
    axis.axhline(1, color="#444444", linewidth=1)
    axis.annotate("one core", (pending[0], 1), (0, 4), textcoords="offset points", fontsize=8)
    _logarithmic(axis, "orders pending, each for 30 minutes", "cores busy, in all")
    axis.set_title("A steady stream, by orders pending", loc="left")
    axis.legend()
    return figure


def _logarithmic(axis: Axes, x: str, y: str) -> None:
    axis.set_xscale("log")
    axis.set_yscale("log")
    axis.set_xlabel(x)
    axis.set_ylabel(y)
    axis.grid(alpha=0.3)
    axis.spines[["top", "right"]].set_visible(False)
    for side in (axis.xaxis, axis.yaxis):
        side.set_major_formatter(lambda value, _: _told(value))


def _told(value: float) -> str:
    if value >= 1e6:
        return f"{value / 1e6:,.0f} million"
    return f"{value:,.0f}" if value >= 1 else f"{value:g}"
