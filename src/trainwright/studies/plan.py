"""Plan files: a list of experiments as strict YAML, checked completely before the first step.

An experiment has a parent, one change from it and a hypothesis. ``expect`` is the condition by which that is judged, and ``when`` the
condition under which the experiment is run. See docs/how-to/run-a-plan.md.
"""

import json
from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from importlib.resources import files
from pathlib import Path
from typing import Annotated, Any, Literal

from pydantic import Field, JsonValue, ValidationError
from ruamel.yaml.comments import CommentedMap, CommentedSeq

from trainwright import catalog as registry
from trainwright.config.base import Config, flatten, setting
from trainwright.config.names import resolve
from trainwright.config.reading import C, plain, read_yaml
from trainwright.config.writing import diff
from trainwright.engine.config import RunConfig
from trainwright.engine.family import Family
from trainwright.engine.phases import WHOLE_RUN
from trainwright.errors import UserError, nearest
from trainwright.playbooks.remedy import concrete
from trainwright.studies.conditions import Condition, parse
from trainwright.studies.jobs import changed

NAME = r"^[a-z][a-z0-9_]*$"


class Budget(Config):
    """Limits after which no experiment starts; running experiments finish."""

    runs: int | None = setting(None, "Number of runs; each seed counts.", ge=1)
    steps: int | None = setting(None, "Training steps of all runs together.", ge=1)
    hours: float | None = setting(None, "Hours of training of all runs together.", gt=0)


class Entry(Config):
    """An experiment as its line in the file states it."""

    name: str = setting(..., "Unique in the plan.", pattern=NAME)
    hypothesis: str = setting(..., "Expected result, in a sentence.", min_length=10)
    parent: str | None = Field(None, alias="from", description="The experiment that it differs from.")
    change: dict[str, JsonValue] = setting({}, "The one change under test: setting to value, as in a playbook.")
    together: dict[str, JsonValue] = Field(
        {},
        alias="with",
        description="Settings that must follow the change, such as a learning rate, and are not under test.",
    )
    several_changes: bool = setting(False, "Allow more than one setting under `change`.")
    begin: Literal["start", "healthy", "end"] = setting(
        "start", "Start from scratch, or fork from the parent's last healthy checkpoint or its last one (`end`)."
    )
    steps: int | None = setting(None, "Length in steps; after a fork, number of further steps.", ge=1)
    when: str | None = setting(None, "Condition on earlier experiments; unless it holds, this one is skipped.")
    expect: str | None = setting(None, "The hypothesis as a condition, judged for each seed.")


class PlanFile(Config):
    """A plan as its file states it."""

    title: str = setting(..., "Title in one line.")
    about: str = setting("", "Purpose of the plan.")
    recipe: str = setting(..., "Recipe from which every experiment starts.")
    settings: dict[str, JsonValue] = setting({}, "Settings of every experiment.")
    seeds: Annotated[tuple[int, ...], Field(strict=False, min_length=1)] = (0,)
    show: Annotated[tuple[str, ...], Field(strict=False)] = ()
    stop_when: str | None = setting(None, "Condition after which no experiment starts.")
    budget: Budget = Budget()
    experiments: Annotated[tuple[dict[str, JsonValue], ...], Field(strict=False, min_length=1)]


@dataclass(frozen=True)
class Experiment:
    """An experiment that has passed every check."""

    entry: Entry
    config: RunConfig
    change: Mapping[str, Any]
    when: Condition | None
    expect: Condition | None
    needs: tuple[str, ...]

    @property
    def name(self) -> str:
        """Name, unique in the plan."""
        return self.entry.name


@dataclass(frozen=True)
class Plan:
    """A plan that has passed every check; each experiment stands after those that it needs."""

    file: Path
    head: PlanFile
    family: Family
    experiments: tuple[Experiment, ...]
    stop_when: Condition | None

    def text(self) -> str:
        """Return the file's text, which is part of the study's identity."""
        return self.file.read_text(encoding="utf-8")


def shipped() -> dict[str, Path]:
    """Return the plans that come with the package, by name."""
    found = {}
    for name, family in sorted(registry.families().items()):
        folder = Path(str(files(family.home) / "plans"))
        found.update({f"{name}/{file.stem}": file for file in sorted(folder.glob("*.yaml"))})
    return found


def locate(title: str) -> Path:
    """Return the file of a plan, given the name of a shipped one or a path that ends in .yaml.

    Raises:
        UserError: there is no such plan.
    """
    known = shipped()
    if title in known:
        return known[title]
    if title.endswith((".yaml", ".yml")):
        return Path(title).expanduser()
    raise UserError(
        f"no plan {title!r}.{nearest(title, known)} `trainwright plan list` lists them; a path must end in .yaml."
    )


def load(file: Path, overrides: Iterable[str] = ()) -> Plan:
    """Read and check a plan.

    Args:
        file: YAML.
        overrides: ``key=value`` words for every experiment; they override the plan's own settings.

    Raises:
        UserError: an error in the plan, with file and line, before anything is trained.
    """
    mapping = read_yaml(file)
    head = validated(PlanFile, plain(mapping), mapping, str(file))
    family, base = registry.load(head.recipe, [*words(head.settings), *overrides])
    listed = mapping["experiments"]
    assert isinstance(listed, CommentedSeq)
    done: dict[str, Experiment] = {}
    for number, values in enumerate(head.experiments):
        where = f"{file}: line {listed.lc.item(number)[0] + 1}"
        one = listed[number]
        entry = validated(Entry, values, one if isinstance(one, CommentedMap) else None, where)
        done[entry.name] = _experiment(entry, family, base, done, f"{where}: {entry.name}")
    if len(set(head.seeds)) < len(head.seeds):
        raise UserError(f"{file}: seeds: a seed is given twice.")
    for seed in head.seeds:
        changed(family, base, {"train.seed": seed}, f"{file}: seeds")
    stop = parse(head.stop_when, tuple(done), f"{file}: stop_when") if head.stop_when else None
    return Plan(file, head, family, tuple(done.values()), stop)


def _experiment(entry: Entry, family: Family, base: RunConfig, done: dict[str, Experiment], where: str) -> Experiment:
    if entry.name in done:
        raise UserError(f"{where}: another experiment has the same name.")
    if entry.parent is not None and entry.parent not in done:
        raise UserError(
            f"{where}: from: there is no experiment {entry.parent!r} before this one.{nearest(entry.parent, done)}"
        )
    if len(entry.change) > 1 and not entry.several_changes:
        raise UserError(
            f"{where}: changes {', '.join(entry.change)} at once, so the effect of each stays unknown. Split it into experiments, "
            "put dependent settings under `with:`, or set `several_changes: true`."
        )
    if entry.begin != "start" and entry.parent is None:
        raise UserError(f"{where}: begin: {entry.begin} forks from a parent; name it with `from:`.")
    before = done[entry.parent].config if entry.parent else base
    flat = flatten(before)
    names = {".".join(resolve(family.config, k, where)): v for k, v in {**entry.change, **entry.together}.items()}
    values = concrete(names, flat, where) if names else {}
    if entry.steps is not None and entry.begin == "start":
        values["train.steps"] = entry.steps
    after = changed(family, before, {**values, "hypothesis": entry.hypothesis}, where)
    found = [change for change in diff(before, after) if change.path not in ("hypothesis", "train.steps")]
    fixed = [str(change) for change in found if change.path.startswith(WHOLE_RUN) and not change.hot]
    if entry.begin != "start" and fixed:
        raise UserError(f"{where}: {'; '.join(fixed)} cannot change within a run and its forks; remove `begin`.")
    if entry.begin == "end" and entry.steps is None:
        raise UserError(
            f"{where}: begin: end continues {entry.parent}, so it needs `steps`, the number of further steps."
        )
    if entry.parent and names and not found:
        raise UserError(f"{where}: changes no setting of {entry.parent}.")
    when = parse(entry.when, tuple(done), f"{where}: when") if entry.when else None
    expect = parse(entry.expect, (*done, entry.name), f"{where}: expect") if entry.expect else None
    needs = dict.fromkeys([*([entry.parent] if entry.parent else []), *(when.names if when else ())])
    return Experiment(entry, after, {k: values[k] for k in values if k in names}, when, expect, tuple(needs))


def words(settings: Mapping[str, Any]) -> list[str]:
    """Return settings as the ``key=value`` words of a command line."""
    return [f"{key}={json.dumps(value)}" for key, value in settings.items()]


def validated(schema: type[C], values: Any, mapping: CommentedMap | None, where: str) -> C:
    """Return the file's contents, or raise a UserError with place, expected value and nearest valid name."""
    known = {field.alias or name for name, field in schema.model_fields.items()}
    for key in values if isinstance(values, dict) else ():
        if key not in known:
            line = f": line {mapping.lc.key(key)[0] + 1}" if mapping is not None and "line" not in where else ""
            raise UserError(f"{where}{line}: unknown key {key!r}.{nearest(str(key), known)}")
    try:
        return schema.model_validate(values)
    except ValidationError as error:
        first = error.errors()[0]
        place = ".".join(str(part) for part in first["loc"])
        message = str(first["msg"])
        raise UserError(f"{where}: {place + ': ' if place else ''}{message[0].lower()}{message[1:]}.") from None
