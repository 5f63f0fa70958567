"""The tables of a run that grow line by line; a resumed run first truncates them to its checkpoint."""

import csv
import io
import json
from pathlib import Path

from trainwright.files import write_text
from trainwright.runs.folder import Run, append_line, read_lines


class MetricsLog:
    """``metrics.jsonl`` and ``losses.csv`` of one run."""

    def __init__(self, run: Run, columns: dict[str, str]) -> None:
        self.run, self.columns = run, columns

    def row(self, step: int, epoch: float, signals: dict[str, float]) -> None:
        """Append the means of the signals since the last row, up to and including ``step``."""
        append_line(self.run.metrics, {"step": step, "epoch": round(epoch, 6), **signals})

    def epoch(self, epoch: int, step: int, means: dict[str, float]) -> None:
        """Append an epoch's means to ``losses.csv`` with six decimals, as the guides' programs write them."""
        if not self.columns:
            return
        values = [means.get(signal) for signal in self.columns.values()]
        if all(v is None for v in values):
            return
        new = not self.run.losses.exists()
        with self.run.losses.open("a", newline="", encoding="utf-8") as handle:
            writer = csv.writer(handle)
            if new:
                writer.writerow(["epoch", *self.columns, "step"])
            writer.writerow([epoch, *("" if v is None else f"{v:.6f}" for v in values), step])

    def cut_back(self, step: int) -> None:
        """Drop rows after ``step``, because those steps are repeated with the same numbers."""
        rows = [row for row in read_lines(self.run.metrics) if row.get("step", 0) <= step]
        if self.run.metrics.exists():
            write_text(self.run.metrics, "".join(json.dumps(row) + "\n" for row in rows))
        if self.run.losses.exists():
            write_text(self.run.losses, _kept(self.run.losses, step))


def _kept(file: Path, step: int) -> str:
    out = io.StringIO(newline="")
    writer = csv.writer(out)
    with file.open(newline="", encoding="utf-8") as handle:
        for number, row in enumerate(csv.reader(handle)):
            complete = row and row[-1].isdigit()
            if number == 0 or (complete and int(row[-1]) <= step):
                writer.writerow(row)
    return out.getvalue()
