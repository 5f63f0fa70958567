"""Remedies in words for loops and logs that do not have Trainwright's settings, read in a thousandth of a second.

``advice.json`` holds what the playbooks of this package say in words; ``python -m tools.docs_reference`` writes it from them. Playbooks
of other packages are read as they are.
"""

import json
from collections.abc import Collection, Sequence
from dataclasses import asdict, dataclass
from functools import cache
from pathlib import Path
from typing import TYPE_CHECKING, Any

from trainwright.plugins import PLAYBOOKS, installed

if TYPE_CHECKING:
    from trainwright.playbooks.remedy import Remedy

FILE = Path(__file__).parent / "advice.json"


@dataclass(frozen=True)
class Advice:
    """What a remedy says in words.

    Attributes:
        name: of the playbook's entry.
        symptoms: what it is for.
        causes: causes that it addresses.
        kinds: kinds of model that it fits; none for all.
        advice: what to do.
        why: how it helps.
        source: guide or paper.
        restart: True if the run must be started again for it.
        chance: that it helps if its cause is there, from 0 to 1.
    """

    name: str
    symptoms: tuple[str, ...]
    causes: tuple[str, ...]
    kinds: tuple[str, ...]
    advice: str
    why: str
    source: str
    restart: bool
    chance: float

    def sentence(self) -> str:
        """Return it in one line."""
        how = "in a new run" if self.restart else "from a checkpoint"
        return f"{self.advice.rstrip('.')} ({how}): {self.why} [{self.source}]"


def advice_for(symptom: str, causes: Sequence[str], kinds: Collection[str]) -> list[Advice]:
    """Return advice against a symptom for some of its causes, the likeliest help first; none of another kind of model.

    Args:
        symptom: name of the symptom.
        causes: names of likely causes, likeliest first.
        kinds: kinds of model.
    """
    fitting = [
        a
        for a in _all()
        if symptom in a.symptoms and set(causes) & set(a.causes) and (not a.kinds or set(a.kinds) & set(kinds))
    ]
    place = {cause: n for n, cause in enumerate(causes)}

    def order(one: Advice) -> tuple[float, int]:
        rank = min(place[c] for c in one.causes if c in place)
        return -one.chance / (1 + rank), rank

    return list({a.advice: a for a in reversed(sorted(fitting, key=order))}.values())[::-1]


@cache
def _all() -> tuple[Advice, ...]:
    found = [_read(entry) for entry in json.loads(FILE.read_text(encoding="utf-8"))]
    if installed(PLAYBOOKS):
        from trainwright import plugins
        from trainwright.playbooks import remedy

        ours = {a.name for a in found}
        found += [a for a in in_words(remedy.playbook(), plugins.families()) if a.name not in ours]
    return tuple(found)


def in_words(remedies: "Sequence[Remedy]", families: Any) -> list[Advice]:
    """Return what remedies say in words: those with advice that nothing contradicts.

    Args:
        remedies: of playbooks.
        families: family by name.
    """
    from trainwright.playbooks.remedy import chance

    found = []
    for one in remedies:
        whose = [one.playbook] if one.playbook in families else list(one.families)
        kinds = sorted({kind for name in whose if name in families for kind in families[name].kinds})
        if one.advice and one.evidence != "contradicted" and one.causes:
            found.append(
                Advice(
                    one.name, tuple(one.symptoms), tuple(one.causes), tuple(kinds), " ".join(one.advice.split()), one.why,
                    one.source, one.apply == "restart", round(chance(one), 3),
                )
            )  # fmt: skip
    return found


def _read(entry: dict[str, Any]) -> Advice:
    values: dict[str, Any] = {k: tuple(v) if isinstance(v, list) else v for k, v in entry.items()}
    return Advice(**values)


def text() -> str:
    """Return the content that ``advice.json`` should have."""
    from trainwright import plugins
    from trainwright.playbooks import remedy

    ours = {name: f for name, f in plugins.families().items() if f.home.startswith("trainwright.")}
    entries = [asdict(a) for a in in_words([r for r in remedy.playbook() if r.playbook in {*ours, "literature"}], ours)]
    return json.dumps(entries, indent=1, ensure_ascii=False) + "\n"
