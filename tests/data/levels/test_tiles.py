"""Reading text levels: what is a level and what is not, errors by file and line, digests that symmetric copies share."""

import gzip

import numpy as np
import pytest

from trainwright.data.levels.sokoban import checks
from trainwright.data.levels.tiles import (
    FLOOR,
    OUTSIDE,
    Level,
    board_text,
    canonical,
    digest,
    place,
    read,
    symmetries,
)
from trainwright.data.split import split
from trainwright.errors import UserError

ROOM = "####\n#@ #\n#$.#\n####\n"
CORNER = " ####\n##  #\n#@$.#\n#####\n"


def write(path, text):
    path.parent.mkdir(parents=True, exist_ok=True)
    path.write_text(text, encoding="utf-8", newline="")
    return str(path)


def texts(source, **options):
    return [board_text(level.rows, **options) for level in read(str(source), **options)]


@pytest.fixture(scope="module")
def packaged():
    return read("sokoban")


def test_the_921_packaged_levels_are_read_and_every_one_keeps_the_rules(packaged):
    assert len(packaged) == 921
    assert packaged[0].name == "gri0001 | Bardak #01"
    assert packaged[-1].name == "sasquatch09_0050"
    result = checks(np.stack([place(level, 47, 47) for level in packaged]))
    assert result["one_player"].all()
    assert result["boxes_match"].all()
    assert result["closed"].sum() == 921  # every one
    assert result["reachable"].sum() == 911  # ten have finished boxes walled in


def test_packaged_levels_that_fit_a_canvas(packaged):
    fits = [sum(place(level, side, side) is not None for level in packaged) for side in (8, 10, 12)]
    assert fits == [72, 276, 492]


def test_no_packaged_level_is_a_symmetric_copy_of_another(packaged):
    assert len({digest(level.rows) for level in packaged}) == 921


def test_a_packaged_level_printed_is_read_as_itself(packaged, tmp_path):
    source = write(tmp_path / "all.txt", "\n\n".join(board_text(level.rows) for level in packaged))
    assert all(np.array_equal(a.rows, b.rows) for a, b in zip(packaged, read(source), strict=True))


def test_ragged_rows_are_outside_beyond_the_wall_and_floor_within(tmp_path):
    source = write(tmp_path / "a.txt", "  ####\n###  #\n#@ $.##\n###   #\n  #####\n")
    assert texts(source) == ["__####_\n###  #_\n#@ $.##\n###   #\n__#####"]


def test_indentation_and_margins_do_not_change_a_level(tmp_path):
    source = write(tmp_path / "a.txt", "   ####  \n   #@ #\n   #$.#\n   ####\n")
    assert texts(source) == [ROOM.strip()]


def test_dash_and_underscore_are_floor(tmp_path):
    assert texts(write(tmp_path / "a.txt", CORNER.replace(" ", "-"))) == texts(write(tmp_path / "b.txt", CORNER))
    assert texts(write(tmp_path / "c.txt", CORNER.replace(" ", "_"))) == texts(tmp_path / "b.txt")


def test_windows_line_ends_and_a_byte_order_mark(tmp_path):
    assert texts(write(tmp_path / "a.txt", "\ufeff" + ROOM.replace("\n", "\r\n"))) == [ROOM.strip()]


def test_an_open_level_is_read_and_its_floor_is_outside(tmp_path):
    level = read(write(tmp_path / "a.txt", "####\n#@  \n#$.#\n####\n"))[0]
    assert OUTSIDE in level.rows and FLOOR not in level.rows


@pytest.mark.parametrize(
    "around",
    [
        "{0}\n{1}",
        "{0}\n \n\n{1}",
        "Collection by somebody\n\nLevel 1\n{0}\nLevel 2\n\n{1}",
        "{0}Title: First #1\nAuthor: Jörg\n\n{1}Title: Second",
        "Title: First\n{0}; 2\n{1}",
        "1\n{0}\n2\n{1}\nThe end.",
    ],
)
def test_two_levels_whatever_stands_around_them(tmp_path, around):
    assert texts(write(tmp_path / "a.xsb", around.format(ROOM, CORNER))) == [ROOM.strip(), "_####\n##  #\n#@$.#\n#####"]


@pytest.mark.parametrize(
    "text, names",
    [
        ("; head of the file\n\n; one\n; more\n" + ROOM + "\n; two\n" + ROOM, ["one", "two"]),
        ("; one\n" + ROOM + "; solution r\n\n; two\n" + ROOM, ["one", "two"]),
        ("; one\n\n" + ROOM + "; two\n" + ROOM, ["one", "two"]),
        ("; one\n" + ROOM + "; solution r\n\n" + ROOM, ["one", "a.sok:8"]),
    ],
)
def test_the_comment_before_a_level_names_it(tmp_path, monkeypatch, text, names):
    write(tmp_path / "a.sok", text)
    monkeypatch.chdir(tmp_path)
    assert [level.name for level in read("a.sok")] == names


def test_an_unknown_symbol_is_named_with_file_and_line(tmp_path):
    source = write(tmp_path / "odd.txt", "; fine\n" + ROOM + "\n####\n#@x#\n####\n")
    with pytest.raises(UserError, match=r"odd\.txt, line 8: unknown symbol 'x'; known are '# \$\.\*@\+'"):
        read(source)


def test_an_unknown_symbol_in_a_row_without_walls_is_not_taken_for_prose(tmp_path):
    with pytest.raises(UserError, match=r"line 3: unknown symbol 'x'"):
        read(write(tmp_path / "a.txt", "####\n#@ #\n  x\n####\n"))


def test_a_folder_is_read_through_its_subfolders_in_order(tmp_path):
    write(tmp_path / "b.XSB", ROOM)
    write(tmp_path / "a" / "deep" / "x.sok", CORNER)
    write(tmp_path / "a" / "image.png", "no level")
    write(tmp_path / ".hidden" / "c.txt", ROOM)
    write(tmp_path / "README.txt", "Levels from the web.")
    assert [level.name for level in read(str(tmp_path))] == [f"{tmp_path}/b.XSB:1", f"{tmp_path}/a/deep/x.sok:1"]


def test_a_gzip_file_is_read_alone_and_in_a_folder(tmp_path):
    (tmp_path / "a.txt.gz").write_bytes(gzip.compress(ROOM.encode()))
    assert texts(tmp_path) == texts(tmp_path / "a.txt.gz") == [ROOM.strip()]


@pytest.mark.parametrize(
    "data", [b"\x89PNG\xff\xfe\x00", "####é".encode("latin-1"), gzip.compress(b"#" * 999, mtime=0)[:-9]]
)
def test_a_file_that_is_not_text_is_named(tmp_path, data):
    (tmp_path / "photo.txt").write_bytes(data)
    with pytest.raises(UserError, match=r"photo\.txt is not a text file"):
        read(str(tmp_path))


def test_a_source_without_levels_says_what_was_looked_for(tmp_path):
    write(tmp_path / "README.txt", "Nothing here.\n-----\n")
    with pytest.raises(UserError, match=r"no levels in .*\*\.txt, \*\.sok, \*\.xsb"):
        read(str(tmp_path))
    with pytest.raises(UserError, match=r"Did you mean 'sokoban'"):
        read("sokobn")


def test_rows_in_an_own_alphabet_are_taken_as_they_are(tmp_path):
    source = write(tmp_path / "mario.txt", "; 1-1\n  o\n\n   \nXX:X\n; note\n\nTo: X\n")
    levels = read(source, symbols=" XoT:")
    assert [level.name for level in levels] == ["1-1", f"{source}:4", f"{source}:8"]
    assert [board_text(level.rows, " XoT:") for level in levels] == ["  o", "    \nXX:X", "To: X"]


def test_short_rows_in_an_own_alphabet_and_the_canvas_are_filled_with_the_first_symbol(tmp_path):
    level = read(write(tmp_path / "a.txt", "..E\nB\n"), symbols=".EB")[0]
    assert board_text(place(level, 3, 4, pad=0), ".EB") == "..E.\nB...\n...."


def test_a_space_that_is_no_symbol_is_an_error_and_a_line_of_spaces_is_blank(tmp_path):
    assert texts(write(tmp_path / "a.txt", "ab\n  \nba\n"), symbols="ab") == ["ab", "ba"]
    with pytest.raises(UserError, match="line 1: unknown symbol ' '"):
        read(write(tmp_path / "b.txt", "a b\n"), symbols="ab")


@pytest.mark.parametrize("symbols", ["", "a", "aba", "a;b", "a\tb"])
def test_an_alphabet_that_cannot_be_read_is_refused(symbols):
    with pytest.raises(UserError, match="symbols"):
        read("sokoban", symbols=symbols)


def test_a_level_is_placed_in_the_middle_or_not_at_all(tmp_path):
    level = read(write(tmp_path / "a.txt", ROOM))[0]
    assert board_text(place(level, 5, 6)) == "_####_\n_#@ #_\n_#$.#_\n_####_\n______"
    assert place(level, 3, 9) is None
    assert place(level, 9, 3) is None


@pytest.mark.parametrize(
    "rows, count",
    [
        ([[1, 2], [3, 4]], 8),
        ([[1, 1], [1, 1]], 1),
        ([[1, 2], [2, 1]], 2),
        ([[1, 2, 3], [4, 5, 6]], 4),
        ([[1, 1, 1]], 1),
    ],
)
def test_symmetries_are_distinct_and_complete(rows, count):
    board = np.array(rows, np.uint8)
    forms = symmetries(board)
    assert forms.shape == (count, *board.shape)
    assert len({form.tobytes() for form in forms}) == count
    assert np.array_equal(forms[0], board)


@pytest.mark.parametrize("canvas", [(10, 10), (11, 13)])
def test_all_symmetric_copies_of_a_level_share_a_digest_and_a_side_of_the_split(packaged, canvas):
    boards = [board for level in packaged[181:241] if (board := place(level, *canvas)) is not None]
    groups = [[digest(form) for form in symmetries(board)] for board in boards]
    assert len(boards) > 20 and all(len(set(group)) == 1 for group in groups)
    assert len({group[0] for group in groups}) == len(boards)
    _, held_out = split([d for group in groups for d in group], 0.3)
    owner = np.repeat(np.arange(len(groups)), [len(group) for group in groups])
    assert all(np.isin(np.flatnonzero(owner == i), held_out).all() for i in set(owner[held_out]))


def test_a_mirrored_level_has_the_digest_of_the_first_although_an_odd_cell_of_room_is_on_its_right():
    rows = np.arange(6, dtype=np.uint8).reshape(2, 3)
    first, mirrored = (place(Level("", form), 4, 4) for form in (rows, np.fliplr(rows)))
    assert not any(np.array_equal(form, mirrored) for form in symmetries(first))
    assert digest(first) == digest(mirrored) == digest(rows)


def test_boards_of_other_shape_or_content_have_other_digests():
    boards = [np.full(shape, 1, np.uint8) for shape in ((2, 6), (3, 4), (1, 12))]
    assert len({digest(board) for board in boards}) == 3
    assert digest(boards[0]) == digest(boards[0].T) == digest(boards[0].astype(np.int64))
    assert canonical(np.full((3, 3), OUTSIDE, np.uint8)) == canonical(np.full((9, 2), OUTSIDE, np.uint8))


def test_one_level_in_two_files_has_one_digest(tmp_path):
    write(tmp_path / "a.txt", "; mine\n" + CORNER)
    write(tmp_path / "b.sok", "Title: yours\n" + CORNER.replace(" ", "-"))
    first, second = read(str(tmp_path))
    assert digest(first.rows) == digest(second.rows)
