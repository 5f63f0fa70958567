"""Options of the verbs that run several trainings, and how such a verb ends."""

from pathlib import Path
from typing import Annotated, Any

import typer

from trainwright.study_runner import ExecutorKind, StudyOutcome

Workers = Annotated[int, typer.Option(min=1, help="Trainings at the same time; they share the CPU cores.")]
Kind = Annotated[ExecutorKind, typer.Option("--executor", help="Processes of this machine, or a Ray cluster.")]
Address = Annotated[str, typer.Option(help="With --executor ray: the cluster's address.")]
Root = Annotated[Path, typer.Option(help="Folder in which studies are named.")]
Folder = Annotated[Path | None, typer.Option("--study", help="Folder of the study; by default named after the input.")]


def ended(done: StudyOutcome, folder: Path) -> dict[str, Any]:
    """Return the table of a study that is over.

    Raises:
        KeyboardInterrupt: it was stopped; the same command continues.
    """
    if not done.over:
        print(f"notebook: {done.page}")
        raise KeyboardInterrupt(f"stopped; every training has a checkpoint. The same command continues ({folder})")
    return done.table
