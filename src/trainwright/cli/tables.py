"""Tables for a terminal, which wrap to its width, and for a pipe, where each row is one line."""

import sys
from collections.abc import Sequence

from rich.box import SIMPLE_HEAD
from rich.console import Console
from rich.table import Table
from rich.text import Text

ENDLESS = 2000  # columns of a pipe


def print_table(heads: Sequence[str], rows: Sequence[Sequence[str]], title: str = "") -> None:
    """Print rows of cells under their heads, left-aligned."""
    terminal = sys.stdout.isatty()
    table = Table(box=SIMPLE_HEAD if terminal else None, pad_edge=False, title=title or None, title_justify="left")
    for number, head in enumerate(heads):
        table.add_column(head, no_wrap=not terminal or number == 0, overflow="fold")
    for row in rows:
        table.add_row(*(Text(cell) for cell in row))
    console = Console(width=None if terminal else ENDLESS)
    with console.capture() as captured:
        console.print(table)
    print("\n".join(line.rstrip() for line in captured.get().splitlines()))
