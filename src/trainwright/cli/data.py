"""``trainwright data ...``: preparation of data before a training."""

from pathlib import Path
from typing import Annotated

import typer

EPILOG = """Settings are key=value: size=64 channels=4 fitting.layout=slots fitting.blend=sum on_error=skip. The same command
continues interrupted work; an image that was fitted once with the same settings is not fitted again."""

verbs = typer.Typer(help="Prepare data: turn images into Gaussians.", no_args_is_help=True, rich_markup_mode="markdown")


def register(app: typer.Typer, group: str) -> None:
    """Add the verb and its own verbs."""
    app.add_typer(verbs, name="data", rich_help_panel=group)


@verbs.callback()
def data() -> None:
    """Prepare data: turn images into Gaussians."""


@verbs.command("fit-gaussians", epilog=EPILOG)
def fit_gaussians(
    source: Annotated[str, typer.Argument(help="A folder of images, or `sprites`, `emoji` or `photos`.")],
    overrides: Annotated[list[str] | None, typer.Argument(help="key=value, such as size=64 workers=1.")] = None,
    count: Annotated[int, typer.Option(help="Gaussians for each image.", min=4, max=16384)] = 512,
    out: Annotated[
        Path | None, typer.Option(help="Folder for fits and quality report; by default fits/NAME-COUNT.")
    ] = None,
) -> None:
    """Write every image as COUNT 2-D Gaussians, with a quality report.

    `trainwright train gaussian_vae/... data=OUT` takes the folder; data=SOURCE finds the same fits too.
    """
    from trainwright.config.reading import Settings, add_overrides, validate
    from trainwright.data.gaussians.config import GaussianData
    from trainwright.errors import UserError
    from trainwright.progress import progress_bar

    settings = Settings()
    settings.put(("source",), source, "data")
    settings.put(("fitting", "count"), count, "--count")
    add_overrides(settings, GaussianData, overrides or ())
    config = validate(settings, GaussianData)
    target = out or Path("fits") / f"{Path(source).resolve().name if Path(source).exists() else source}-{count}"
    if target.exists() and not target.is_dir():
        raise UserError(f"--out {target} is a file; give a folder.")

    from trainwright.data.gaussians.folder import write_folder
    from trainwright.data.gaussians.store import load
    from trainwright.report.fits import summary, write_report

    with progress_bar("fitting images") as bar:
        found = load(config, bar)
    try:
        write_folder(target, found, config)
        page = write_report(target, found, config)
    except OSError as error:
        raise UserError(f"the fits cannot be written to {target}: {(error.strerror or str(error)).lower()}.") from None
    print(summary(found, count))
    for name, reason in found.skipped[:5]:
        print(f"skipped: {name} {reason}")
    if len(found.skipped) > 5:
        print(f"skipped: {len(found.skipped) - 5} more; {target / 'quality.csv'} does not list them, fits.json does")
    print(f"fits:    {target}")
    print(f"quality: {page}")
