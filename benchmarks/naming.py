"""A blind naming test: samples of a run and held-out images, mixed and numbered, are named by readers.

``python -m benchmarks.naming sheets RUN`` draws the sheets into ``runs/naming``. A reader is a person or a vision model that sees only
the sheets. It writes ``{"1": "winking face", "2": null, ...}``: a name that another reader would give too, or null. Then
``python -m benchmarks.naming count RUN A.json B.json`` counts the names of two readers, and writes ``results/naming.json``.
"""

import argparse
import json
import random
from pathlib import Path

import torch
from PIL import Image, ImageDraw

from benchmarks.diffusion import opened
from benchmarks.results_io import row, write
from trainwright.data.images import to_bytes
from trainwright.runs.folder import Run

HOME = Path("runs/naming")
MADE, REAL, SEED = 64, 32, 2
COLUMNS, ROWS, CELL, GAP, HEAD = 8, 4, 128, 22, 30  # of a sheet; sizes in pixels
Key = list[tuple[str, int]]


def order() -> Key:
    """Return (kind, index) of each cell, in the order of the numbers on the sheets."""
    cells = [("made", i) for i in range(MADE)] + [("real", i) for i in range(REAL)]
    random.Random(5).shuffle(cells)
    return cells


def sheets(run: Run) -> None:
    """Draw the sheets; the same numbers mean the same images each time."""
    model, data = opened(run)
    held = data.images("held_out", 10_000)
    chosen = torch.randperm(len(held), generator=torch.Generator().manual_seed(3))[:REAL]
    images = {"made": torch.cat(list(model.samples(MADE, SEED))), "real": held[chosen]}
    HOME.mkdir(parents=True, exist_ok=True)
    cells, each = order(), COLUMNS * ROWS
    for page in range(len(cells) // each):
        size = (COLUMNS * (CELL + GAP), ROWS * (CELL + GAP + HEAD))
        sheet = Image.new("RGB", size, (200, 200, 200))
        draw = ImageDraw.Draw(sheet)
        for place, (kind, index) in enumerate(cells[page * each : (page + 1) * each]):
            left, top = (place % COLUMNS) * (CELL + GAP) + GAP // 2, (place // COLUMNS) * (CELL + GAP + HEAD)
            image = Image.fromarray(to_bytes(images[kind][index : index + 1])[0])
            sheet.paste(image.resize((CELL, CELL), Image.Resampling.BICUBIC), (left, top + HEAD))
            draw.text((left, top + 6), str(page * each + place + 1), fill=(0, 0, 0), font_size=18)
        sheet.save(HOME / f"sheet{page + 1}.png")


def count(run: Run, readers: list[Path]) -> None:
    """Write the number of cells of each kind that both readers named, and named alike, together with the words."""
    answers = [json.loads(file.read_text(encoding="utf-8")) for file in readers]
    named: dict[str, list[list[str]]] = {"made": [], "real": []}
    for number, (kind, _) in enumerate(order(), 1):
        said = [answer[str(number)] for answer in answers]
        if all(said):
            named[kind].append(said)
    rows = []
    for kind, label, total in (("made", "samples", MADE), ("real", "held-out images", REAL)):
        alike = sum(first == second for first, second in named[kind])
        found = {"both readers name": len(named[kind]), "both name with the same words": alike}
        rows += [
            row(f"{label} that {what}", value, f"of {total}", None, "higher", total, None)
            for what, value in found.items()
        ]
    print(write("naming", "python -m benchmarks.naming count", rows, recipe=run.read()["recipe"], named=named))


def main() -> None:
    """Draw the sheets or count the names."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("what", choices=["sheets", "count"])
    parser.add_argument("run", type=Path)
    parser.add_argument("readers", type=Path, nargs="*", help="the two readers' answers")
    given = parser.parse_args()
    if given.what == "sheets":
        sheets(Run(given.run))
    elif len(given.readers) == 2:
        count(Run(given.run), given.readers)
    else:
        parser.error("count needs the answers of two readers")


if __name__ == "__main__":
    main()
