"""The Python API: train, check, diagnose, treat, load, evaluate and compare. The command line is a thin layer over it.

Each function is also a name of the package: ``import trainwright as tw; tw.train(...)``.
"""

from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Any, Literal

from trainwright import catalog, results
from trainwright.catalog import Recipe
from trainwright.config.base import flatten
from trainwright.config.writing import diff
from trainwright.errors import UserError, nearest
from trainwright.objects import (
    WEIGHTS,
    Comparison,
    Config,
    Evaluation,
    Model,
    Run,
    Study,
    Weights,
)
from trainwright.progress import display, is_helper, progress_bar, stop_on_signal
from trainwright.results import Diagnosis
from trainwright.runs.folder import Run as RunFolder
from trainwright.runs.folder import open_run
from trainwright.runs.naming import run_folder

if TYPE_CHECKING:
    from trainwright.diagnosis.checks import Check
    from trainwright.engine.callbacks.base import Callback
    from trainwright.studies.study import Study as StudyFolder
    from trainwright.studies.treatment import Attempt
    from trainwright.study_runner import ExecutorKind

OnExists = Literal["resume", "new", "error"]
ON_EXISTS = ("resume", "new", "error")


def recipes(family: str | None = None, all: bool = False) -> list[Recipe]:
    """Return the recipes that come with the package, by name.

    Args:
        family: of this family only.
        all: also those that fail on purpose or repeat an experiment of a guide.

    Raises:
        UserError: there is no such family; with the nearest name.
    """
    if family is not None:
        catalog.family(family)
    known = catalog.recipes().values()
    return [r for r in known if family in (None, r.family) and (all or not r.hidden)]


def check(config: Config, *, progress: bool = True) -> "list[Check]":
    """Check a config on its data before training: ranges, sizes, thresholds, and up to 50 steps of a throw-away model.

    Returns:
        Checks, worst first, each with ``grade`` (``ok``, ``warn`` or ``stop``), ``message`` and ``fix``.

    Raises:
        UserError: the data cannot be opened.
    """
    from trainwright.engine.preflight import preflight_of

    family = catalog.family(config.family)
    return preflight_of(family, config.values, open_data(config, progress))


def train(
    config: Config,
    run_dir: str | Path | None = None,
    callbacks: "Sequence[Callback]" = (),
    on_exists: OnExists = "resume",
    *,
    progress: bool = True,
) -> Run:
    """Train a config. The same call resumes a run that was interrupted; Ctrl-C ends it after a step, with a checkpoint.

    Args:
        config: what to train.
        run_dir: the run folder; by default ``runs/`` with a name made of the recipe and what differs from it.
        callbacks: objects with hooks such as ``on_step_end``; see :class:`trainwright.Callback`.
        on_exists: what to do if the folder holds a run: ``resume``, ``new`` (a folder with a number after it), or ``error``.
        progress: False for silence; else a status line, and what the checks say of a new run.

    Returns:
        The run; its ``status`` is ``finished``, ``interrupted``, ``stopped`` (by the doctor) or ``crashed``.

    Raises:
        UserError: the folder is in use or holds a run of another architecture or data; bad data; a full disk.
    """
    from trainwright.engine.session import train as train_session

    folder = _run_dir(config, run_dir, on_exists)
    family, values = catalog.family(config.family), config.values
    progress = progress and not is_helper()
    if progress:
        print(f"{values.recipe}: {values.hypothesis}" if values.hypothesis else values.recipe, flush=True)
        print(f"run folder: {folder}  (starting up ...)", flush=True)
    with display(progress) as shown, stop_on_signal(shown.note) as stop, progress_bar("preparing", progress) as bar:
        if progress and values.beforehand():
            shown.note(values.beforehand())

        def report(checks: "list[Check]") -> None:
            for line in warnings(checks):
                shown.note(line)

        train_session(
            family,
            values,
            RunFolder(folder),
            shown,
            stop,
            bar,
            callbacks=tuple(callbacks),
            on_checks=report if progress else None,
        )
    return Run(folder)


def warnings(checks: "Sequence[Check]") -> list[str]:
    """Return a sentence for each check that did not pass."""
    words = {"stop": "this cannot work", "warn": "warning"}
    return [f"{words[c.grade]}: {c.message}. Try: {c.fix}" for c in checks if c.grade in words]


def diagnose(
    run_or_path: Run | str | Path,
    *,
    columns: Mapping[str, str] | None = None,
    steps: int | None = None,
    baseline: Run | str | Path | None = None,
) -> Diagnosis:
    """Diagnose a run, or a log of another program.

    Args:
        run_or_path: a run, its folder, a folder that :func:`trainwright.watch` wrote, a CSV, JSON or JSONL file, printed text, a
            TensorBoard folder, a W&B offline run, or what MLflow and trackio write.
        columns: your column to our signal, for a log whose columns are not recognised.
        steps: length that a foreign training was to have, if it is not over.
        baseline: a healthy run or log of the same program, with another seed or order of data: what differs by more than noise is
            reported, such as shuffled labels, which a single log does not show.

    Raises:
        UserError: nothing is there, or it cannot be read.
    """
    return results.diagnose(_path(run_or_path), columns, steps, None if baseline is None else _path(baseline))


def treat(
    config: Config,
    budget: str | float = "2h",
    attempts: int = 8,
    study_dir: str | Path | None = None,
    *,
    workers: int = 1,
    executor: "ExecutorKind" = "processes",
    address: str = "auto",
    progress: bool = True,
) -> Study:
    """Train a config; where the doctor finds a failure, try remedies one at a time until a run is healthy.

    The same call continues a study that was interrupted.

    Args:
        config: what to train.
        budget: training time of all runs together: ``90s``, ``30m``, ``2h``, or seconds. A remedy is tried only if the rest
            pays for a full run with it. The best run is finished in any case.
        attempts: remedies that are tried at most.
        study_dir: folder of the study; by default ``studies/`` with a name made of the recipe and what differs from it.
        workers: trainings at the same time.
        executor: ``processes`` of this machine, or a ``ray`` cluster.
        address: of the Ray cluster.
        progress: False for silence.

    Returns:
        The study: ``best_run``, ``headline``, ``recovered``, ``table``.

    Raises:
        UserError: the folder is in use or holds another study; bad data; an experiment that could not be run.
        KeyboardInterrupt: after Ctrl-C, once every training has a checkpoint.
    """
    from trainwright.studies.study import Study as StudyFolder
    from trainwright.studies.summary import of_treatment
    from trainwright.studies.treatment import Limits, Treatment
    from trainwright.study_runner import StudyOptions, run_study

    limits = Limits(attempts, seconds=seconds(budget))
    place = (
        Path(study_dir)
        if study_dir is not None
        else run_folder(Path("studies"), f"treat-{config.recipe}", _words(config), False)
    )
    family, study, means = (
        catalog.family(config.family),
        StudyFolder(place),
        StudyOptions(workers, executor, address, progress),
    )
    if not study.exists:
        for line in warnings(check(config, progress=progress)):
            means.say(line)
    breadth = int(study.read().get("breadth", workers)) if study.exists else workers  # it decides what is tried
    title = f"treatment of {config.recipe}"
    settings = flatten(config.values)
    study.open("treatment", {"title": title, "family": family.name, "settings": settings, "breadth": breadth})
    try:
        reported = _Decisions(study, means.say)
        treatment = Treatment(family, config.values, study.runs, limits, breadth=breadth, reported=reported)
        done = run_study(treatment, study, of_treatment, means)
    finally:
        study.close()
    if not done.over:
        raise KeyboardInterrupt(f"stopped; every training has a checkpoint. The same call continues ({place})")
    return Study(place)


def load(run_or_path: Run | str | Path, weights: Weights = "ema") -> Model:
    """Load a trained model from a run.

    Args:
        run_or_path: a run or its folder.
        weights: ``ema`` (the average of the weights, where the run keeps one), ``raw`` (the last weights) or ``best`` (the
            checkpoint with the best validation objective).

    Raises:
        UserError: no run there, no usable checkpoint, or none of that kind.
    """
    return Model(Run(run_or_path), weights)


def evaluate(run_or_path: Run | str | Path, n: int = 1000, weights: Weights = "ema", seed: int = 0) -> Evaluation:
    """Measure samples of a run: KID, precision, recall, density, coverage, distance to training images.

    Writes ``evaluation.json`` into the run's folder.

    Args:
        run_or_path: a run or its folder.
        n: samples to judge.
        weights: as in :func:`load`.
        seed: of the samples and of KID's subsets.

    Raises:
        UserError: no checkpoint, no feature network, other data than in training, or too few images.
    """
    from trainwright.report.evaluation import evaluate_run

    if weights not in WEIGHTS:
        raise UserError(f"weights={weights!r}: expected one of {', '.join(WEIGHTS)}.{nearest(str(weights), WEIGHTS)}")
    run = open_run(_path(run_or_path))
    family = catalog.family(run.read()["family"], str(run.folder))
    found: Any = evaluate_run(family, run, n, seed, averaged=weights != "raw", best=weights == "best")
    return Evaluation(found)


def compare(runs: Sequence[Run | str | Path]) -> Comparison:
    """Compare runs: what happened in each, what differs, and the effect on quality with an interval over seeds.

    Raises:
        UserError: fewer than two runs, or runs of different families.
    """
    from trainwright.report.compare import compare as compare_runs

    if len(runs) < 2:
        raise UserError("compare needs two or more runs.")
    opened = [open_run(_path(run)) for run in runs]
    return Comparison(experiment_table(runs), compare_runs(opened))


def experiment_table(runs: Sequence[Run | str | Path]) -> list[dict[str, str]]:
    """Return one row of named cells for each run, read off its signals; the families may differ."""
    from trainwright.report.run_table import rows_of

    return rows_of([open_run(_path(run)) for run in runs])


def seconds(budget: str | float) -> float:
    """Return a time such as ``90s``, ``30m`` or ``1.5h`` in seconds; a number is seconds already.

    Raises:
        UserError: it is no such time.
    """
    units = {"s": 1.0, "m": 60.0, "h": 3600.0, "d": 86400.0}
    try:
        value = float(budget[:-1]) * units[budget[-1:]] if isinstance(budget, str) else float(budget)
        if not 0 < value < float("inf"):
            raise ValueError
        return value
    except (ValueError, KeyError):
        raise UserError(f"budget {budget!r}: expected a time such as 90s, 30m or 2h.") from None


class _Decisions:
    """Write each decision of a treatment once, and say it."""

    def __init__(self, study: "StudyFolder", say: Any) -> None:
        self._study, self._say = study, say
        self._known = {e["experiment"] for e in study.events() if e["event"] == "decision"}

    def __call__(self, attempt: "Attempt") -> None:
        name = attempt.job.name
        if name in self._known:
            return
        self._known.add(name)
        remedy = attempt.remedy.name if attempt.remedy else None
        self._study.write("decision", experiment=name, kept=attempt.kept, because=attempt.because, remedy=remedy)
        if attempt.because:
            self._say(f"  {'kept' if attempt.kept else 'reverted'} {name}: {attempt.because}")


def open_data(config: Config, progress: bool = True) -> Any:
    """Open the data set that a config names, preparing it if that was not done before."""
    family = catalog.family(config.family)
    with progress_bar("preparing", progress) as bar:
        return family.load(config.values).open_data(config.values, bar)


def _path(run_or_path: Run | str | Path) -> Path:
    return run_or_path.path if isinstance(run_or_path, Run) else Path(run_or_path)


def _run_dir(config: Config, run_dir: str | Path | None, on_exists: OnExists) -> Path:
    if on_exists not in ON_EXISTS:
        raise UserError(
            f"on_exists={on_exists!r}: expected one of {', '.join(ON_EXISTS)}.{nearest(str(on_exists), ON_EXISTS)}"
        )
    new = on_exists == "new"
    if run_dir is None:
        folder = run_folder(Path("runs"), config.recipe, _words(config), new)
    else:
        given = Path(run_dir).expanduser()
        folder = run_folder(given.parent, given.name, (), new) if new else given
    if on_exists == "error" and RunFolder(folder).exists:
        raise UserError(f"{folder} holds a run already; choose another run_dir, or on_exists='resume'.")
    return folder


def _words(config: Config) -> list[str]:
    """Return the differences from the recipe as on a command line; they name the folder."""
    try:
        base = catalog.load(config.recipe)[1]
    except UserError:  # a file of one's own: its whole config counts
        base = type(config.values)()
    return [f"{c.path}={c.new}" for c in diff(base, config.values) if c.path not in ("family", "recipe", "hypothesis")]
