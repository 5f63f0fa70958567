"""Curves of one run's signals, or of one signal of many runs, as inline SVG drawn by matplotlib."""

import io
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

import matplotlib

matplotlib.use("Agg")
from matplotlib import pyplot as plt
from matplotlib.axes import Axes
from matplotlib.figure import Figure

from trainwright.engine.charts import Chart

COLOURS = ("#2a6f97", "#d1495b", "#66a182", "#edae49", "#7d5ba6", "#5c677d")
MOST_POINTS = 600
LOOK: Any = {"svg.fonttype": "none", "svg.hashsalt": "trainwright", "font.family": "sans-serif", "font.size": 9}


def draw(chart: Chart, rows: Sequence[dict[str, Any]]) -> str | None:
    """Return SVG text of a panel, or None if the run has none of its signals."""
    series = [(label, _points(rows, signal)) for label, signal in chart.lines]
    series = [(label, points) for label, points in series if points]
    if not series:
        return None
    with plt.rc_context(LOOK):
        figure, axes = plt.subplots(figsize=(5.4, 2.5), layout="constrained")
        for (label, points), colour in zip(series, COLOURS, strict=False):
            marker = "." if len(points) < 3 else None
            axes.plot([s for s, _ in points], [v for _, v in points], label=label, color=colour, lw=1.3, marker=marker)
        log = chart.log and all(v > 0 for _, points in series for _, v in points)
        return _finish(figure, axes, log, columns=1)


@dataclass(frozen=True)
class Line:
    """Curve of one run's signal. Lines of one experiment share a ``colour`` number, and the first has the ``label``."""

    label: str | None
    colour: int
    points: Sequence[tuple[float, float]]
    onsets: Sequence[float] = ()
    phases: Sequence[float] = ()


def overlay(lines: Sequence[Line], log: bool = False) -> str | None:
    """Return SVG text of many runs together, or None if there is nothing to draw.

    The onsets of findings and the changes of phase are marked.
    """
    lines = [line for line in lines if line.points]
    if not lines:
        return None
    with plt.rc_context(LOOK):
        figure, axes = plt.subplots(figsize=(5.4, 2.9), layout="constrained")
        for line in lines:
            colour = COLOURS[line.colour % len(COLOURS)]
            dash = ("-", "--", ":")[line.colour // len(COLOURS) % 3]
            stride = -(-len(line.points) // MOST_POINTS)
            steps, values = zip(*line.points[::stride], strict=True)
            marker = "." if len(steps) < 3 else None
            label = line.label.replace("$", r"\$").lstrip("_") if line.label else None
            axes.plot(steps, values, color=colour, ls=dash, lw=1.2, marker=marker, label=label)
            for onset in line.onsets:
                near = min(line.points, key=lambda point: abs(point[0] - onset))
                axes.plot([onset], [near[1]], marker="v", color=colour, ms=6)
            for phase in line.phases:
                axes.axvline(phase, color=colour, lw=0.8, ls="--")
        positive = all(v > 0 for line in lines for _, v in line.points)
        return _finish(figure, axes, log and positive, columns=2)


def _finish(figure: Figure, axes: Axes, log: bool, columns: int) -> str:
    if log:
        axes.set_yscale("log")
    axes.grid(alpha=0.25)
    axes.spines[["top", "right"]].set_visible(False)
    axes.set_xlabel("step")
    if len(axes.get_lines()):
        axes.legend(frameon=False, fontsize=8 if columns == 1 else 7, ncols=columns)
    out = io.StringIO()
    figure.savefig(out, format="svg", metadata={"Date": None})
    plt.close(figure)
    return out.getvalue()[out.getvalue().index("<svg") :]


def _points(rows: Sequence[dict[str, Any]], signal: str) -> list[tuple[int, float]]:
    points = [(row["step"], row[signal]) for row in rows if signal in row]
    stride = -(-len(points) // MOST_POINTS)
    return points[::stride] if stride > 1 else points
