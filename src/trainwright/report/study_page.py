"""The notebook of a study in one HTML file: verdict, tree of experiments, hypotheses, outcomes, curves, samples, costs.

The page loads nothing and holds no script, so that no name or hypothesis can be executed; it works from a disk without a network.
"""

import json
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

from markupsafe import Markup

from trainwright import __version__
from trainwright.catalog import families
from trainwright.errors import UserError
from trainwright.files import write_text
from trainwright.report.curves import Line, overlay
from trainwright.report.run_page import data_uri, style, template
from trainwright.runs.folder import Run
from trainwright.studies.study import Study

MOST_GRIDS, MOST_STRIP = 48, 6
MOST_PANELS = 10


def build_notebook(folder: Path) -> Path:
    """Write ``notebook.html`` into a study's folder and return its path.

    Raises:
        UserError: the folder is not a study, or cannot be written to.
    """
    study = Study(folder)
    facts = study.read()
    table = read_table(folder)
    rows = table["rows"]
    runs = [(row["name"], [Run(study.runs / name) for name in row["runs"]]) for row in rows]
    page = render(
        folder / "notebook.html",
        title=facts["title"],
        headline=table["headline"],
        tree=_tree(rows) if any(row["parent"] for row in rows) else [],
        rows=rows,
        show=table["show"],
        curves=curves(facts.get("family"), runs, table["show"]),
        strips=strips(runs),
        costs=_costs(rows),
        journal=[_entry(event) for event in study.events()],
    )
    return page


def read_table(folder: Path) -> dict[str, Any]:
    """Return ``table.json``; an empty one if nothing has ended yet."""
    try:
        found = json.loads((folder / "table.json").read_text(encoding="utf-8"))
    except FileNotFoundError:
        return {"headline": "Nothing has ended yet.", "show": [], "rows": []}
    except (OSError, ValueError) as error:
        raise UserError(f"{folder / 'table.json'} cannot be read ({error}).") from None
    return dict(found)


def render(file: Path, **parts: Any) -> Path:
    """Write a page in the form of a study's; empty parts are omitted."""
    names = (
        ("tree", "Experiments"), ("rows", "What happened"), ("differences", "What differs"), ("curves", "Curves"),
        ("strips", "Samples"), ("costs", "Costs"), ("journal", "Journal"),
    )  # fmt: skip
    anchors = {"rows": "table", "strips": "samples"}
    sections = [(anchors.get(key, key), word) for key, word in names if parts.get(key)]
    made = template("study.html.j2", figure=_figure, duration=duration)
    text = made.render(style=style(), version=__version__, sections=sections, **parts)
    try:
        write_text(file, text)
    except OSError as error:
        raise UserError(f"{file} cannot be written: {(error.strerror or str(error)).lower()}.") from None
    return file


def curves(
    family: str | None, runs: Sequence[tuple[str, Sequence[Run]]], show: Sequence[str]
) -> list[tuple[str, Markup]]:
    """Return (signal, drawing) of quality, of the study's signals and of the family's panels, with all experiments in each."""
    known = families().get(family or "")
    signals = dict.fromkeys(show)
    if known is not None:
        signals |= dict.fromkeys(part.signal for part in known.quality)
        signals |= dict.fromkeys(signal for chart in known.charts for _, signal in chart.lines[:1])
    logs = {signal: chart.log for chart in (known.charts if known else ()) for _, signal in chart.lines}
    read = [(name, [(run.rows(), _marks(run)) for run in group]) for name, group in runs]
    found = []
    for signal in signals:
        lines = [
            Line(name if number == 0 else None, index, _points(rows, signal), *marks)
            for index, (name, group) in enumerate(read)
            for number, (rows, marks) in enumerate(group)
        ]
        svg = overlay(lines, logs.get(signal, False))
        if svg is not None:
            found.append((signal, Markup(svg)))
    return found[:MOST_PANELS]


def _points(rows: Sequence[Mapping[str, Any]], signal: str) -> list[tuple[float, float]]:
    return [(row["step"], row[signal]) for row in rows if isinstance(row.get(signal), int | float)]


def _marks(run: Run) -> tuple[tuple[float, ...], tuple[float, ...]]:
    """Return the steps of the onsets of findings, and those of the changes of phase."""
    events = run.events()
    onsets = tuple(float(e.get("onset", e["step"])) for e in events if e["event"] == "finding")
    return onsets, tuple(float(e["step"]) for e in events if e["event"] == "phase")


def strips(runs: Sequence[tuple[str, Sequence[Run]]]) -> list[dict[str, Any]]:
    """Return sample grids of each experiment's first run, spread over it; fewer of each for more experiments."""
    each = max(1, min(MOST_STRIP, MOST_GRIDS // max(1, len(runs))))
    found = []
    for name, group in runs[:MOST_GRIDS]:
        files = sorted(group[0].samples.glob("step_*.png")) if group else []
        if len(files) > each:
            picks = (
                {round(i * (len(files) - 1) / max(1, each - 1)) for i in range(each)} if each > 1 else {len(files) - 1}
            )
            files = [file for i, file in enumerate(files) if i in picks]
        grids = [{"step": int(file.stem.removeprefix("step_")), "uri": data_uri(file)} for file in files]
        if grids:
            found.append({"name": name, "grids": grids})
    return found


def _tree(rows: Sequence[Mapping[str, Any]]) -> list[dict[str, Any]]:
    nodes: dict[str, dict[str, Any]] = {row["name"]: {"row": row, "children": []} for row in rows}
    roots: list[dict[str, Any]] = []
    for row in rows:
        parent = nodes.get(row["parent"] or "")
        siblings: list[dict[str, Any]] = roots if parent is None else parent["children"]
        siblings.append(nodes[row["name"]])
    return roots


def _costs(rows: Sequence[Mapping[str, Any]]) -> list[tuple[str, str]]:
    steps = sum(row.get("trained") or 0 for row in rows)
    seconds = sum(row.get("seconds") or 0.0 for row in rows)
    speeds = [f"{row['name']} {row['speed']:.0f}" for row in rows if row.get("speed")]
    shown = [
        ("runs", str(sum(len(row["runs"]) for row in rows))),
        ("training steps", f"{steps:,}"),
        ("training time", duration(seconds)),
        ("samples a second", ", ".join(speeds[:12]) + (" ..." if len(speeds) > 12 else "")),
    ]
    return [(label, value) for label, value in shown if value] if rows else []


def _entry(event: Mapping[str, Any]) -> dict[str, str]:
    result = event.get("result") or {}
    said = result.get("reason") or event.get("because") or event.get("hypothesis") or ""
    if result:
        said = f"{result['verdict']} at step {result['step']}: {said}"
    return {
        "time": event["time"],
        "event": event["event"],
        "experiment": str(event.get("experiment", "")),
        "said": said,
    }


def _figure(value: float | None) -> str:
    return "" if not isinstance(value, int | float) else f"{value:.3g}"


def duration(seconds: float) -> str:
    """``75`` as ``1:15``."""
    minutes, rest = divmod(round(seconds), 60)
    hours, minutes = divmod(minutes, 60)
    return f"{hours}:{minutes:02}:{rest:02}" if hours else f"{minutes}:{rest:02}"
