"""Everything around the loop: device, run folder, lock, resume or refuse, data, system, and how a run ends."""

import errno
import shutil
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

import torch

from trainwright.config.reading import Settings, add_mapping, read_yaml, validate
from trainwright.config.writing import Change, diff, to_yaml
from trainwright.engine.config import RunConfig
from trainwright.engine.display import Display
from trainwright.engine.distributed import same_everywhere
from trainwright.engine.fabric import make_fabric
from trainwright.engine.family import Family
from trainwright.engine.model import Data, GenerativeModel, Progress
from trainwright.engine.phases import PhaseSchedule
from trainwright.engine.trackers import KINDS, FailSafeTracker
from trainwright.engine.trainer import Loop
from trainwright.errors import NonFinite, UserError
from trainwright.files import write_text
from trainwright.randomness import derive
from trainwright.runs.folder import Run

if TYPE_CHECKING:
    from lightning_fabric import Fabric


@dataclass(frozen=True)
class Outcome:
    """How a call of :func:`train` ended (``finished``, ``interrupted``, ``paused``, ``stopped`` by the doctor, ``crashed``), where."""

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
    callbacks: Sequence[Any] = (),
    on_checks: Callable[[list[Any]], None] | None = None,
) -> Outcome:
    """Trains ``config`` in ``run``, from its newest checkpoint if it has one.

    Args:
        family: of the config.
        config: validated; on a resumed run its hot settings take effect and others are refused with a diff.
        run: the folder; made if it does not exist.
        display: where the status line goes.
        stop: asked after every step; True ends the run with a checkpoint.
        progress: called with (done, total) while images are decoded.
        until: pause with a checkpoint after that step of the run, if it is not over by then.
        callbacks: of the user.
        on_checks: called with the checks of a new run before its first step.

    Raises:
        UserError: the folder is in use or holds a run of another architecture or data; bad data; a full disk.
    """
    fabric = make_fabric(config.train)
    main = fabric.is_global_zero
    folder = fabric.broadcast(run.folder, src=0)
    run = run if main else Run(folder)  # on the first process the one whose folder the caller may hold already
    try:
        if main:
            run.acquire()
        return _train(family, config, run, fabric, display, stop, progress, until, on_checks)
    except OSError as error:
        raise _disk_error(error, run) from error
    finally:
        if main:
            run.release()


def _train(
    family: Family,
    config: RunConfig,
    run: Run,
    fabric: "Fabric",
    display: Display,
    stop: Callable[[], bool],
    progress: Progress | None,
    until: int | None,
    on_checks: Callable[[list[Any]], None] | None,
) -> Outcome:
    main = fabric.is_global_zero
    changes = _compare(family, config, run) if run.exists else []
    with fabric.rank_zero_first():
        data = family.load(config).open_data(config, _until(stop, progress if main else None))
    if main and on_checks is not None and not run.exists:
        from trainwright.engine.preflight import preflight

        on_checks(preflight(family, config, data))
    if main:
        _prepare(family, config, run, data, changes, display)
    fabric.barrier()
    schedule = PhaseSchedule(config) if config.phases else None
    model = build(family, schedule.config() if schedule else config, fabric)
    model.adapt_to_data(data)
    loop = Loop(
        model, data, run, fabric, display, stop, until, schedule, lambda settings: build(family, settings, fabric)
    )
    resumed = loop.resume()
    if main:
        make = KINDS[config.train.tracker]
        loop.tracker = FailSafeTracker(
            make(run.folder, run.name, loop.at.step, config.model_dump(mode="json")), display.note
        )
        counts = parameter_counts(model)
        run.update(status="running", steps=loop.total_steps, parameters=counts, facts=loop.watcher.facts)
        if changes:
            run.event("settings_changed", loop.at.step, changes=[_as_dict(c) for c in changes])
            display.note("changed: " + "; ".join(map(str, changes)))
        if resumed:
            run.event("resumed", loop.at.step)
            display.note(f"resumed {run.folder} at step {loop.at.step}")
        else:
            run.event("started", 0)
    return _end(loop, run, main)


def _until(stop: Callable[[], bool], progress: Progress | None) -> Progress:
    """The same progress, interrupted when a stop is asked for: preparing may take as long as a training."""

    def shown(done: int, total: int) -> None:
        if progress is not None:
            progress(done, total)
        if stop():
            raise KeyboardInterrupt

    return shown


def _end(loop: Loop, run: Run, main: bool) -> Outcome:
    try:
        status = loop.run()
        message = loop.sick or "" if status == "stopped" else ""
    except NonFinite as error:
        status, message = "crashed", str(error)
    except BaseException:
        if main:
            _best_effort(lambda: run.update(status="interrupted"))
        raise
    if main:
        share = (
            {"watch_share": round(loop.clock.watch_share(), 5)} if loop.clock.whole else {}
        )  # a finished run keeps its own
        run.update(status=status, **share, **_verdict(loop, run, status, message))
        run.event(status, loop.at.step, **({"message": message} if message else {}))
    return Outcome(status, run, loop.at.step, message)


def _verdict(loop: Loop, run: Run, status: str, message: str) -> dict[str, str]:
    """What ``run.json`` is to say; a run that was not looked at this time keeps its verdict, unless that was a crash."""
    latest = loop.watcher.latest
    if status == "crashed":
        return {"verdict": "crashed", "verdict_reason": message}
    if latest is not None:
        return {"verdict": latest.verdict, "verdict_reason": latest.reason}
    return {"verdict": "unknown", "verdict_reason": "not judged yet"} if run.read()["verdict"] == "crashed" else {}


def build(family: Family, config: RunConfig, fabric: "Fabric | None" = None) -> GenerativeModel:
    """The system of a config, its first weights derived from the seed, on Fabric's device if one is given."""
    torch.manual_seed(derive("weights", config.train.seed))
    model = family.load(config)(config)
    if fabric is not None:
        for network in model.networks.values():
            fabric.to_device(network)
        same_everywhere(fabric, list(model.networks.values()))
    return model


def parameter_counts(model: GenerativeModel) -> dict[str, int]:
    """Trainable numbers of each network."""
    return {name: sum(p.numel() for p in network.parameters()) for name, network in model.networks.items()}


def read_config(family: Family, run: Run) -> RunConfig:
    """The config that a run was last trained with."""
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
            f"{run.folder} was begun with other settings that need a restart ({'; '.join(cold)}). "
            "Give the old values back, or start a new run with --run or --new."
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
        raise UserError(f"the data of {run.folder} is not what it was begun with. Start a new run with --run or --new.")
    elif changes:
        write_text(run.config, to_yaml(config))
    for name, reason in data.skipped[:5]:
        display.note(f"left out: {name} {reason}")
    if len(data.skipped) > 5:
        display.note(f"left out: {len(data.skipped) - 5} more; events.jsonl lists all")


def _as_dict(change: Change) -> dict[str, Any]:
    return {"setting": change.path, "old": change.old, "new": change.new}


def _disk_error(error: OSError, run: Run) -> UserError:
    reason = (error.strerror or str(error)).lower()
    _best_effort(lambda: run.update(status="interrupted"))
    advice = "Free some space" if error.errno in (errno.ENOSPC, errno.EDQUOT, errno.EFBIG) else "Mend that"
    what = f" ({error.filename})" if error.filename else ""
    return UserError(
        f"writing to {run.folder} failed: {reason}{what}. {advice} and run the same command: it goes on from the last checkpoint."
    )


def _best_effort(action: Callable[[], None]) -> None:
    try:
        action()
    except (OSError, UserError):
        return
