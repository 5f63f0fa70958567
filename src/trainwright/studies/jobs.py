"""Jobs of an executor: train a run to its end, from scratch or from another run's checkpoint.

A job can be repeated at any time. A run that has ended is only read, and an interrupted one resumes from its checkpoint.
"""

import contextlib
import hashlib
import json
import shutil
import time
import traceback
from collections.abc import Callable, Mapping, Sequence
from dataclasses import asdict, dataclass, field
from pathlib import Path
from typing import Any

from trainwright import catalog as registry
from trainwright.config.reading import Settings, validate
from trainwright.config.writing import to_yaml
from trainwright.diagnosis.doctor import examine
from trainwright.diagnosis.input import open_input
from trainwright.engine.config import RunConfig
from trainwright.engine.display import Display, Silent
from trainwright.engine.family import Family
from trainwright.errors import UserError
from trainwright.runs.folder import Run
from trainwright.studies.quality import quality

LOCK_SECONDS = 60.0


@dataclass(frozen=True)
class Job:
    """One run to train.

    Attributes:
        name: unique in its study; also the folder's name.
        folder: the run folder.
        family: name of the family.
        settings: the whole config, nested, as plain values.
        parent: folder of the run that it is compared with or forked from.
        fork: name of the parent's checkpoint to start from; None: start from scratch.
        change: settings that differ from the parent.
        hypothesis: the expected result in a sentence.
        expectation: the condition by which the hypothesis is judged.
        until: step at which to pause; None: train to the end.
        needed: True if the study cannot continue without it, so that it is always tried again.
    """

    name: str
    folder: str
    family: str
    settings: Mapping[str, Any]
    parent: str | None = None
    fork: str | None = None
    change: Mapping[str, Any] = field(default_factory=dict)
    hypothesis: str = ""
    expectation: str = ""
    until: int | None = None
    needed: bool = False

    @property
    def fingerprint(self) -> str:
        """Hash of the training: settings, starting point and pause."""
        parent = Path(self.parent).name if self.parent else None
        whole = json.dumps([self.family, self.settings, parent, self.fork, self.until], sort_keys=True, default=str)
        return hashlib.sha256(whole.encode()).hexdigest()[:16]


@dataclass(frozen=True)
class Result:
    """Result of a job.

    Attributes:
        status: ``finished``, ``paused``, ``stopped`` (by the doctor), ``crashed``, ``interrupted``, or ``failed`` (could not run).
        verdict: the doctor's verdict; ``reason``: the reason in a line.
        step: steps of the run; ``trained``: without those before a fork.
        symptoms: alarms, most severe first; ``causes``: the likeliest causes of the first; ``onset``: its step.
        score: quality between 0 and 1, with its ``parts``; None if nothing was measured.
        levels: median of the last three readings of every signal.
        seconds: training time of all calls that ended or saved a checkpoint; ``speed``: samples per second.
    """

    status: str
    verdict: str = "unknown"
    reason: str = ""
    step: int = 0
    trained: int = 0
    symptoms: tuple[str, ...] = ()
    causes: tuple[str, ...] = ()
    onset: float | None = None
    score: float | None = None
    parts: Mapping[str, float] = field(default_factory=dict)
    levels: Mapping[str, float] = field(default_factory=dict)
    seconds: float = 0.0
    speed: float | None = None

    def as_dict(self) -> dict[str, Any]:
        """Return plain values for JSON."""
        return asdict(self)

    @classmethod
    def of(cls, values: Mapping[str, Any]) -> "Result":
        """Return the result that :meth:`as_dict` stored."""
        return cls(**{**values, "symptoms": tuple(values["symptoms"]), "causes": tuple(values["causes"])})


def config_of(family: Family, settings: Mapping[str, Any]) -> RunConfig:
    """Return a validated config from nested plain values."""
    found = Settings()
    found.values = dict(settings)
    return validate(found, family.config)


def changed(family: Family, config: RunConfig, values: Mapping[str, Any], where: str) -> RunConfig:
    """Return the config with some settings (dotted path to value) replaced.

    Raises:
        UserError: a value is invalid; ``where`` is its place in the message.
    """
    found = Settings(where)
    found.values = config.model_dump(mode="json")
    for path, value in values.items():
        found.put(tuple(path.split(".")), value, where)
    made = validate(found, family.config)
    if family.config.prescribing.isdisjoint(values):
        return made
    return made.resolved(frozenset(tuple(path.split(".")) for path in values))


def work(job: Job, stop: Callable[[], bool] = lambda: False, display: Display | None = None) -> Result:
    """Train a job to its end and return its result.

    Args:
        job: the run to train.
        stop: called after every step; True ends the run with a checkpoint, ``interrupted``.
        display: shows the status line.
    """

    run, begin = Run(Path(job.folder)), time.monotonic()
    try:
        family = registry.family(job.family)
        config = config_of(family, job.settings)
        run.acquire(LOCK_SECONDS)  # a worker whose driver was killed may still be writing its checkpoint
        try:
            return _train(job, family, config, run, stop, display or Silent(), begin)
        finally:
            run.release()
    except UserError as error:
        return Result("failed", reason=str(error), seconds=time.monotonic() - begin)
    except KeyboardInterrupt:
        if not stop():
            raise
        return Result("interrupted", seconds=time.monotonic() - begin)  # while the data were prepared
    except Exception as error:  # such as too little memory; other jobs continue
        place = run.folder.with_suffix(".failure.txt")
        with contextlib.suppress(OSError):
            place.parent.mkdir(parents=True, exist_ok=True)
            place.write_text(traceback.format_exc(), encoding="utf-8")
        first = (str(error).strip().splitlines() or [""])[0]
        return Result("failed", reason=f"{type(error).__name__}: {first} ({place})", seconds=time.monotonic() - begin)


def _train(
    job: Job, family: Family, config: RunConfig, run: Run, stop: Callable[[], bool], display: Display, begin: float
) -> Result:
    from trainwright.engine.session import train

    if stop():  # the driver ended while this worker waited for the folder
        return Result("interrupted", seconds=time.monotonic() - begin)
    before = float(run.read().get("seconds", 0.0)) if run.exists else 0.0
    if run.exists and _is_over(run, config, job.until):
        _record(job, run, before)
        return read(family, run)
    if job.fork is not None and not run.exists:
        fork(run, Run(Path(str(job.parent))), job.fork, config)
    outcome = train(family, config, run, display, stop, until=job.until)
    _record(job, run, before + time.monotonic() - begin)
    return read(family, run, outcome.message)


def _is_over(run: Run, config: RunConfig, until: int | None) -> bool:
    """Return whether the run has ended or is at its pause; a finished run continues if its length has grown."""
    facts = run.read()
    step, length = int(facts.get("step", 0)), config.train.steps
    if facts["status"] == "finished":
        return length is None or step >= length
    if facts["status"] == "paused":
        return until is not None and step >= until
    return facts["status"] in ("stopped", "crashed") and step > 0


def _record(job: Job, run: Run, seconds: float) -> None:
    parent = Path(job.parent).name if job.parent else None
    run.update(
        parent=parent,
        seconds=round(seconds, 2),
        change=dict(job.change),
        hypothesis=job.hypothesis,
        expectation=job.expectation,
    )


def fork(child: Run, parent: Run, checkpoint: str, config: RunConfig) -> None:
    """Create a run folder that continues from a parent's checkpoint; its curves start there."""
    facts = parent.read()
    child.clear()
    shutil.copytree(parent.checkpoints / checkpoint, child.checkpoints / checkpoint)
    identity = {
        "family": facts["family"],
        "recipe": config.recipe,
        "hypothesis": config.hypothesis,
        "data": facts["data"],
        "forked_at": int(checkpoint.rpartition("_")[2]),
    }
    child.create(to_yaml(config), identity)


def read(family: Family, run: Run, message: str = "") -> Result:
    """Return the result of a run from its folder."""
    facts = run.read()
    history = open_input(run.folder, {}).history
    found = examine(history)
    verdict, reason = facts["verdict"], facts["verdict_reason"]
    if facts["status"] != "crashed":
        verdict, reason = found.verdict, found.reason
    first = found.alarms[0] if found.alarms else None
    level, rows = quality(family, history), run.rows()
    step = int(facts.get("step", 0))
    return Result(
        status=facts["status"],
        verdict=verdict,
        reason=message or reason,
        step=step,
        trained=step - int(facts.get("forked_at", 0)),
        symptoms=tuple(d.symptom.name for d in found.alarms),
        causes=tuple(r.cause.name for r in first.causes[:3]) if first else (),
        onset=float(first.observation.onset) if first else None,
        score=None if level.score != level.score else round(level.score, 6),
        parts={k: round(v, 6) for k, v in level.parts.items()},
        levels=_levels(rows),
        seconds=float(facts.get("seconds", 0.0)),
        speed=_speed(rows),
    )


def _levels(rows: Sequence[Mapping[str, Any]]) -> dict[str, float]:
    """Return the median of the last three readings of every signal."""
    last: dict[str, list[float]] = {}
    for row in reversed(rows):
        for name, value in row.items():
            if isinstance(value, int | float) and name not in ("step", "epoch") and len(last.get(name, ())) < 3:
                last.setdefault(name, []).append(float(value))
    return {name: sorted(values)[len(values) // 2] for name, values in sorted(last.items())}


def _speed(rows: Sequence[Mapping[str, Any]]) -> float | None:
    found = sorted(r["speed/samples_per_second"] for r in rows if "speed/samples_per_second" in r)
    return round(found[len(found) // 2], 1) if found else None
