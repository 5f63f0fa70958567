"""Playbooks: remedies as data, each a YAML block with symptoms, causes, change, advice, sources and the evidence.

A family's playbook is ``playbook.yaml`` in its folder. ``literature.yaml`` in this folder holds the literature's. Other packages
register theirs by the entry point ``trainwright.playbooks``; see :mod:`trainwright.plugins`.
"""

import json
import math
import re
from collections.abc import Iterable, Mapping, Sequence
from functools import cache
from importlib.resources import files
from pathlib import Path
from typing import Annotated, Any, Literal

from pydantic import Field, JsonValue, TypeAdapter, ValidationError, model_validator
from ruamel.yaml.comments import CommentedMap, CommentedSeq

from trainwright import plugins
from trainwright.config.base import Config, setting
from trainwright.config.reading import plain, read_yaml
from trainwright.config.schedules import Curve
from trainwright.diagnosis.causes import causes as known_causes
from trainwright.diagnosis.symptoms import symptoms as known_symptoms
from trainwright.errors import UserError, nearest

Names = Annotated[tuple[str, ...], Field(strict=False)]
RELATIVE = re.compile(r"(?P<sign>[x+])(?P<amount>\d+(?:\.\d+)?(?:e-?\d+)?)(?: of (?P<other>[\w.]+))?")
EVIDENCE = ("supported", "untested", "contradicted")
UNMEASURED = {
    "supported": 0.5,
    "untested": 0.5,
    "contradicted": 0.0,
}  # ours: an unknown cure rate, until it is measured
LITERATURE = Path(str(files("trainwright.playbooks"))) / "literature.yaml"


class Remedy(Config):
    """One change against one or more symptoms, an entry of a playbook."""

    name: str = setting(..., "Unique in its file; the key of the entry.", pattern=r"^[a-z][a-z0-9_]*$")
    aliases: Names = setting((), "Earlier names, under which cure rates and old studies know it.")
    symptoms: Names = setting(..., "Symptoms that it is for; none for general advice.", alias="for")
    causes: Names = setting((), "Causes that it addresses.")
    change: dict[str, JsonValue] = setting(
        {},
        "Setting to value. `x0.1` multiplies the value in force, `+2` adds to it, `x3 of optim.lr_g` takes another setting's; "
        "these also stand inside lists and schedules. A setting that is null has nothing to multiply and is skipped. "
        "Without any, `advice` says what to do by hand.",
    )
    advice: str = setting("", "The remedy in words, for any training loop; needed where nothing is changed.")
    apply: Literal["hot", "restart"] = setting(..., "`hot`: fork from a checkpoint; `restart`: a new run.")
    sources: Names = setting(..., "Guide, section and position; or authors and year. Earlier `source`, one text.")
    evidence: Literal["supported", "untested", "contradicted"] = setting(..., "What is known beyond its source.")
    against: str = setting("", "What speaks against it; needed if it is contradicted.")
    why: str = setting(..., "One sentence: how it is meant to help.", min_length=10)
    families: Names = setting((), "In the literature's playbook: the families that it fits; none: all.")
    cure_rate: float | None = setting(None, "Share of sick runs that it cured, once measured.", ge=0, le=1)
    tried: int = setting(0, "Sick runs on which that was measured.", ge=0)
    playbook: str = setting("", "Set on reading: the family, or `literature`.")
    line: int = setting(0, "Set on reading: its line in the file.")

    @property
    def source(self) -> str:
        """All sources in one line; a guide that gives it in several places is named once."""
        parts, before = [], ""
        for text in self.sources:
            document = text.partition(", ")[0]
            parts.append(text.partition(", ")[2] if document == before and document != text else text)
            before = document
        return "; ".join(parts)

    @model_validator(mode="before")
    @classmethod
    def _one_source(cls, value: Any) -> Any:
        if not isinstance(value, Mapping) or "source" not in value:
            return value
        if "sources" in value:
            raise ValueError("give either `sources` or `source`, its earlier form, not both")
        return {**{k: v for k, v in value.items() if k != "source"}, "sources": [value["source"]]}

    @model_validator(mode="after")
    def _says_enough(self) -> "Remedy":
        if not self.sources or min(map(len, self.sources)) < 4:
            raise ValueError("`sources` must name at least one guide or paper")
        if not self.change and not self.advice:
            raise ValueError("it changes no setting, so `advice` must say what to do by hand")
        if self.evidence == "contradicted" and not self.against:
            raise ValueError("it is contradicted, so `against` must say by what")
        return self


def playbook(family: str | None = None) -> tuple[Remedy, ...]:
    """The remedies for a family: its own in the order of its file, then those that fit it of the literature and of other packages.

    With None: those of every family, then all others.

    Raises:
        UserError: for a family that does not exist, or a playbook that is not sound, with file and line.
    """
    known = plugins.families()
    further = [title for title in plugins.playbooks() if title not in known]
    shared = (*load(LITERATURE), *(remedy for title in further for remedy in _installed(title)))
    if family is None:
        return (*(remedy for name in sorted(known) for remedy in _installed(name)), *shared)
    _must_be_known("family", family, known)
    return (*_installed(family), *(r for r in shared if not r.families or family in r.families))


def _installed(title: str) -> tuple[Remedy, ...]:
    """The remedies of a playbook by its title; one of another package that is not sound is a warning."""
    file = plugins.playbooks().get(title)
    if file is None:
        return ()
    try:
        return load(file, title)
    except UserError as error:
        if file.is_relative_to(LITERATURE.parents[1]):
            raise
        plugins.report(f"the playbook {title}", error)
        return ()


def remedies_for(symptom: str, causes: Sequence[str] = (), family: str | None = None) -> list[Remedy]:
    """The remedies for a symptom in the order in which they should be tried.

    By the chance that they help: that of their likeliest cause (1, 1/2, 1/3 ... in the order given) times their cure rate (Laplace's
    rule for measured ones; what is not measured counts as one half, what is contradicted as 0); among equals by cause, evidence,
    and the order of the playbook. A change that an earlier one already makes is omitted.

    Args:
        symptom: a symptom's name.
        causes: names of causes, likeliest first.
        family: whose playbook; None: everyone's.

    Raises:
        UserError: for a name that does not exist.
    """
    _must_be_known("symptom", symptom, known_symptoms())
    for cause in causes:
        _must_be_known("cause", cause, known_causes())

    def order(remedy: Remedy) -> tuple[float, int, int]:
        rank = min((n for n, cause in enumerate(causes) if cause in remedy.causes), default=len(causes))
        return -chance(remedy) / (1 + rank), rank, EVIDENCE.index(remedy.evidence)

    chosen: dict[str, Remedy] = {}
    for remedy in sorted((r for r in playbook(family) if symptom in r.symptoms), key=order):
        whose = remedy.playbook if family is None else ""
        same = json.dumps([whose, remedy.change or remedy.name], sort_keys=True)
        chosen.setdefault(same, remedy)
    return list(chosen.values())


def chance(remedy: Remedy) -> float:
    """Return the chance that it helps if its cause is there."""
    if remedy.cure_rate is None:
        return UNMEASURED[remedy.evidence]
    if not remedy.tried:
        return remedy.cure_rate
    return (remedy.cure_rate * remedy.tried + 1) / (remedy.tried + 2)


def apply(remedy: Remedy, settings: Mapping[str, Any]) -> dict[str, Any]:
    """The new value of each setting that the remedy changes.

    Args:
        remedy: what to apply.
        settings: dotted path to plain value, as ``config.base.flatten`` gives it.

    Raises:
        UserError: it changes no setting, one that does not exist or cannot be multiplied, or nothing that is not so already.
    """
    where = f"remedy {remedy.name}"
    if not remedy.change:
        raise UserError(f"{where} changes no setting; it is to be done by hand: {remedy.advice}")
    found = concrete(remedy.change, settings, where)
    if all(settings[path] == value for path, value in found.items()):
        reported = ", ".join(f"{path} is {value} already" for path, value in found.items())
        raise UserError(f"{where} changes nothing: {reported}.")
    return found


def concrete(change: Mapping[str, Any], settings: Mapping[str, Any], where: str) -> dict[str, Any]:
    """The new value of each setting of a change; ``x0.1`` and ``+2`` are of the value in force.

    Raises:
        UserError: a setting does not exist, cannot be multiplied, or none has anything to multiply.
    """
    found: dict[str, Any] = {}
    for path, wanted in change.items():
        if path not in settings:
            raise UserError(f"{where}: no setting {path!r} in this run.{nearest(path, settings)}")
        try:
            found[path] = _concrete(wanted, settings[path], settings, f"{where}: {path}")
        except _Nothing:
            continue
    if not found:
        raise UserError(f"{where}: {', '.join(change)} has no value in this run, so there is nothing to multiply.")
    return found


class _Nothing(Exception):
    """A relative change of a setting that is null."""


def _concrete(wanted: Any, current: Any, settings: Mapping[str, Any], where: str) -> Any:
    if isinstance(wanted, Mapping):
        return {key: _concrete(value, _peak(current), settings, where) for key, value in wanted.items()}
    if isinstance(wanted, list):
        values = current if isinstance(current, list) and len(current) == len(wanted) else [None] * len(wanted)
        return [_concrete(one, value, settings, where) for one, value in zip(wanted, values, strict=True)]
    match = RELATIVE.fullmatch(wanted) if isinstance(wanted, str) else None
    if match is None:
        return wanted
    other, amount = match["other"], float(match["amount"])
    if other is not None:
        if other not in settings:
            raise UserError(f"{where}: {wanted!r}: no setting {other!r} in this run.{nearest(other, settings)}")
        current = settings[other]
    return _moved(current, match["sign"] == "x", amount, where)


def _moved(value: Any, times: bool, amount: float, where: str) -> Any:
    """``value`` times or plus ``amount``: a number, each number of a list, or each value (not length) of a schedule."""
    if value is None:
        raise _Nothing
    if isinstance(value, list | tuple):
        return [_moved(one, times, amount, where) for one in value]
    if isinstance(value, Mapping):
        curve = _curve(value, where)
        moved: dict[str, Any] = {
            key: _moved(curve[key], times, amount, where) for key in ("start", "end") if key in curve
        }
        if "points" in curve:
            moved["points"] = [[t, _moved(v, times, amount, where)] for t, v in curve["points"]]
        return {**curve, **moved}
    if isinstance(value, bool) or not isinstance(value, int | float):
        raise UserError(f"{where} is {value!r}, which cannot be multiplied or added to.")
    new = value * amount if times else value + amount
    return math.floor(new + 0.5) if isinstance(value, int) else float(f"{new:.12g}")


def _peak(value: Any) -> Any:
    """Value of ``x1`` inside a new schedule: the number in force, or the largest value of the schedule in force."""
    if not isinstance(value, Mapping):
        return value
    values = [value[key] for key in ("start", "end") if key in value]
    return max([*values, *(v for _, v in value.get("points", []))], default=None)


def _curve(value: Mapping[str, Any], where: str) -> dict[str, Any]:
    try:
        return TypeAdapter(Curve).validate_python(dict(value)).model_dump(mode="json")
    except ValidationError:
        raise UserError(f"{where} is {dict(value)!r}, which is no schedule that could be multiplied.") from None


@cache
def measured() -> dict[str, tuple[int, int]]:
    """(cured, tried) of each remedy that the treatment bench has measured, by ``playbook/name`` at that time."""
    file = Path(str(files("trainwright.playbooks"))) / "cure_rates.json"
    found = json.loads(file.read_text(encoding="utf-8")) if file.exists() else {"rates": {}}
    return {name: (int(r["cured"]), int(r["tried"])) for name, r in found["rates"].items()}


@cache
def load(file: Path, title: str = "") -> tuple[Remedy, ...]:
    """The remedies of one file, which need not exist, in its order.

    ``remedies:`` is a mapping of name to remedy, or a list of remedies with a ``name``, the earlier form.

    Args:
        file: a playbook.
        title: set as the ``playbook`` of each remedy; by default the name of the file or of its folder.

    Raises:
        UserError: with file and line, for anything that is not sound.
    """
    if not file.exists():
        return ()
    title = title or (file.parent.name if file.name == "playbook.yaml" else file.stem)
    text = file.read_text(encoding="utf-8").splitlines()
    found: list[Remedy] = []
    taken: dict[str, int] = {}
    entries = _entries(file)
    for number, (line, entry) in enumerate(entries, 1):
        end = entries[number][0] - 1 if number < len(entries) else len(text)
        remedy = _remedy(entry, title, line, text[:end], f"{file}: line {line}")
        for name in (remedy.name, *remedy.aliases):
            if name in taken:
                raise UserError(f"{file}: line {line}: {name!r} is there already, on line {taken[name]}.")
            taken[name] = line
        found.append(_with_cure_rate(remedy))
    return tuple(found)


def _entries(file: Path) -> list[tuple[int, Any]]:
    """Line and content of each entry, with its key as its ``name``."""
    entries = read_yaml(file).get("remedies")
    if isinstance(entries, CommentedSeq):
        return [(entries.lc.item(n)[0] + 1, entry) for n, entry in enumerate(entries)]
    if not isinstance(entries, CommentedMap):
        raise UserError(f"{file}: expected a mapping of name to remedy under 'remedies:'.")
    found: list[tuple[int, Any]] = []
    for name, entry in entries.items():
        line = entries.lc.key(name)[0] + 1
        if isinstance(entry, CommentedMap):
            if "name" in entry:
                raise UserError(f"{file}: line {line}: {name}: unknown key 'name'; the key above it is the name.")
            entry.insert(0, "name", name)
        found.append((line, entry))
    return found


def _with_cure_rate(remedy: Remedy) -> Remedy:
    """The remedy with what was measured under its name and its earlier names."""
    names = [f"{remedy.playbook}/{name}" for name in (remedy.name, *remedy.aliases)]
    rates = [measured()[name] for name in names if name in measured()]
    if not rates:
        return remedy
    cured, tried = sum(rate[0] for rate in rates), sum(rate[1] for rate in rates)
    return remedy.model_copy(update={"cure_rate": cured / tried, "tried": tried})


def _remedy(entry: Any, title: str, line: int, text: Sequence[str], where: str) -> Remedy:
    if not isinstance(entry, CommentedMap):
        raise UserError(f"{where}: expected a remedy with `for`, `change`, `apply` and so on, found {entry!r}.")
    label = f"{where}: {entry.get('name', 'a remedy without a name')}"
    if _bare_amount(entry, text):
        raise UserError(f'{label}: put quotes around an amount to add, "+2", or YAML reads it as the number 2.')
    keys = {field.alias or name for name, field in Remedy.model_fields.items()} - {"playbook", "line"}
    for key in entry:
        if key not in keys | {"source"}:
            raise UserError(f"{label}: unknown key {key!r}.{nearest(str(key), keys)}")
    try:
        remedy = Remedy.model_validate({**plain(entry), "playbook": title, "line": line})
    except ValidationError as error:
        first = error.errors()[0]
        place = ".".join(str(part) for part in first["loc"])
        message = str(first["msg"]).removeprefix("Value error, ")
        raise UserError(f"{label}: {place + ': ' if place else ''}{message[0].lower()}{message[1:]}.") from None
    for kind, names, known in (
        ("symptom", remedy.symptoms, known_symptoms()),
        ("cause", remedy.causes, known_causes()),
        ("family", remedy.families, plugins.families()),
    ):
        for name in names:
            _must_be_known(kind, name, known, f"{label}: ")
    return remedy


def _bare_amount(entry: CommentedMap, text: Sequence[str]) -> bool:
    """Tell if ``change`` has an amount such as +2 without quotes, which YAML has read as 2."""
    if "change" not in entry:
        return False
    start = tuple(entry.lc.key("change"))
    others = [tuple(entry.lc.key(key)) for key in entry if key in entry.lc.data]
    last, column = min((place for place in others if place > start), default=(len(text), 0))
    lines = [*text[start[0] : last], *(line[:column] for line in text[last : last + 1])]
    lines[0] = lines[0][start[1] :]
    bare = [re.sub(r"#.*", "", re.sub(r'"[^"]*"|\'[^\']*\'', "", line)) for line in lines]
    return any(re.search(r"[:,\[]\s*\+\d", line) for line in bare)


def _must_be_known(kind: str, name: str, known: Iterable[str], where: str = "") -> None:
    options = list(known)
    if name not in options:
        hint = nearest(name, options) or f" Known: {', '.join(sorted(options))}."
        raise UserError(f"{where}no {kind} {name!r}.{hint}")
