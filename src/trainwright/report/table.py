"""The experiment table of several runs: what their families read off their signals, as Markdown."""

from collections.abc import Sequence

from trainwright.registry import family
from trainwright.runs.folder import Run, read_lines


def rows_of(runs: Sequence[Run]) -> list[dict[str, str]]:
    """One row of named cells for each run.

    Raises:
        UserError: a folder is no run.
    """
    found = []
    for run in runs:
        facts = run.read()
        read = family(facts["family"], str(run.folder)).read()
        cells = read(read_lines(run.metrics), run.events()) if read else {"status": facts["status"]}
        found.append({"config": facts["recipe"].split("/")[-1], "run": run.name, **cells})
    return found


def markdown(rows: Sequence[dict[str, str]]) -> str:
    """A table with every column that any row has, in the order of first use."""
    columns = list(dict.fromkeys(name for row in rows for name in row))
    lines = ["| " + " | ".join(columns) + " |", "|" + "---|" * len(columns)]
    lines += ["| " + " | ".join(row.get(name, "").replace("|", "/") for name in columns) + " |" for row in rows]
    return "\n".join(lines) + "\n"
