"""An entry of the array cache is made once, whole or not at all, and a changed file is noticed."""

import threading

import numpy as np
import pytest

from trainwright.data import array_cache
from trainwright.data.array_cache import cached
from trainwright.errors import UserError


@pytest.fixture(autouse=True)
def cache(tmp_path, monkeypatch):
    monkeypatch.setenv("TRAINWRIGHT_CACHE", str(tmp_path))
    return tmp_path / "arrays"


def test_rows_come_back_as_written_with_facts_and_read_only():
    def make(writer):
        for start in range(0, 6, 2):
            writer.append("a", np.arange(start, start + 2, dtype=np.float16)[:, None])
        writer.append("b", np.ones((3, 2, 2), ">i4"))
        writer.append("b", np.ones((3, 2, 2), ">i4"))
        writer.truncate("b", 4)
        writer.append("b", np.zeros((1, 2, 2), ">i4"))
        writer.truncate("absent", 0)
        return {"names": ["x"]}

    for entry in (cached("kind", "key", make), cached("kind", "key", None)):  # the second one makes nothing
        assert entry.facts == {"names": ["x"]}
        np.testing.assert_array_equal(entry.arrays["a"], np.arange(6, dtype=np.float16)[:, None])
        assert entry.arrays["b"].dtype == "<i4" and entry.arrays["b"][:, 0, 0].tolist() == [1, 1, 1, 1, 0]
        with pytest.raises(ValueError, match="read-only"):
            entry.arrays["a"][0] = 1


def test_rows_of_another_shape_or_a_failure_leave_nothing(cache):
    def unlike(writer):
        writer.append("a", np.zeros((1, 2)))
        writer.append("a", np.zeros((1, 3)))
        return {}

    with pytest.raises(ValueError, match="another type or shape"):
        cached("kind", "key", unlike)
    assert list((cache / "kind").iterdir()) == []


@pytest.mark.parametrize("damage", ["byte", "size", "index"])
def test_a_damaged_entry_is_named(cache, damage, monkeypatch):
    def make(writer):
        writer.append("a", np.arange(8))
        return {}

    cached("kind", "key", make)
    file = cache / "kind" / "key" / ("index.json" if damage == "index" else "a.bin")
    content = bytearray(file.read_bytes())
    if damage == "size":
        content = content[:-1]
    else:
        content[3] ^= 1
    file.write_bytes(bytes(content))
    with pytest.raises(UserError, match=r"kind/key is damaged; remove that folder"):
        cached("kind", "key", make)
    if damage == "byte":
        monkeypatch.setattr(array_cache, "CHECKED", 0)  # as for an array too large to be read on every start
        cached("kind", "key", make)


def test_of_several_that_need_an_entry_one_makes_it():
    made = []

    def make(writer):
        made.append(threading.get_ident())
        writer.append("a", np.zeros(4))
        return {}

    threads = [threading.Thread(target=cached, args=("kind", "key", make)) for _ in range(4)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert len(made) == 1
