"""Table of several runs in Markdown: levels of their families' signals, and the doctor's diagnosis."""

from collections.abc import Sequence

from trainwright.catalog import family
from trainwright.diagnosis.doctor import examine
from trainwright.diagnosis.input import open_input
from trainwright.report import tables
from trainwright.runs.folder import Run


def rows_of(runs: Sequence[Run]) -> list[dict[str, str]]:
    """Return one row of named cells for each run.

    Raises:
        UserError: a folder is not a run.
    """
    found = []
    for run in runs:
        facts = run.read()
        read = family(facts["family"], str(run.folder)).read()
        cells = read(run.rows(), run.events()) if read else {"status": facts["status"]}
        found.append({"config": facts["recipe"].split("/")[-1], "run": run.name, **cells, "doctor": _doctor(run)})
    return found


def _doctor(run: Run) -> str:
    """Return the verdict, with each alarm and its likeliest cause."""
    examined = examine(open_input(run.folder, {}).history)
    alarms = [
        f"{d.symptom.title}, because {d.causes[0].cause.title}" if d.causes else d.symptom.title
        for d in examined.alarms
    ]
    return f"{examined.verdict}: {'; '.join(alarms)}" if alarms else examined.verdict


def markdown(rows: Sequence[dict[str, str]]) -> str:
    """Return a table with every column that any row has, in the order of first use."""
    columns = list(dict.fromkeys(name for row in rows for name in row))
    return tables.markdown(columns, [[row.get(name, "") for name in columns] for row in rows])
