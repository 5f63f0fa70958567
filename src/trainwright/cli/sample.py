"""``trainwright sample RUN -n 64``: new images from a trained run."""

from pathlib import Path
from typing import Annotated

import typer


def register(app: typer.Typer) -> None:
    """Adds the verb."""
    app.command()(sample)


def sample(
    run: Annotated[Path, typer.Argument(help="Run folder.")],
    count: Annotated[int, typer.Option("-n", "--count", min=1, max=1_000_000, help="How many images.")] = 64,
    seed: Annotated[int, typer.Option(min=0, help="The same seed gives the same images.")] = 0,
    out: Annotated[Path | None, typer.Option(help="Folder for the images [default: RUN/generated/seed_SEED].")] = None,
    raw: Annotated[bool, typer.Option("--raw", help="Use the last weights instead of their average (EMA).")] = False,
    best: Annotated[bool, typer.Option("--best", help="Use the checkpoint with the best held-out objective.")] = False,
) -> None:
    """Write COUNT images as PNG files, and a grid of the first 64; levels also as a file that can be trained on."""
    from trainwright import catalog as registry
    from trainwright.engine.grids import save_grid, save_png, to_bytes, to_image
    from trainwright.engine.inference import load
    from trainwright.errors import UserError
    from trainwright.files import atomic_path
    from trainwright.runs.folder import open_run

    opened = open_run(run)
    target = out or opened.folder / "generated" / f"seed_{seed}"
    if target.exists() and not target.is_dir():
        raise UserError(f"--out {target} is a file; give a folder.")
    trained = load(registry.family(opened.read()["family"], str(run)), opened, best)
    written = 0
    try:
        for part, images in enumerate(trained.samples(count, seed, averaged=not raw)):
            if part == 0:
                save_grid(images[:64], target / "grid.png")
            for image in to_bytes(images):
                save_png(to_image(image), target / f"{written:05d}.png")
                written += 1
        files = trained.files(count, seed, averaged=not raw)
        for name, content in files.items():
            with atomic_path(target / name) as temporary:
                temporary.write_bytes(content)
    except OSError as error:
        raise UserError(
            f"the images cannot be written to {target}: {(error.strerror or str(error)).lower()}."
        ) from None
    kind = "averaged weights" if trained.has_average and not raw else "raw weights"
    print(f"{written} images from step {trained.step} ({kind}, seed {seed}): {target}")
    print(f"grid: {target / 'grid.png'}")
    for name in files:
        print(f"the same as data: {target / name}")
