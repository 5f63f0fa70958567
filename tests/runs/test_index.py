"""The index says what the folders say, is made anew when lost, and lists 10,000 runs."""

import json

import pytest

from trainwright.errors import UserError
from trainwright.runs.folder import Run, append_line, read_lines
from trainwright.runs.index import list_runs


def make(root, name, **facts):
    folder = root / name
    folder.mkdir(parents=True, exist_ok=True)
    (folder / "run.json").write_text(json.dumps({"format": 1, "created": "2026-01-01", "status": "finished", **facts}))


def test_new_changed_and_removed_runs_are_seen(tmp_path):
    make(tmp_path, "a", family="wgan_gp", step=3)
    make(tmp_path, "b", created="2026-02-01")
    assert [r["name"] for r in list_runs(tmp_path)] == ["b", "a"]
    Run(tmp_path / "a").update(step=9)
    (tmp_path / "b" / "run.json").unlink()
    assert [(r["name"], r["step"]) for r in list_runs(tmp_path)] == [("a", 9)]


@pytest.mark.parametrize("damage", ["delete", "garbage"])
def test_a_lost_or_damaged_index_is_rebuilt_from_the_folders(tmp_path, damage):
    make(tmp_path, "a", step=3)
    first = list_runs(tmp_path)
    index = tmp_path / ".index.sqlite"
    index.unlink() if damage == "delete" else index.write_bytes(b"garbage" * 999)
    assert list_runs(tmp_path) == first


def test_a_damaged_run_is_listed_as_unreadable(tmp_path):
    make(tmp_path, "a")
    (tmp_path / "a" / "run.json").write_text("{")
    assert list_runs(tmp_path)[0]["status"] == "unreadable"


def test_a_missing_root_is_explained(tmp_path):
    with pytest.raises(UserError, match="trainwright train"):
        list_runs(tmp_path / "none")


def test_a_line_cut_short_is_mended_and_passed_over(tmp_path):
    file = tmp_path / "events.jsonl"
    append_line(file, {"a": 1})
    with file.open("a") as handle:
        handle.write('{"b": ')
    append_line(file, {"c": 3})
    assert read_lines(file) == [{"a": 1}, {"c": 3}]
