"""``trainwright evaluate RUN``: how good the samples are beside real images."""

from pathlib import Path
from typing import Annotated

import typer


def register(app: typer.Typer) -> None:
    """Adds the verb."""
    app.command()(evaluate)


def evaluate(
    run: Annotated[Path, typer.Argument(help="Run folder.")],
    count: Annotated[int, typer.Option("-n", "--count", min=16, max=100_000, help="Samples to judge.")] = 1000,
    seed: Annotated[int, typer.Option(min=0, help="Of the samples and of KID's subsets.")] = 0,
    raw: Annotated[bool, typer.Option("--raw", help="Judge the last weights instead of their average (EMA).")] = False,
    best: Annotated[
        bool, typer.Option("--best", help="Judge the checkpoint with the best held-out objective.")
    ] = False,
    as_json: Annotated[bool, typer.Option("--json", help="Print JSON.")] = False,
) -> None:
    """Measure KID, precision, recall, density, coverage and nearness to training images; writes evaluation.json."""
    import json

    from trainwright import catalog as registry
    from trainwright.report.evaluation import evaluate_run
    from trainwright.runs.folder import open_run

    opened = open_run(run)
    family = registry.family(opened.read()["family"], str(run))
    result = evaluate_run(family, opened, count, seed, averaged=not raw, best=best)
    if as_json:
        print(json.dumps(result, indent=2))
        return
    print(f"{result['samples']} samples of step {result['step']} ({result['weights']} weights, seed {seed}) beside")
    print(f"{result['real']} training and {result['held_out']} held-out images; {result['backend']}\n")
    for row in result["rows"]:
        spread = f" ± {row['spread']:.3g}" if row["spread"] is not None else ""
        floor = f"  real data: {row['floor']:.3g}" if row["floor"] is not None else ""
        print(f"  {row['metric']:<38} {row['value']:>8.4g}{spread}{floor}  ({row['meaning']})")
