"""One self-contained HTML page for a run: status first, samples through time, curves, evaluation, settings, events.

The page loads nothing from anywhere, so it can be mailed, archived and opened without a network.
"""

import base64
import json
from collections.abc import Sequence
from importlib.resources import files
from pathlib import Path
from typing import Any

from jinja2 import Environment
from markupsafe import Markup

from trainwright import __version__
from trainwright.catalog import families
from trainwright.config.reading import read_yaml
from trainwright.diagnosis.doctor import examine
from trainwright.diagnosis.input import open_input
from trainwright.engine.charts import Chart
from trainwright.errors import UserError
from trainwright.files import write_text
from trainwright.report.curves import draw
from trainwright.report.diagnosis import chart, text
from trainwright.report.timeline import timeline
from trainwright.runs.folder import Run

MOST_GRIDS = 16

SPEED = Chart("Samples per second", "", (("samples per second", "speed/samples_per_second"),))


def build_report(run: Run) -> Path:
    """Write ``report.html`` into the run's folder and return its path.

    Raises:
        UserError: the folder is not a run, or cannot be written to.
    """
    facts = run.read()
    rows = run.rows()
    source = open_input(run.folder, {})
    found = examine(source.history)
    page = template("page.html.j2").render(
        style=style(),
        finding=text(run.name, found, source.family),
        diagnosis_chart=Markup(chart(source.history, found) or ""),
        facts=facts,
        name=run.name,
        facts_shown=_shown(facts, rows),
        grids=_grids(run),
        charts=[(p, Markup(svg)) for p in _panels(facts, rows) if (svg := draw(p, rows)) is not None],
        views=_views(run),
        evaluation=_evaluation(run),
        phases=timeline(read_yaml(run.config).get("phases") or (), run.events(), int(facts.get("step", 0))),
        config=run.config.read_text(encoding="utf-8"),
        events=run.events(),
        version=__version__,
    )
    try:
        write_text(run.folder / "report.html", page)
    except OSError as error:
        raise UserError(
            f"the report cannot be written to {run.folder}: {(error.strerror or str(error)).lower()}."
        ) from None
    return run.folder / "report.html"


def style() -> Markup:
    """Return the style sheet of all pages."""
    return Markup((files("trainwright.report") / "style.css").read_text(encoding="utf-8"))


def template(name: str, **filters: Any) -> Any:
    """Return a page's template; all inserted text is escaped."""
    source = (files("trainwright.report") / name).read_text(encoding="utf-8")
    environment = Environment(autoescape=True, trim_blocks=True, lstrip_blocks=True)
    environment.filters.update(filters)
    return environment.from_string(source)


def _shown(facts: dict[str, Any], rows: Sequence[dict[str, Any]]) -> list[tuple[str, str]]:
    speed = sorted(row["speed/samples_per_second"] for row in rows if "speed/samples_per_second" in row)
    parameters = ", ".join(f"{name} {count:,}" for name, count in facts.get("parameters", {}).items())
    data = facts["data"]
    skipped = f", {data['skipped']} files skipped" if data["skipped"] else ""
    shown = [
        ("recipe", facts["recipe"]),
        ("progress", f"step {facts.get('step', 0)} of {facts.get('steps', '?')}, epoch {facts.get('epoch', 0)}"),
        ("data", f"{data['training']} training images{skipped}, identity {data['identity']}"),
        ("parameters", parameters),
        ("speed", f"{speed[len(speed) // 2]:.0f} samples a second (median)" if speed else ""),
        ("monitoring", f"{facts['monitor_share']:.2%} of the time" if "monitor_share" in facts else ""),
        ("begun", facts["created"]),
        (
            "with",
            f"Trainwright {facts['trainwright']}, {facts['machine']['system']}, {facts['machine']['cores']} cores",
        ),
    ]
    return [(name, value) for name, value in shown if value]


def _panels(facts: dict[str, Any], rows: Sequence[dict[str, Any]]) -> list[Chart]:
    """Return the family's own panels, then those of all groups of networks."""
    known = families().get(facts["family"])
    groups = sorted({name.removeprefix("lr/") for row in rows for name in row if name.startswith("lr/")})
    norms = Chart(
        "Gradient norms",
        "Before clipping." if len(groups) < 2 else "If one stays far below the other, that network hardly learns.",
        [(group, f"grad_norm/{group}") for group in groups],
        log=True,
    )
    rates = Chart("Learning rates in force", "", [(group, f"lr/{group}") for group in groups])
    return [*(known.charts if known else ()), norms, rates, SPEED]


def _views(run: Run) -> list[dict[str, str]]:
    """Return the newest grid of each of the family's views."""
    found = [max(folder.glob("step_*.png"), default=None) for folder in sorted(run.views.glob("*"))]
    return [{"name": file.parent.name, "uri": data_uri(file)} for file in found if file is not None]


def data_uri(file: Path) -> str:
    """Return an image as a data URI."""
    return "data:image/png;base64," + base64.b64encode(file.read_bytes()).decode()


def _grids(run: Run) -> list[dict[str, Any]]:
    """Return up to 16 grids spread over the run, including the last one, as data URIs."""
    found = sorted(run.samples.glob("step_*.png"))
    if len(found) > MOST_GRIDS:
        picks = {round(i * (len(found) - 1) / (MOST_GRIDS - 1)) for i in range(MOST_GRIDS)}
        found = [file for i, file in enumerate(found) if i in picks]
    return [
        {
            "step": int(file.stem.removeprefix("step_")),
            "uri": data_uri(file),
        }
        for file in found
    ]


def _evaluation(run: Run) -> dict[str, Any] | None:
    try:
        found = json.loads((run.folder / "evaluation.json").read_text(encoding="utf-8"))
    except (OSError, ValueError):
        return None
    return found if isinstance(found, dict) else None
