"""Reference of symptoms, causes and remedies."""

from collections.abc import Iterable, Iterator, Sequence
from typing import Any

from tools.markdown import listed, names_after, page, prose, sentence, table
from tools.reference_settings import own_families, plain
from trainwright.diagnosis.causes import causes
from trainwright.diagnosis.definitions import Cause, Symptom
from trainwright.diagnosis.doctor import YOUNG
from trainwright.diagnosis.symptoms import symptoms
from trainwright.playbooks.remedy import Remedy, playbook

SPEEDS = {
    "fast": "Judged from the first steps.",
    "slow": f"Judged once the run has {YOUNG} steps or 8 readings.",
}


def pages() -> dict[str, str]:
    """Return the pages of symptoms, causes and every playbook."""
    remedies = _remedies()
    books = sorted({r.playbook for r in remedies}, key=lambda b: (b == "literature", b))
    found = {f"remedies/{b}.md": _playbook(b, [r for r in remedies if r.playbook == b]) for b in books}
    return {
        "symptoms.md": _symptoms(remedies),
        "causes.md": _causes(remedies),
        "remedies/index.md": _overview(books, remedies),
        **found,
    }


def _own(entry: Any, function: Any) -> bool:
    """Tell if a symptom or cause comes with the package."""
    return str(getattr(function, "__module__", "trainwright.")).startswith("trainwright.")


def _remedies() -> list[Remedy]:
    books = {"literature", *(f.name for f in own_families())}
    return [r for r in playbook() if r.playbook in books]


def _where(function: Any) -> str:
    """Return the family in whose folder a function is defined, or nothing."""
    module = str(getattr(function, "__module__", ""))
    return module.split(".")[2] if module.startswith("trainwright.families.") else ""


def _symptoms(remedies: Sequence[Remedy]) -> str:
    known = {n: s for n, s in sorted(symptoms().items()) if _own(s, s.detect)}
    rows = [(f"[`{n}`](#{n})", prose(s.title), _where(s.detect) or "any") for n, s in known.items()]
    return page(
        "Symptoms",
        "A symptom is something that can be wrong with a run. The doctor looks for each of them in the signals; thresholds are "
        "relative to real data or to the run's own level. `trainwright explain NAME` prints an entry of this page.",
        table(("symptom", "in words", "family"), rows),
        *(_symptom(s, remedies) for s in known.values()),
    )


def _symptom(symptom: Symptom, remedies: Sequence[Remedy]) -> str:
    bounds = [(f"`{n}`", f"{b.value:g}", prose(b.meaning), prose(b.source)) for n, b in symptom.bounds.items()]
    behind = [n for n, c in sorted(causes().items()) if symptom.name in c.of and _own(c, c.assess)]
    helps = [r for r in remedies if symptom.name in r.symptoms]
    lines = [
        f"## {symptom.name}",
        f"{sentence(symptom.title)} {prose(symptom.what)}",
        f"**Measured by.** {prose(symptom.measured)}",
        f"**When.** {' '.join(_when(symptom))}",
    ]
    if bounds:
        lines.append(table(("threshold", "value", "meaning", "source"), bounds))
    if symptom.advice:
        lines.append(f"**In any loop**, while no cause is likely: {prose(symptom.advice)}.")
    if symptom.explains:
        lines.append(names_after("**Explains**, so that these raise no alarm of their own:", symptom.explains, "#{0}"))
    if behind:
        lines.append(names_after("**Causes.**", behind, "causes.md#{0}"))
    if helps:
        lines.append(f"**Remedies.**\n\n{_links(helps)}")
    return "\n\n".join(lines)


def _when(symptom: Symptom) -> Iterator[str]:
    """Yield the conditions of an alarm that the speed, the bounds and the flags of a symptom state, a sentence each."""
    yield SPEEDS[symptom.speed]
    readings = symptom.bounds.get("readings") or symptom.bounds.get("count")
    if readings is not None:
        needed = f"{readings.value:g} {prose(readings.meaning)}"
        found = "One reading is enough" if readings.value == 1 else f"It must be present in {needed}"
        yield found + ("; one is enough beyond `plain`." if "plain" in symptom.bounds else ".")
    if symptom.certain:
        yield "It ends the training if it is `sick`, unless `train.on_failure` is `continue`."


def _links(remedies: Iterable[Remedy], folder: str = "remedies/") -> str:
    books: dict[str, list[str]] = {}
    for r in remedies:
        books.setdefault(r.playbook, []).append(f"[`{r.name}`]({folder}{r.playbook}.md#{r.name})")
    return "\n".join(f"- {book}: {', '.join(dict.fromkeys(links))}" for book, links in books.items())


def _causes(remedies: Sequence[Remedy]) -> str:
    known = {n: c for n, c in sorted(causes().items()) if _own(c, c.assess)}
    return page(
        "Causes",
        "A cause is a reason for one or more symptoms. The doctor weighs each by settings and signals and ranks them; "
        "`trainwright explain NAME` prints an entry of this page.",
        table(("cause", "in words"), [(f"[`{n}`](#{n})", prose(c.title)) for n, c in known.items()]),
        *(_cause(c, remedies) for c in known.values()),
    )


def _cause(cause: Cause, remedies: Sequence[Remedy]) -> str:
    helps = [r for r in remedies if cause.name in r.causes]
    where = _where(cause.assess)
    lines = [
        f"## {cause.name}",
        sentence(cause.title) + (f" Only for `{where}`." if where else ""),
        f"**Behind.** {listed(cause.of, 'symptoms.md#{0}')}.",
    ]
    if helps:
        lines.append(f"**Remedies.**\n\n{_links(helps)}")
    return "\n\n".join(lines)


def _overview(books: Sequence[str], remedies: Sequence[Remedy]) -> str:
    rows = []
    for book in books:
        own = [r for r in remedies if r.playbook == book]
        measured = sum(1 for r in own if r.tried)
        rows.append((f"[`{book}`]({book}.md)", str(len(own)), str(measured)))
    return page(
        "Remedies",
        "A remedy is one change of the config, or one piece of advice, for one or more causes. Each family has a playbook; the "
        "literature's is for all of them. A treatment tries the remedies of the likeliest cause first.",
        table(("playbook", "remedies", "with a measured cure rate"), rows),
        "In a change, `x0.1` multiplies the value in force, `+2` adds to it, and `x3 of optim.lr_g` multiplies another setting.",
    )


def _playbook(book: str, remedies: Sequence[Remedy]) -> str:
    title = "Remedies of the literature" if book == "literature" else f"Remedies for {book}"
    return page(title, *(_remedy(r) for r in remedies))


def _remedy(r: Remedy) -> str:
    rows = [
        ("for", listed(r.symptoms, "../symptoms.md#{0}") or "general advice"),
        ("causes", listed(r.causes, "../causes.md#{0}")),
        ("change", ", ".join(f"`{k}: {plain(v)}`" for k, v in r.change.items())),
        ("by hand", prose(r.advice)),
        ("applied", "in a fork from a checkpoint" if r.apply == "hot" else "in a new run"),
        ("families", listed(r.families)),
        (
            "evidence",
            r.evidence
            + (
                f"; it cured {r.cure_rate * r.tried:.0f} of {r.tried} sick runs"
                if r.cure_rate is not None and r.tried
                else ""
            ),
        ),
        ("against it", prose(r.against)),
        ("source", "; ".join(prose(s) for s in _sources(r))),
    ]
    lines = "\n".join(f"- **{what.capitalize()}**: {text}" for what, text in rows if text)
    return f"## {r.name}\n\n{prose(r.why)}\n\n{lines}"


def _sources(r: Remedy) -> tuple[str, ...]:
    several = getattr(r, "sources", None)
    return tuple(map(str, several)) if several else (r.source,)
