"""``trainwright sample RUN -n 64``: new images from a trained run."""

from pathlib import Path
from typing import Annotated

import typer

from trainwright.cli.words import Best, Raw, RunFolder, Seed, weights_of
from trainwright.errors import UserError


def register(app: typer.Typer, group: str) -> None:
    """Add the verb."""
    app.command(rich_help_panel=group)(sample)


def sample(
    run: RunFolder,
    count: Annotated[int, typer.Option("-n", "--count", min=1, max=1_000_000, help="Number of images.")] = 64,
    seed: Seed = 0,
    out: Annotated[Path | None, typer.Option(help="Folder for the images; by default RUN/generated/seed_SEED.")] = None,
    raw: Raw = False,
    best: Best = False,
) -> None:
    """Write COUNT images as PNG files, and a grid of the first 64; levels also as a file that can be trained on."""
    from trainwright import api

    target = out or run / "generated" / f"seed_{seed}"
    if target.exists() and not target.is_dir():
        raise UserError(f"--out {target} is a file; give a folder.")
    model = api.load(run, weights_of(raw, best))
    grid, *files = model.save_samples(target, count, seed)
    kind = "averaged weights" if model.averaged else "raw weights"
    print(f"{count} images from step {model.step} ({kind}, seed {seed}): {target}")
    print(f"grid: {grid}")
    for file in files[: len(files) - count]:
        print(f"the same as data: {file}")
