"""Tables of ``benchmarks/results`` in README and docs.

``<!-- table: NAME -->`` ... ``<!-- end table -->`` holds the figures of a result, or of a selection from ``SELECTIONS``.
``<!-- runs: NAME -->`` ... ``<!-- end runs -->`` holds its experiment table.

``python -m benchmarks.tables`` rewrites the pages; a test refuses a table that differs from its result.
"""

import json
import re
from pathlib import Path

from benchmarks.results_io import RESULTS
from trainwright.report.run_table import markdown

ROOT = RESULTS.parent.parent
RUNS = re.compile(r"(<!-- runs: (\w+) -->\n).*?(<!-- end runs -->)", re.DOTALL)
MARK = re.compile(r"(<!-- table: (\w+) -->\n).*?(<!-- end table -->)", re.DOTALL)

# selection -> (result, metric of a row -> its name in the short table)
SELECTIONS = {
    "speed_short": (
        "speed",
        {
            "small: speed ratio to the bare loop": "WGAN-GP, 64 pixels",
            "sequence_vae: speed ratio to the bare loop": "LSTM VAE on levels, its guide's full size",
            "unet_96: speed ratio to the bare loop": "diffusion UNet, 96 channels",
        },
    ),
    "wgan_gp_sprites": (
        "diffusion",
        {
            "WGAN-GP small, one thread": "training time",
            "WGAN-GP: KID x1000": "KID x1000",
            "WGAN-GP: precision": "precision",
            "WGAN-GP: recall": "recall",
            "WGAN-GP: density": "density",
            "WGAN-GP: coverage": "coverage",
            "WGAN-GP: nearest training ratio": "nearest training ratio",
            "two halves of the real pictures: KID x1000": "two halves of the real images: KID x1000",
            "two halves of the real pictures: precision": "two halves of the real images: precision",
            "two halves of the real pictures: recall": "two halves of the real images: recall",
            "two halves of the real pictures: density": "two halves of the real images: density",
            "two halves of the real pictures: coverage": "two halves of the real images: coverage",
        },
    ),
    "wgan_gp_emoji": (
        "diffusion_emoji",
        {
            "WGAN-GP small, one thread": "training time",
            "WGAN-GP: KID x1000": "KID x1000",
            "WGAN-GP: precision": "precision",
            "WGAN-GP: recall": "recall",
            "WGAN-GP: density": "density",
            "WGAN-GP: coverage": "coverage",
            "WGAN-GP: nearest training ratio": "nearest training ratio",
            "two halves of the real pictures: KID x1000": "two halves of the real images: KID x1000",
            "two halves of the real pictures: precision": "two halves of the real images: precision",
            "two halves of the real pictures: recall": "two halves of the real images: recall",
            "two halves of the real pictures: density": "two halves of the real images: density",
            "two halves of the real pictures: coverage": "two halves of the real images: coverage",
        },
    ),
}


def table(name: str) -> str:
    """Return the Markdown table of one result, or of a selection of its rows, with its command, date and machine."""
    source, chosen = SELECTIONS.get(name, (name, None))
    result = json.loads((RESULTS / f"{source}.json").read_text())
    rows = result["rows"]
    if chosen is not None:
        by_metric = {r["metric"]: r for r in rows}
        rows = [by_metric[metric] | {"metric": short} for metric, short in chosen.items()]
    lines = ["| metric | value | target | n | spread |", "|---|---|---|---|---|"]
    for r in rows:
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
    """Return ``text`` with every marked table written again."""
    text = MARK.sub(lambda m: m[1] + table(m[2]) + m[3], text)
    return RUNS.sub(lambda m: m[1] + experiments(m[2]) + m[3], text)


def pages() -> list[Path]:
    """Return every page that may hold tables."""
    return [ROOT / "README.md", *sorted((ROOT / "docs").rglob("*.md"))]


def main() -> None:
    """Rewrite the pages."""
    for page in pages():
        page.write_text(filled(page.read_text()))


if __name__ == "__main__":
    main()
