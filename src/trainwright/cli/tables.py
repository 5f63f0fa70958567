"""Tables for a terminal, which wrap to its width, and for a pipe, where each row is one line."""

import sys
from collections.abc import Sequence

LONG = 500  # rows above which a table is aligned without rich, which takes 9 s for 10,000 rows (benchmarks/listing.py)


def print_table(heads: Sequence[str], rows: Sequence[Sequence[str]], title: str = "") -> None:
    """Print rows of cells under their heads, left-aligned."""
    if not sys.stdout.isatty() or len(rows) > LONG:
        print("\n".join([*([title] if title else []), *_aligned(heads, rows)]))
        return
    from rich.box import SIMPLE_HEAD
    from rich.console import Console
    from rich.table import Table
    from rich.text import Text

    table = Table(box=SIMPLE_HEAD, pad_edge=False, title=title or None, title_justify="left")
    for number, head in enumerate(heads):
        table.add_column(head, no_wrap=number == 0, overflow="fold")
    for row in rows:
        table.add_row(*(Text(cell) for cell in row))
    console = Console()
    with console.capture() as captured:
        console.print(table)
    print("\n".join(line.rstrip() for line in captured.get().splitlines()))


def _aligned(heads: Sequence[str], rows: Sequence[Sequence[str]]) -> list[str]:
    """Return lines with columns of equal width; a line break in a cell becomes a space."""
    cells = [[" ".join(cell.splitlines()) for cell in row] for row in (heads, *rows)]
    widths = [max(map(len, column)) for column in zip(*cells, strict=True)]
    return ["  ".join(cell.ljust(width) for cell, width in zip(row, widths, strict=True)).rstrip() for row in cells]
