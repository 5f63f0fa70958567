"""Samples of the sequence VAE compared with real levels: clustered points and Sokoban.

Clustered points use the recipe of the sequence VAE guide and the sound ones. ``python -m benchmarks.sequence`` trains each recipe with
its own settings on one thread in ``runs/sequence`` (a second call resumes) and writes ``results/sequence.json``. 512 samples of each,
36 times with other noise.
"""

import argparse
import statistics
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import numpy as np
import torch

from benchmarks.results_io import kept, row, write
from trainwright import catalog as registry
from trainwright.data.levels import sokoban
from trainwright.engine.display import Silent
from trainwright.engine.inference import load
from trainwright.engine.session import train
from trainwright.families.sequence_vae.quality import SOLVED, level_signals
from trainwright.runs.folder import Run

SAMPLES, DRAWS = 512, 36
AIM = 1.2  # times what other real levels score
REAL = "clusters, other real levels:"
RECIPES = {
    "gaussian_mixture": ("clusters, the sequence VAE guide's recipe:", None),
    "gaussian_mixture_sound": ("clusters, sound:", AIM),
    "gaussian_mixture_wide": ("clusters, sound and wide:", AIM),
    "sokoban": ("Sokoban", None),
}  # what its rows begin with, and what is aimed at
POINTS = {
    "prior/two_sample_ratio": ("x", None, "lower"), "prior/structure_ratio": ("x", None, "lower"),
    "prior/nearest_accuracy": ("", None, "lower"), "prior/cluster_count_distance": ("", None, "lower"),
}  # fmt: skip
TILES = {
    "prior/valid_share": ("", 0.9, "higher"), "prior/one_player_share": ("", None, "higher"),
    "prior/boxes_match_share": ("", None, "higher"), "prior/closed_share": ("", None, "higher"),
    "prior/copy_share": ("", 0.05, "lower"), "prior/two_sample_ratio": ("x", None, "lower"),
    "prior/pattern_divergence": ("nats", None, "lower"), "prior/solvable_share": ("of valid", None, "higher"),
}  # fmt: skip


def trained(title: str) -> tuple[Any, Any]:
    """Return (model, data) of a recipe, trained now unless its run exists."""
    family, config = registry.load(title, ("threads=1", "tracker=none"))
    run = Run(Path("runs") / "sequence" / title.split("/")[1])
    train(family, config, run, Silent())
    print(title, "done", flush=True)
    return load(family, run).model, family.load(config).open_data(config)


def several(
    model: Any, data: Any, wanted: dict[str, Any], label: str, targets: bool = True
) -> Iterator[dict[str, Any]]:
    """Yield a row per signal: median and range over draws of the noise."""
    model.prepare_sampling(data)
    seen = [level_signals(model.levels(SAMPLES, seed).cpu(), data, thorough=True) for seed in range(1, DRAWS + 1)]
    for signal, (unit, target, better) in wanted.items():
        values = [s[signal] for s in seen if signal in s]
        name = f"{label} {signal.removeprefix('prior/').replace('_', ' ')}"
        goal = target if targets else None
        yield row(name, statistics.median(values), unit, goal, better, SAMPLES * DRAWS, max(values) - min(values))


def floor(data: Any) -> Iterator[dict[str, Any]]:
    """Yield the same rows for real levels, as the result of a perfect generator under chance."""
    seen = [level_signals(torch.from_numpy(data.fetch(seed, 0, SAMPLES)), data, thorough=True) for seed in range(DRAWS)]
    for signal, (unit, _, better) in POINTS.items():
        values = [s[signal] for s in seen]
        name = f"{REAL} {signal.removeprefix('prior/').replace('_', ' ')}"
        yield row(name, statistics.median(values), unit, None, better, SAMPLES * len(values), max(values) - min(values))


def over_real(rows: list[dict[str, Any]]) -> list[dict[str, Any]]:
    """Yield the two-sample ratio of each recipe on clustered points compared with that of real levels."""
    found = {r["metric"]: r for r in rows}
    real = found[f"{REAL} two sample ratio"]["value"]
    made = [
        (label, aim, found[f"{label} two sample ratio"])
        for label, aim in RECIPES.values()
        if f"{label} two sample ratio" in found
    ]
    return [
        row(f"{label} over other real levels", own["value"] / real, "x", aim, "lower", own["n"] // SAMPLES, None)
        for label, aim, own in made
    ]


def sokoban_rows() -> Iterator[dict[str, Any]]:
    """Yield rows with and without the rules, and the result of the search on real levels."""
    model, data = trained("sequence_vae/sokoban")
    yield from several(model, data, TILES, "Sokoban:")
    model.model = model.model.model_copy(update={"rules": "none"})
    yield from several(model, data, TILES, "Sokoban, without rules:", False)
    real = data.some("held_out", SOLVED).numpy().astype(np.uint8)
    solved = float(np.mean([sokoban.solvable(board, 20_000) is True for board in real]))
    yield row("Sokoban: held-out levels that the same search solves", solved, "", None, "", len(real), None)


def main() -> None:
    """Train missing runs and write the result."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--only", choices=RECIPES, help="measure that alone, and keep the other rows")
    only = parser.parse_args().only
    torch.set_num_threads(1)
    rows = [] if only is None else kept("sequence", RECIPES[only][0])
    for recipe, (label, _) in RECIPES.items():
        if only in (None, recipe):
            rows += (
                sokoban_rows() if recipe == "sokoban" else several(*trained(f"sequence_vae/{recipe}"), POINTS, label)
            )
    rows = [r for r in rows if "other real levels" not in r["metric"]]
    family, config = registry.load("sequence_vae/gaussian_mixture")
    rows += floor(family.load(config).open_data(config))
    rows += over_real(rows)
    print(write("sequence", "python -m benchmarks.sequence", rows))


if __name__ == "__main__":
    main()
