"""Printed logs: any text in which numbers stand beside names, such as ``Epoch 3, Step 40: loss=0.31`` or a progress bar.

Each line is split into pairs of a name and a number. Counters such as ``epoch 3/50`` and ``[128/60000]`` become the step of the
line; the other pairs become a row of the log. Names that hardly repeat are prose and are dropped.
"""

import re
from array import array
from collections.abc import Iterator
from dataclasses import dataclass, field
from functools import lru_cache
from pathlib import Path

import numpy as np

from trainwright.diagnosis.importers.columns import MOST_ROWS, Log, Thinning, encoding, rising
from trainwright.diagnosis.signal_names import recognise
from trainwright.errors import UserError, nearest

NUMBER = r"[-+]?(?:(?:\d[\d_,]*+(?:\.\d*+)?|\.\d++)(?:[eE][-+]?\d+)?|nan|NaN|NAN|[iI]nf(?:inity)?)(?![\w.]*[A-Za-z_])"
COLOUR = re.compile(r"\x1b\[[0-9;?]*[A-Za-z]")
# times, dates, versions, rates and sizes, which are no values
CLOCK = re.compile(
    r"\d{4}-\d\d-\d\d[T ]?[\d:.,]*|\d{1,2}-[A-Z][a-z]{2}-\d{2,4}|\b\d+:\d\d(?::\d\d)?(?:[.,]\d+)?\b|\d++(?:\.\d++){2,}"
    r"|\d++(?:\.\d*+)?\+\d++(?:\.\d*+)?s\b|\b\d[\d.,]*\s?(?:[kKMGT]i?B|[mun]?s/(?:it|step|iter|batch|epoch)|it/s|s/it)\b"
)
BAR = re.compile(r"(?:[A-Za-z_]+:\s*)?\d+%\|[^|]*\||\[[=>.\s-]{6,}\]|[━█▏▎▍▌▋▊▉#]{4,}")
WRAPPED = re.compile(r"(?:tensor|np\.float\d+|array)\(\s*+([^,()\s]++)\s*+(?:,[^()]*+)?\)")
WORD = r"[A-Za-zα-ωΑ-Ω_][\w./@*²]*(?:\([A-Za-z]\w*\))?"
NAME = rf"{WORD}(?:[ -]{WORD}){{0,3}}"
COUNTER = re.compile(
    r"(?i)^(?:(?:train(?:ing)?|global|current|total|[a-z]+(?= epochs?$))[ _])?"
    r"(epochs?|ep|steps?|global_?step|iters?|iterations?|its?|batch(?:es)?|updates?|num_updates|kimg|nimg|n_iter|minibatch|batch_?idx"
    r"|samples|images|particles|tick)(?:[ _]*(?:idx|num|number|no\.?|nr))?$"
)
EPOCHS = ("epoch", "epochs", "ep")
BATCHES = ("batch", "batches", "minibatch", "batchidx", "batch_idx")
TIMES = re.compile(
    r"(?i)^(?:.*[ _./])?(?:time|eta|elapsed|data|data ?time|batch ?time|duration|speed|throughput|fps|took|runtime|seconds?|secs?|"
    r"mins?|minutes?|hours?|remaining|memory|mem|vram|gpu|ram|sec/kimg|sec/tick|timestamp|v_num|seed|rank|port|pid|lineno)$"
)
PAIR = re.compile(
    rf"(?<![\w./@])(?P<name>{NAME})\s*+(?P<sep>[:=]+|\|)?\s*+(?P<open>[\[(]\s*+)?(?P<first>{NUMBER})(?P<rest>(?:\s*[/,]\s*{NUMBER})*)"
)
BRACKET = re.compile(r"\[\s*(?P<now>\d+)\s*/\s*(?P<all>\d+)[^\]]*\]|(?<![\w/.])(?P<a>\d+)\s*/\s*(?P<b>\d+)(?![\w/.])")
LEADING = re.compile(r"^\s*\[?(?P<number>\d+)\]?\s*(?::|\s[\[(])")
DROPPED = {0: None, ord("'"): None, ord('"'): None}  # quotes stand around names: {'loss': 1.46}
NUMBERS, SLASH = re.compile(NUMBER), re.compile(rf"\s*/\s*({NUMBER})$")
INSIDE = re.compile(r"[(,]\s*$")
THOUSANDS = re.compile(r"[-+]?\d{1,3}(?:,\d{3})+(?:\.\d+)?")
VALUE = re.compile(r"\d|nan|inf", re.IGNORECASE)
TIMED = re.compile(
    r"\d[:-]\d|\d-[A-Z]|\.\d+\.|\d\+\d|\ds?/|\d ?[kKMGTmun]?i?[sB]\b|it/s"
)  # something that CLOCK may take out
LEAST = 2  # lines in which a name has to appear
MANY = 0.03  # share of the lines of the commonest name, below which a name without a sign between it and its number is prose
MOST_NAMES = 400
LONGEST = 2000  # characters of a line that are read
MOST_EPOCHS = 100_000  # "Epoch 1/2000000" is no plan


@dataclass
class _Column:
    at: "array[int]" = field(default_factory=lambda: array("q"))
    values: "array[float]" = field(default_factory=lambda: array("d"))
    loose: int = 0  # times that nothing stood between name and number


@dataclass
class _Lines:
    """Numbers of all lines so far."""

    columns: dict[str, _Column] = field(default_factory=dict)
    counters: dict[str, _Column] = field(default_factory=dict)
    clocks: dict[str, _Column] = field(default_factory=dict)
    most: dict[str, float] = field(default_factory=dict)  # ends of counters, as in 3/50
    rows: int = 0
    thinning: Thinning = field(default_factory=Thinning)

    def thin(self) -> None:
        """Drop rows."""
        tables = (self.columns, self.counters, self.clocks)
        keep = self.thinning.keep(((np.array(c.at), np.array(c.values)) for c in self.columns.values()), self.rows)
        place = np.cumsum(keep) - 1
        for column in (c for table in tables for c in table.values()):
            at, before = np.array(column.at, dtype=np.int64), len(column.at)
            stays = keep[at]
            column.at = array("q", place[at[stays]].tobytes())
            column.values = array("d", np.array(column.values)[stays].tobytes())
            column.loose = round(column.loose * len(column.at) / max(1, before))
        self.rows = int(keep.sum())


def looks_like(lines: list[str]) -> bool:
    """True if some of these lines hold a name beside a number, and few of them are rows of a table."""
    found = [[m["sep"] for m in PAIR.finditer(_cleaned(line))] for line in lines]
    hits = sum(1 for signs in found if len(signs) > 1 or ":" in signs or "=" in signs)
    return hits >= max(1, len(lines) // 8)


def read(path: Path, step: str | None = None) -> Log:
    """Read a printed log in one pass.

    Raises:
        UserError: no name stands beside a number, or there is no column ``step``.
    """
    lines = _Lines()
    with path.open(encoding=encoding(path), errors="replace", newline=None) as handle:
        for line in handle:
            for part in line.split("\r") if "\r" in line else (line,):
                if VALUE.search(part):
                    _take(lines, part[:LONGEST])
            if lines.rows > MOST_ROWS:
                lines.thin()
    columns = _worth(lines)
    if not columns:
        raise UserError(f"{path}: no name stands beside a number, as in 'step 10 loss 0.5' or 'loss: 0.5'.")
    return _log(lines, columns, step)


def _cleaned(line: str) -> str:
    """Return a line without colours, quotes, times, bars and wrappers; what it does not hold is not looked for."""
    if "\x1b" in line:
        line = COLOUR.sub("", line)
    line = line.translate(DROPPED)
    if TIMED.search(line):
        line = CLOCK.sub(" ", line)
    if "|" in line or "[" in line or "█" in line or "━" in line or "#" in line:
        line = BAR.sub(" ", line)
    return WRAPPED.sub(r"\1", line) if "(" in line else line


def _take(lines: _Lines, text: str) -> None:
    """Add the pairs of one line, if it has any."""
    line = _cleaned(text)
    found: dict[str, tuple[float, bool]] = {}
    counted: dict[str, float] = {}
    clocks: dict[str, tuple[float, bool]] = {}
    pairs = list(_pairs(line))
    for name, values, separated, ends in pairs:
        key, timed = _meaning(name)
        if key and values[0].is_integer():
            counted.setdefault(key, values[0])
            if ends is not None:
                lines.most[key] = ends
        elif timed:
            clocks.setdefault(name, (values[0], separated))
        else:
            parts = [p.strip() for p in name.split("/")] if len(values) > 1 else []
            if len(parts) == len(values):  # "Gen/Dis Loss: 2.1/0.7"
                tail = parts[-1].partition(" ")[2]
                for part, value in zip(parts, values, strict=True):
                    found.setdefault(f"{part.partition(' ')[0]} {tail}".strip(), (value, separated))
            elif len(values) > 1 and ends is None:
                found.setdefault(name, (float(np.mean(values)), separated))
            else:
                again = name in found  # "[D] fake 0.2 [G] fake 5.1"
                found.setdefault(f"{name} (2)" if again else name, (values[0], separated))
    if "/" in line:
        _brackets(lines, counted, line, {m for *_, m in pairs if m is not None})
    if found and not counted and (leading := LEADING.match(line)):
        counted["step"] = float(leading["number"])
    if not found and not counted:
        return
    counters = {k: (v, True) for k, v in counted.items()}
    for table, cells in ((lines.counters, counters), (lines.columns, found), (lines.clocks, clocks)):
        for name, (value, separated) in cells.items():
            if name not in table and len(table) >= MOST_NAMES:
                continue
            column = table.setdefault(name, _Column())
            column.at.append(lines.rows)
            column.values.append(value)
            column.loose += not separated
    lines.rows += 1


def _pairs(line: str) -> Iterator[tuple[str, list[float], bool, float | None]]:
    """Yield name, numbers, whether a sign stands between them, and the end of a counter such as 3/50."""
    prefix = ""
    at = 0
    while match := PAIR.search(line, at):
        name, sep, _, first, rest = match.groups()
        name = " ".join(name.strip(" -_./").split())
        values, separated = [_number(first)], bool(sep)
        slash = SLASH.match(rest) if rest else None
        ends = None
        if slash and _meaning(name)[0]:
            ends = _number(slash[1])
        elif rest and ("/" in rest) == ("/" in name):
            values += [_number(n) for n in NUMBERS.findall(rest)]
            at = match.end()
        else:
            at = match.end("first")
        at = match.end() if ends is not None else max(at, match.end("first"))
        if name:
            if len(name) == 1 and prefix and INSIDE.search(line[max(0, match.start() - 4) : match.start()]):
                name = f"{prefix} {name}"  # the parts of a loss in brackets: D loss: -28 (R -43, F 2.7)
            elif len(name) > 1:
                prefix = name
            yield name, values, separated, ends


def _brackets(lines: _Lines, counted: dict[str, float], line: str, named: set[float]) -> None:
    """Take counters without a name: [3/50], 128/60000. Of two the first counts epochs; one counts batches if the line has an epoch."""
    found = []
    for match in BRACKET.finditer(line):
        now, most = float(match["now"] or match["a"]), float(match["all"] or match["b"])
        if most not in named and now <= most and most >= 2:
            key = "epoch" if re.search(r"(?i)\bepoch\W*$", line[: match.start()]) else ""
            found.append((key, now, most))
    free = ["place"] if "epoch" in counted or any(k for k, *_ in found) or len(found) == 1 else ["epoch", "place"]
    for key, now, most in found:
        key = key or (free.pop(0) if free else "")
        if key and key not in counted:
            counted[key] = now
            lines.most[key] = most


@lru_cache(4096)
def _meaning(name: str) -> tuple[str, bool]:
    """Return the counter that a name stands for, if it does, and whether it is a time or a size."""
    counter = COUNTER.match(name)
    return _counter(counter[1]) if counter else "", TIMES.match(name) is not None


def _counter(name: str) -> str:
    name = name.lower()
    if name in EPOCHS:
        return "epoch"
    if name in BATCHES:
        return "batch"
    return {
        "iters": "iter",
        "iterations": "iter",
        "iteration": "iter",
        "its": "iter",
        "it": "iter",
        "steps": "step",
    }.get(name, name)


def _number(text: str) -> float:
    try:
        return float(text)
    except ValueError:
        plain = text.strip().rstrip(",")
    try:
        return float(plain.replace(",", "") if THOUSANDS.fullmatch(plain) else plain.split(",")[0])
    except ValueError:
        return float("nan")


def _worth(lines: _Lines) -> dict[str, _Column]:
    """Return the columns that repeat: names of a log, not of prose."""
    usual = max((len(c.at) for c in lines.columns.values()), default=0)
    kept = {}
    for name, column in lines.columns.items():
        often = len(column.at) >= max(LEAST, MANY * usual) or (usual <= LEAST and not column.loose)
        known = recognise(name) is not None
        lost = column.loose == 0 and not np.isfinite(column.values).all()  # a NaN counts, wherever it is printed
        if (often and (column.loose < 0.5 * len(column.at) or known or len(column.at) >= 0.3 * usual)) or (
            lost or (known and len(column.at) >= LEAST)
        ):
            kept[name] = column
    return kept


def _log(lines: _Lines, columns: dict[str, _Column], step: str | None) -> Log:
    """Make a log in which every number has the step of its line."""
    notes: list[str] = []
    counters = {n: _whole(c, lines.rows) for n, c in lines.counters.items()}
    total: int | None = None
    if step is not None:
        cells = columns.pop(step, None) or lines.counters.get(step)
        if cells is None:
            raise UserError(
                f"there is no numeric column {step!r} for the steps.{nearest(step, [*columns, *lines.counters])}"
            )
        steps = _whole(cells, lines.rows)
    else:
        steps, total = _steps(lines, counters, columns, notes)
    kept = {}
    clocks = {f"speed/{n}": c for n, c in (*lines.clocks.items(), *lines.counters.items()) if n not in BATCHES}
    for name, column in (*columns.items(), *clocks.items()):
        at, values = np.array(column.at), np.array(column.values, dtype=float)
        kept[name] = rising(steps[at], values)
    return Log("text", kept, notes, total)


def _whole(column: _Column, rows: int) -> np.ndarray:
    """Return a value for each row: that of the row, or of the last row before it that has one."""
    at, values = np.array(column.at), np.array(column.values, dtype=float)
    where = np.searchsorted(at, np.arange(rows), side="right") - 1
    return np.asarray(values[np.maximum(where, 0)], dtype=float)


def _steps(
    lines: _Lines, counters: dict[str, np.ndarray], columns: dict[str, _Column], notes: list[str]
) -> tuple[np.ndarray, int | None]:
    """Return the step of each row, and the planned number of steps if the log says it."""
    counted = lines.thinning.count(lines.rows) + 1.0
    fullest = np.array(max((c.at for c in columns.values()), key=len, default=array("q")))
    epoch, batch = counters.get("epoch"), counters.get("batch", counters.get("place"))
    inner = "batch" if "batch" in counters else "place"
    if batch is not None and np.mean(batch[fullest] == lines.most.get(inner, -1)) > 0.9:
        batch = None  # the last line of each progress bar
    for name in sorted(
        (n for n in counters if n not in ("epoch", "batch", "place")), key=lambda n: -len(lines.counters[n].at)
    ):
        values, back = counters[name], _falls(counters[name])
        if epoch is not None and len(back) and np.mean(epoch[back] > epoch[back - 1]) > 0.9:
            return _joined(epoch, values, notes, name), None
        if len(np.unique(values[fullest])) < 0.5 * min(len(fullest), 200):
            continue
        if not len(back):
            return values, _end(lines, name)
        if len(back) <= 8 and not _falls_everywhere(values):
            return _last_run(lines, columns, values, back, notes, name), _end(lines, name)
    if epoch is not None and batch is not None and len(np.unique(batch)) > 1:
        back = _falls(epoch)
        if len(back) and len(back) <= 8:
            epoch = _last_run(lines, columns, epoch, back, notes, "epoch")
        per = lines.most.get(inner, float(np.max(batch)) + 1) or 1.0
        ends = lines.most.get("epoch")
        steps = np.maximum.accumulate((epoch - np.min(epoch)) * per + np.minimum(batch, per))
        return _spread(steps), int(ends * per) if ends and ends < MOST_EPOCHS else None
    if batch is not None and not len(_falls(batch)):
        return batch, _end(lines, inner)
    if epoch is not None and len(np.unique(epoch)) > 1:
        back = _falls(epoch)
        if len(back) and len(back) <= 8:
            epoch = _last_run(lines, columns, epoch, back, notes, "epoch")
        if not len(_falls(epoch)):
            times = len(fullest) / max(1, len(np.unique(epoch[fullest])))
            if times > 1.5:
                notes.append("several lines have the same epoch, so lines were counted")
                return counted, None
            return epoch, _end(lines, "epoch")
    notes.append("no name counts steps, so lines were counted")
    return counted, None


def _end(lines: _Lines, name: str) -> int | None:
    most = lines.most.get(name)
    return int(most) if most and (name != "epoch" or most < MOST_EPOCHS) else None


def _falls(values: np.ndarray) -> np.ndarray:
    return np.flatnonzero(np.diff(values) < 0) + 1


def _falls_everywhere(values: np.ndarray) -> bool:
    return len(_falls(values)) > 0.2 * len(values)


def _joined(epoch: np.ndarray, inner: np.ndarray, notes: list[str], name: str) -> np.ndarray:
    width = float(inner.max() - inner.min() + 1)
    notes.append(f"{name} restarts in every epoch, so steps are epoch x {width:.0f} + {name}")
    return np.maximum.accumulate((epoch - epoch.min()) * width + inner)


def _last_run(
    lines: _Lines, columns: dict[str, _Column], values: np.ndarray, back: np.ndarray, notes: list[str], name: str
) -> np.ndarray:
    """Keep the newest of several runs in one log, or the resumed run in place of what it repeats."""
    begin = int(back[-1])
    if values[begin] <= values[0] + 0.05 * (values.max() - values[0]) and len(values) - begin >= 8:
        notes.append(f"{name} starts anew {len(back)} times: the log holds several runs, and the newest is judged")
        for key in list(columns):
            at = np.array(columns[key].at)
            keep = at >= begin
            if not keep.any():
                del columns[key]
            else:
                left = np.array(columns[key].values)[keep]
                columns[key] = _Column(array("q", at[keep].tolist()), array("d", left.tolist()))
        return np.where(np.arange(len(values)) < begin, values[begin], values)
    notes.append(f"{name} decreases at line {begin + 1}: steps that a resumed run repeated replace the earlier ones")
    return values


def _spread(steps: np.ndarray) -> np.ndarray:
    """Return steps that rise by a fraction where several rows have the same one."""
    first = np.concatenate([[True], np.diff(steps) > 0])
    place = np.arange(len(steps)) - np.maximum.accumulate(np.where(first, np.arange(len(steps)), 0))
    return steps + place * 1e-6
