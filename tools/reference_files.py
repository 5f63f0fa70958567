"""Reference of signals, events and the JSON that commands print."""

from collections.abc import Iterable
from importlib import import_module
from importlib.util import find_spec

from tools.markdown import page, prose, table
from tools.reference_settings import own_families
from trainwright.runs import events, legacy, signals


def pages() -> dict[str, str]:
    """Return the pages of signals and events."""
    return {"signals.md": _signals(), "events.md": _events()}


def _signals() -> str:
    parts = [f"## All families\n\n{_signal_table(signals.SIGNALS)}"]
    for family in own_families():
        if find_spec(f"{family.home}.signals") is not None:
            own = import_module(f"{family.home}.signals").SIGNALS
            parts.append(f"## {family.name}\n\nBesides those of all families:\n\n{_signal_table(own)}")
    old = table(("name in 0.1.0", "name now"), [(f"`{a}`", f"`{b}`") for a, b in legacy.SIGNAL_PREFIXES.items()])
    return page(
        "Signals",
        "A signal is a named time series of a run. `metrics.jsonl` has a row every `train.log_every` steps; each value is the "
        "mean since the row before. A word in capitals stands for any part of a name: `GROUP` for a parameter group, `TERM` for a "
        "loss term, `NETWORK` for a network.",
        "Raw loss terms are named `GROUP/TERM` and are listed with their family.",
        *parts,
        "## Earlier names\n\nRun folders of 0.1.0 are read under the names of today. A name that ends in `/` is a prefix.\n\n"
        + old,
    )


def _signal_table(entries: Iterable[signals.Signal]) -> str:
    rows = [(f"`{s.name}`", s.unit, signals.BETTER[s.better], prose(s.meaning)) for s in entries]
    return table(("signal", "unit", "better", "meaning"), rows)


def _events() -> str:
    common = ", ".join(f"`{key}` ({meaning})" for key, meaning in events.COMMON.items())
    old = table(("name in 0.1.0", "name now"), [(f"`{a}`", f"`{b}`") for a, b in legacy.EVENTS.items()])
    return page(
        "Events",
        "Every automatic act of a run is one JSON line in `events.jsonl` of its folder. Every line has "
        f"{common}. A study writes a journal under the same file name in its own folder.",
        "## Events of a run",
        *(_event(name, kind) for name, kind in events.EVENTS.items()),
        "## Journal of a study",
        *(_event(name, kind) for name, kind in events.JOURNAL.items()),
        "## Earlier names\n\nRun folders of 0.1.0 are read under the names of today.\n\n" + old,
    )


def _event(name: str, kind: events.EventType) -> str:
    keys = table(("key", "meaning"), [(f"`{key}`", meaning) for key, meaning in kind.keys.items()]) if kind.keys else ""
    return f"### `{name}`\n\n{kind.meaning}\n\n{keys}"
