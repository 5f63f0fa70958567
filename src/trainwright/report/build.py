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
from trainwright.errors import UserError
from trainwright.files import write_text
from trainwright.report.curves import Panel, draw
from trainwright.runs.folder import Run, read_lines

MOST_GRIDS = 16

PANELS = (
    Panel(
        "Wasserstein estimate, without the penalty",
        "Should rise early and then fall: its trend is the progress of a WGAN. Held-out far below training: the critic "
        "learns its pictures by heart.",
        (
            ("training batches", "critic/wasserstein"),
            ("training", "critic/wasserstein_train"),
            ("held out", "critic/wasserstein_heldout"),
        ),
    ),
    Panel(
        "Gradient norm at the interpolates",
        "The penalty pulls it to 1; far off, its weight is too small or too large.",
        (("mean gradient norm", "critic/gradient_norm"), ("penalty", "critic/penalty")),
    ),
    Panel(
        "Losses",
        "The level of the generator's loss means nothing in a WGAN: the critic may add any constant.",
        (("critic", "critic/loss"), ("generator", "generator/loss")),
    ),
    Panel(
        "Gradient norms",
        "One far below the other for long: that network hardly learns.",
        (("critic", "grad_norm/critic"), ("generator", "grad_norm/generator")),
        log=True,
    ),
    Panel("Learning rates in force", "", (("critic", "lr/critic"), ("generator", "lr/generator"))),
    Panel(
        "Updates per epoch",
        "A generator near 0 is starved.",
        (("critic", "updates_per_epoch/critic"), ("generator", "updates_per_epoch/generator")),
    ),
    Panel("Samples per second", "", (("samples per second", "speed/samples_per_second"),)),
)


def build_report(run: Run) -> Path:
    """Writes ``report.html`` into the run's folder and returns its path.

    Raises:
        UserError: the folder is no run, or cannot be written to.
    """
    facts = run.read()
    rows = read_lines(run.metrics)
    page = _template().render(
        facts=facts,
        name=run.name,
        facts_shown=_shown(facts, rows),
        grids=_grids(run),
        panels=[(p, Markup(svg)) for p in PANELS if (svg := draw(p, rows)) is not None],
        evaluation=_evaluation(run),
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


def _template() -> Any:
    source = (files("trainwright.report") / "page.html.j2").read_text(encoding="utf-8")
    return Environment(autoescape=True, trim_blocks=True, lstrip_blocks=True).from_string(source)


def _shown(facts: dict[str, Any], rows: Sequence[dict[str, Any]]) -> list[tuple[str, str]]:
    speed = sorted(row["speed/samples_per_second"] for row in rows if "speed/samples_per_second" in row)
    parameters = ", ".join(f"{name} {count:,}" for name, count in facts.get("parameters", {}).items())
    data = facts["data"]
    left_out = f", {data['left_out']} files left out" if data["left_out"] else ""
    shown = [
        ("recipe", facts["recipe"]),
        ("progress", f"step {facts.get('step', 0)} of {facts.get('steps', '?')}, epoch {facts.get('epoch', 0)}"),
        ("data", f"{data['training']} training pictures{left_out}, identity {data['identity']}"),
        ("parameters", parameters),
        ("speed", f"{speed[len(speed) // 2]:.0f} samples a second (median)" if speed else ""),
        ("watching", f"{facts['watch_share']:.2%} of the time" if "watch_share" in facts else ""),
        ("begun", facts["created"]),
        (
            "with",
            f"Trainwright {facts['trainwright']}, {facts['machine']['system']}, {facts['machine']['cores']} cores",
        ),
    ]
    return [(name, value) for name, value in shown if value]


def _grids(run: Run) -> list[dict[str, Any]]:
    """Up to 16 grids spread over the run, the last one always among them, as data URIs."""
    found = sorted(run.samples.glob("step_*.png"))
    if len(found) > MOST_GRIDS:
        picks = {round(i * (len(found) - 1) / (MOST_GRIDS - 1)) for i in range(MOST_GRIDS)}
        found = [file for i, file in enumerate(found) if i in picks]
    return [
        {
            "step": int(file.stem.removeprefix("step_")),
            "uri": "data:image/png;base64," + base64.b64encode(file.read_bytes()).decode(),
        }
        for file in found
    ]


def _evaluation(run: Run) -> dict[str, Any] | None:
    try:
        found = json.loads((run.folder / "evaluation.json").read_text(encoding="utf-8"))
    except (OSError, ValueError):
        return None
    return found if isinstance(found, dict) else None
