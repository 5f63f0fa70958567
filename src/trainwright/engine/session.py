"""One call of training around the trainer: device, run folder, lock, data, model, resume, and how a run ends."""

import errno
import os
import shutil
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

from trainwright.config.reading import Settings, add_mapping, read_yaml, validate
from trainwright.config.writing import Change, diff, to_yaml
from trainwright.diagnosis.checks import Check
from trainwright.engine.callbacks.base import Callback
from trainwright.engine.callbacks.controller import ControllerCallback
from trainwright.engine.callbacks.diagnosis import DiagnosisCallback
from trainwright.engine.callbacks.measurements import (
    CheckpointCallback,
    LoggingCallback,
    SamplesCallback,
    ValidationCallback,
)
from trainwright.engine.callbacks.phases import PhasesCallback
from trainwright.engine.callbacks.plateau import PlateauCallback
from trainwright.engine.config import RunConfig
from trainwright.engine.controllers import make
from trainwright.engine.display import Display
from trainwright.engine.distributed import make_fabric
from trainwright.engine.family import Family
from trainwright.engine.model import Data, GenerativeModel, Progress, build
from trainwright.engine.phases import PhaseSchedule
from trainwright.engine.preflight import copied, preflight
from trainwright.engine.trainer import Trainer
from trainwright.errors import NonFinite, UserError
from trainwright.files import write_text
from trainwright.runs.folder import Run

if TYPE_CHECKING:
    from lightning_fabric import Fabric


@dataclass(frozen=True)
class Outcome:
    """Result of a call of :func:`train`.

    Attributes:
        status: ``finished``, ``interrupted``, ``paused``, ``stopped`` (by the doctor or another callback) or ``crashed``.
        run: the run folder.
        step: steps completed.
        message: the reason of a stop or crash.
    """

    status: str
    run: Run
    step: int
    message: str = ""


def train(
    family: Family,
    config: RunConfig,
    run: Run,
    display: Display,
    stop: Callable[[], bool] = lambda: False,
    progress: Progress | None = None,
    until: int | None = None,
    callbacks: Sequence[Callback] = (),
    on_checks: Callable[[list[Check]], None] | None = None,
) -> Outcome:
    """Train ``config`` in ``run``, from its newest checkpoint if it has one.

    Args:
        family: of the config.
        config: validated; on a resumed run changed hot settings take effect, and other changes are an error that lists them.
        run: the folder; created if it does not exist.
        display: shows the status line.
        stop: called after every step; True ends the run with a checkpoint.
        progress: called with (done, total) while data are prepared.
        until: pause with a checkpoint after this step, unless the run ends before.
        callbacks: your own, called after the built-in measurements and before the row is written.
        on_checks: called with the preflight checks of a new run before its first step; they reuse the run's data and model.

    Raises:
        UserError: the folder is in use or holds a run with other architecture or data; bad data; a full disk.
    """
    shown = _until(stop, progress)
    early = _open_before_launch(family, config, run, shown)
    fabric = make_fabric(config.train)
    main = fabric.is_global_zero
    folder = fabric.broadcast(run.folder, src=0)
    run = run if main else Run(folder)  # the main process keeps the caller's object, which may hold the lock
    try:
        if main:
            run.acquire()
        return _train(family, config, run, fabric, display, stop, shown, until, callbacks, on_checks, early)
    except OSError as error:
        raise _disk_error(error, run) from error
    finally:
        if main:
            run.release()


def _open_before_launch(family: Family, config: RunConfig, run: Run, progress: Progress) -> Data | None:
    """Open the data on the main process before it starts others: what data need may be a training of its own.

    A latent diffusion run trains its autoencoder first, which must not meet the process group of this run. The other processes find
    the result in the cache.
    """
    if config.train.devices == 1 or int(os.environ.get("LOCAL_RANK", "0")) > 0:
        return None
    if run.exists:
        _compare(family, config, run)
    try:
        return family.load(config).open_data(config, progress)
    except OSError as error:
        raise _disk_error(error, run) from error


def _train(
    family: Family,
    config: RunConfig,
    run: Run,
    fabric: "Fabric",
    display: Display,
    stop: Callable[[], bool],
    progress: Progress,
    until: int | None,
    callbacks: Sequence[Callback],
    on_checks: Callable[[list[Check]], None] | None,
    early: Data | None,
) -> Outcome:
    main, fresh = fabric.is_global_zero, not run.exists
    changes = [] if fresh else _compare(family, config, run)
    with fabric.rank_zero_first():
        data = early if early is not None else family.load(config).open_data(config, progress)
    if main:
        _prepare(family, config, run, data, changes, display)
    fabric.barrier()
    schedule = PhaseSchedule(config) if config.phases else None
    model = build(family, schedule.config() if schedule else config, fabric)
    model.adapt_to_data(data)
    if main and fresh and on_checks is not None:
        on_checks(preflight(copied(model), data, family.checks))
    monitor = DiagnosisCallback()
    ordered = _in_order(model, schedule, monitor, display, callbacks)
    trainer = Trainer(
        model, data, run, fabric, ordered, display, stop=stop, until=until, schedule=schedule,
        build=lambda settings: build(family, settings, fabric),
    )  # fmt: skip
    resumed = trainer.resume()
    if main:
        counts, facts = parameter_counts(trainer.model), monitor.facts(trainer.view)
        run.update(status="running", steps=trainer.total_steps, parameters=counts, facts=facts)
        if changes:
            run.event("settings_changed", trainer.state.step, changes=[_as_dict(c) for c in changes])
            display.note("changed: " + "; ".join(map(str, changes)))
        if resumed:
            run.event("resumed", trainer.state.step)
            display.note(f"resumed {run.folder} at step {trainer.state.step}")
        else:
            run.event("started", 0)
    return _end(trainer, run, main)


def _in_order(
    model: GenerativeModel,
    schedule: PhaseSchedule | None,
    monitor: DiagnosisCallback,
    display: Display,
    own: Sequence[Callback],
) -> list[Callback]:
    """Return the callbacks in calling order: measurements, the user's own, the row, then those that act on the row."""
    config = model.config
    controller = make(config.controller, dict(model.roles), tuple(model.groups), config.train.seed)
    plateau, logging = PlateauCallback(ends_run=schedule is None), LoggingCallback(display)
    phases = [PhasesCallback(schedule, plateau)] if schedule is not None else []
    return [
        ControllerCallback(controller),
        plateau,
        ValidationCallback(),
        monitor,
        SamplesCallback(logging),
        *own,
        logging,
        *phases,
        CheckpointCallback(),
    ]


def _until(stop: Callable[[], bool], progress: Progress | None) -> Progress:
    """Return ``progress`` with an interruption once ``stop`` is True, because preparing data may take long."""

    def shown(done: int, total: int) -> None:
        if progress is not None:
            progress(done, total)
        if stop():
            raise KeyboardInterrupt

    return shown


def _end(trainer: Trainer, run: Run, main: bool) -> Outcome:
    try:
        status = trainer.fit()
        message = trainer.stopped or "" if status == "stopped" else ""
    except NonFinite as error:
        status, message = "crashed", str(error)
    except BaseException:
        if main:
            _best_effort(lambda: run.update(status="interrupted"))
        raise
    step, clock = trainer.state.step, trainer.clock
    if main:
        share = (
            {"monitor_share": round(clock.monitor_share(), 5)} if clock.whole else {}
        )  # a run that had finished before keeps its value
        run.update(status=status, **share, **_verdict(trainer, run, status, message))
        run.event(status, step, **({"message": message} if message else {}))
    return Outcome(status, run, step, message)


def _verdict(trainer: Trainer, run: Run, status: str, message: str) -> dict[str, str]:
    """Return the verdict for ``run.json``; without a diagnosis in this call the old one stays, unless it was a crash."""
    latest = trainer.diagnosis
    if status == "crashed":
        return {"verdict": "crashed", "verdict_reason": message}
    if latest is not None:
        return {"verdict": latest.verdict, "verdict_reason": latest.reason}
    return {"verdict": "unknown", "verdict_reason": "not judged yet"} if run.read()["verdict"] == "crashed" else {}


def parameter_counts(model: GenerativeModel) -> dict[str, int]:
    """Return the number of parameters of each network."""
    return {name: sum(p.numel() for p in network.parameters()) for name, network in model.networks.items()}


def read_config(family: Family, run: Run) -> RunConfig:
    """Return the config that a run was last trained with."""
    settings = Settings()
    add_mapping(settings, family.config, read_yaml(run.config), str(run.config))
    return validate(settings, family.config)


def _compare(family: Family, config: RunConfig, run: Run) -> list[Change]:
    facts = run.read()
    if facts["family"] != family.name:
        raise UserError(f"{run.folder} holds a run of family {facts['family']}; choose another folder with --run.")
    changes = diff(read_config(family, run), config)
    cold = [str(change) for change in changes if not change.hot]
    if cold:
        raise UserError(
            f"{run.folder} was started with other settings, and these need a new run: {'; '.join(cold)}. "
            "Restore the old values, or start a new run with --run or --new."
        )
    return changes


def _prepare(family: Family, config: RunConfig, run: Run, data: Data, changes: list[Change], display: Display) -> None:
    for leftover in [
        *run.folder.glob(".*.tmp"),
        *run.checkpoints.glob(".*.tmp"),
        *run.samples.glob(".*.tmp"),
        *run.best.glob(".*.tmp"),
        *run.folder.glob("phases/*/.*.tmp"),
    ]:
        shutil.rmtree(leftover, ignore_errors=True) if leftover.is_dir() else leftover.unlink(missing_ok=True)
    facts = {"identity": data.identity, "training": len(data), "skipped": len(data.skipped)}
    if not run.exists:
        run.create(
            to_yaml(config),
            {
                "family": family.name,
                "recipe": config.recipe,
                "hypothesis": config.hypothesis,
                "data": facts,
            },
        )
        if data.skipped:
            run.event("files_skipped", 0, files=[{"name": n, "reason": r} for n, r in data.skipped])
    elif run.read()["data"]["identity"] != data.identity:
        raise UserError(f"{run.folder} was started with other data. Start a new run with --run or --new.")
    elif changes:
        write_text(run.config, to_yaml(config))
    for name, reason in data.skipped[:5]:
        display.note(f"skipped: {name} {reason}")
    if len(data.skipped) > 5:
        display.note(f"skipped: {len(data.skipped) - 5} more; events.jsonl lists all")


def _as_dict(change: Change) -> dict[str, Any]:
    return {"setting": change.path, "old": change.old, "new": change.new}


def _disk_error(error: OSError, run: Run) -> UserError:
    reason = (error.strerror or str(error)).lower()
    _best_effort(lambda: run.update(status="interrupted"))
    advice = "Free some space" if error.errno in (errno.ENOSPC, errno.EDQUOT, errno.EFBIG) else "Fix that"
    what = f" ({error.filename})" if error.filename else ""
    return UserError(
        f"writing to {run.folder} failed: {reason}{what}. {advice} and run the same command: it resumes from the last checkpoint."
    )


def _best_effort(action: Callable[[], None]) -> None:
    try:
        action()
    except (OSError, UserError):
        return
