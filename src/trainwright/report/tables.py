"""Tables as text: aligned columns for a terminal, Markdown for a page."""

from collections.abc import Sequence


def aligned(heads: Sequence[str], rows: Sequence[Sequence[object]]) -> str:
    """Return rows under their heads in aligned columns, separated by two spaces; None is an empty cell."""
    from tabulate import tabulate

    text = tabulate(rows, heads, tablefmt="plain", disable_numparse=True, missingval="")
    return "\n".join(line.rstrip() for line in text.splitlines())


# kept: tabulate's formats pad every cell to its column, so one new number would rewrite a whole table of a committed page
def markdown(heads: Sequence[str], rows: Sequence[Sequence[object]]) -> str:
    """Return a Markdown table that ends with a newline; a bar within a cell becomes a slash."""
    lines = [_line(heads), "|" + "---|" * len(heads), *map(_line, rows)]
    return "\n".join(lines) + "\n"


def _line(cells: Sequence[object]) -> str:
    return "| " + " | ".join(str(cell).replace("|", "/") for cell in cells) + " |"
