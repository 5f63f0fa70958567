"""``trainwright train RECIPE [key=value ...]``."""

import os
import signal
import sys
import threading
from collections.abc import Callable
from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer

from trainwright import catalog as registry
from trainwright.cli.display import Bar, display
from trainwright.cli.naming import run_folder

if TYPE_CHECKING:
    from trainwright.engine.config import RunConfig
    from trainwright.engine.display import Display
    from trainwright.engine.family import Family
    from trainwright.engine.model import Data
    from trainwright.engine.session import Outcome

CRASHED, SICK = 3, 11
EPILOG = """Overrides are key=value in any order; a leaf name is enough where it is unique: lr_g=1e-5 n_critic=3 data=images/.
Run the same command again and it goes on where it stopped. Ctrl-C saves a checkpoint first."""


def register(app: typer.Typer) -> None:
    """Adds the verb."""
    app.command(epilog=EPILOG)(train)


def train(
    recipe: Annotated[str, typer.Argument(help="FAMILY/RECIPE (see `trainwright recipes`) or a YAML file.")],
    overrides: Annotated[list[str] | None, typer.Argument(help="key=value, such as data=images/ lr_g=1e-5.")] = None,
    run: Annotated[
        Path | None, typer.Option(help="Run folder; by default named after the recipe and the overrides.")
    ] = None,
    root: Annotated[Path, typer.Option(help="Folder in which runs are named.")] = Path("runs"),
    new: Annotated[bool, typer.Option("--new", help="Begin a new run even if this command has one already.")] = False,
    dry_run: Annotated[bool, typer.Option("--dry-run", help="Print the resolved config and stop.")] = False,
) -> None:
    """Train a recipe, or go on with it where it stopped."""
    family, config = registry.load(recipe, overrides or ())
    if dry_run:
        from trainwright.config.writing import to_yaml

        print(to_yaml(config), end="")
        return
    folder = run or run_folder(root, recipe, overrides or (), new)
    if not is_helper() and not (folder / "run.json").exists():
        preflight(family, config)
    outcome = run_training(family, config, folder)
    conclude(outcome)


def preflight(family: "Family", config: "RunConfig") -> None:
    """Says what is wrong before the first step; what was measured is thrown away."""
    from trainwright.engine.preflight import preflight as look

    for found in look(family, config, prepared(family, config)):
        if found.grade != "ok":
            word = "this cannot work" if found.grade == "stop" else "warning"
            print(f"{word}: {found.message}. Try: {found.fix}", flush=True)


def prepared(family: "Family", config: "RunConfig") -> "Data":
    """The data of a config; says so first if that may take long."""
    if config.beforehand():
        print(config.beforehand(), file=sys.stderr, flush=True)
    return family.load(config).open_data(config, Bar("preparing"))


def run_training(family: "Family", config: "RunConfig", folder: Path) -> "Outcome":
    """Trains with a live display; Ctrl-C and SIGTERM end it after the current step, a second Ctrl-C at once."""
    if is_helper():
        from trainwright.engine.display import Silent

        with stop_on_signal(lambda text: None) as stop:
            return _session(family, config, folder, Silent(), stop)
    print(f"{config.recipe}: {config.hypothesis}" if config.hypothesis else config.recipe, flush=True)
    print(f"run folder: {folder}  (starting up ...)", flush=True)
    with display() as shown, stop_on_signal(shown.note) as stop:
        return _session(family, config, folder, shown, stop)


def _session(
    family: "Family", config: "RunConfig", folder: Path, shown: "Display", stop: Callable[[], bool]
) -> "Outcome":
    from trainwright.engine.session import train as train_session
    from trainwright.runs.folder import Run

    return train_session(family, config, Run(folder), shown, stop, Bar("preparing"))


def is_helper() -> bool:
    """Whether this process was started by another one of the same run (``train.devices`` above 1): it stays silent."""
    return int(os.environ.get("LOCAL_RANK", "0")) > 0


class stop_on_signal:
    """While active, a first SIGINT or SIGTERM only raises a flag; a second SIGINT interrupts at once."""

    def __init__(self, note: Callable[[str], None]) -> None:
        self._note, self._flag = note, threading.Event()

    def __enter__(self) -> Callable[[], bool]:
        self._before = {s: signal.signal(s, self._handle) for s in (signal.SIGINT, signal.SIGTERM)}
        return self._flag.is_set

    def _handle(self, number: int, frame: object) -> None:
        if self._flag.is_set() and number == signal.SIGINT:
            raise KeyboardInterrupt
        self._flag.set()
        self._note("stopping after this step, with a checkpoint (Ctrl-C again: at once)")

    def __exit__(self, *exc: object) -> None:
        for number, handler in self._before.items():
            signal.signal(number, handler)


def conclude(outcome: "Outcome") -> None:
    """Says how it ended and what to do next; exits with the code that fits."""
    if is_helper():
        return
    folder = outcome.run.folder
    if outcome.status == "crashed":
        print(
            f"trainwright: training crashed. {outcome.message}. The checkpoint before it is kept; the same command tries "
            "again from there. Lower the learning rate, or add on_nonfinite=rollback.",
            file=sys.stderr,
        )
        raise typer.Exit(CRASHED)
    from trainwright.report.run_page import build_report

    page = build_report(outcome.run)
    if outcome.status == "stopped":
        print(
            f"trainwright: stopped at step {outcome.step} with a checkpoint. {outcome.message} "
            f"`trainwright doctor {folder}` says why; on_failure=continue goes on all the same.",
            file=sys.stderr,
        )
        print(f"report: {page}")
        raise typer.Exit(SICK)
    if outcome.status == "interrupted":
        print(f"stopped at step {outcome.step} with a checkpoint; run the same command to go on")
        print(f"report: {page}")
        raise typer.Exit(130)
    print(f"finished at step {outcome.step}")
    print(f"samples: {newest(folder / 'samples')}")
    print(f"report:  {page}")


def newest(folder: Path) -> Path:
    """The last file of a folder by name, or the folder if it is empty."""
    return max(folder.glob("*.png"), default=folder)
