"""Columns are aligned, empty cells stay empty, and Markdown keeps its columns whatever a cell holds."""

from trainwright.report.tables import aligned, markdown


def test_columns_are_as_wide_as_their_widest_cell():
    text = aligned(("name", "step"), [("a long name", "5/10"), ("b", None), ("007", "1e3")])
    assert text.splitlines() == ["name         step", "a long name  5/10", "b", "007          1e3"]


def test_a_bar_in_a_cell_does_not_make_a_column():
    assert markdown(("a", "b"), [("x|y", 1), ("", 2)]) == "| a | b |\n|---|---|\n| x/y | 1 |\n|  | 2 |\n"
