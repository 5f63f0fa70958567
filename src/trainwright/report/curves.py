"""Curves of a run's signals as inline SVG, drawn by matplotlib."""

import io
from collections.abc import Sequence
from typing import Any

import matplotlib

matplotlib.use("Agg")
from matplotlib import pyplot as plt

from trainwright.train.panel import Panel

COLOURS = ("#2a6f97", "#d1495b", "#66a182", "#edae49", "#7d5ba6", "#5c677d")
MOST_POINTS = 600


def draw(panel: Panel, rows: Sequence[dict[str, Any]]) -> str | None:
    """SVG text of a panel, or None if the run has none of its signals."""
    series = [(label, _points(rows, signal)) for label, signal in panel.lines]
    series = [(label, points) for label, points in series if points]
    if not series:
        return None
    with plt.rc_context(
        {"svg.fonttype": "none", "svg.hashsalt": "trainwright", "font.family": "sans-serif", "font.size": 9}
    ):
        figure, axes = plt.subplots(figsize=(5.4, 2.5), layout="constrained")
        for (label, points), colour in zip(series, COLOURS, strict=False):
            marker = "." if len(points) < 3 else None
            axes.plot([s for s, _ in points], [v for _, v in points], label=label, color=colour, lw=1.3, marker=marker)
        if panel.log and all(v > 0 for _, points in series for _, v in points):
            axes.set_yscale("log")
        axes.grid(alpha=0.25)
        axes.spines[["top", "right"]].set_visible(False)
        axes.set_xlabel("step")
        axes.legend(frameon=False, fontsize=8)
        out = io.StringIO()
        figure.savefig(out, format="svg", metadata={"Date": None})
        plt.close(figure)
    return out.getvalue()[out.getvalue().index("<svg") :]


def _points(rows: Sequence[dict[str, Any]], signal: str) -> list[tuple[int, float]]:
    points = [(row["step"], row[signal]) for row in rows if signal in row]
    stride = -(-len(points) // MOST_POINTS)
    return points[::stride] if stride > 1 else points
