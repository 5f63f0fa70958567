"""Puts the tables of ``benchmarks/results`` into README and docs.

A table stands between ``<!-- table: NAME -->`` and ``<!-- end table -->``. The experiment table of a result, if it has one, stands
between ``<!-- runs: NAME -->`` and ``<!-- end runs -->``.

``python -m benchmarks.tables`` rewrites the files. A test fails if a table differs from its result.
"""

import json
import re
from pathlib import Path

from benchmarks.results_io import RESULTS
from trainwright.report.run_table import markdown

ROOT = RESULTS.parent.parent
RUNS = re.compile(r"(<!-- runs: (\w+) -->\n).*?(<!-- end runs -->)", re.DOTALL)
MARK = re.compile(r"(<!-- table: (\w+) -->\n).*?(<!-- end table -->)", re.DOTALL)


def table(name: str) -> str:
    """Return the Markdown table of one result, with its command, date and machine."""
    result = json.loads((RESULTS / f"{name}.json").read_text())
    lines = ["| metric | value | target | n | spread |", "|---|---|---|---|---|"]
    for r in result["rows"]:
        target = "" if r["target"] is None else f"{'≥' if r['better'] == 'higher' else '≤'} {r['target']}"
        spread = "" if r["spread"] is None else r["spread"]
        lines.append(f"| {r['metric']} | {r['value']} {r['unit']} | {target} | {r['n']} | {spread} |")
    return "\n".join([*lines, "", f"`{result['command']}`, {result['date']}, {result['machine']}.", ""])


def experiments(name: str) -> str:
    """Return the experiment table of one result, with its command, date and machine."""
    result = json.loads((RESULTS / f"{name}.json").read_text())
    rows = [{k: v for k, v in row.items() if k != "run"} for row in result["table"]]
    return f"{markdown(rows)}\n`{result['command']}`, {result['date']}, {result['machine']}.\n"


def filled(text: str) -> str:
    """Return ``text`` with every marked table generated again."""
    text = MARK.sub(lambda m: m[1] + table(m[2]) + m[3], text)
    return RUNS.sub(lambda m: m[1] + experiments(m[2]) + m[3], text)


def pages() -> list[Path]:
    """Return every page that may hold tables."""
    return [ROOT / "README.md", *sorted((ROOT / "docs").glob("*.md"))]


def main() -> None:
    """Rewrite the pages."""
    for page in pages():
        page.write_text(filled(page.read_text()))


if __name__ == "__main__":
    main()
