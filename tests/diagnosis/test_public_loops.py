"""The public loops are sound: every case has a source and a truth in the doctor's words, and both halves are split by source."""

import importlib
import json

import pytest

from benchmarks.public.case import Case
from benchmarks.public.run import LATER, SPLIT, names, source_of, split
from trainwright.diagnosis.kinds import KINDS
from trainwright.diagnosis.symptoms import symptoms

FURTHER = {"state_leak", "dead_units"}  # symptoms that the doctor does not have


@pytest.mark.parametrize("name", names())
def test_a_case_says_where_it_comes_from_and_what_is_true(name):
    module = importlib.import_module(f"benchmarks.public.loops.{name}")
    case = module.CASE
    assert isinstance(case, Case) and case.kind in KINDS and case.cause.isidentifier()
    assert set(case.symptoms) <= set(symptoms()) | FURTHER
    assert "Source:" in module.__doc__ and len(case.source) > 5
    assert callable(module.loop)


def test_each_source_is_in_one_half():
    halves = json.loads(SPLIT.read_text())
    sets = [{source_of(name) for name in split()[part]} for part in LATER]
    later = {name for part in LATER for name in split()[part]}
    assert sum(map(len, sets)) == len(set().union(*sets))
    assert {source_of(name) for name in names() if name not in later} <= set(halves)
    assert {source_of(name) for name in later}.isdisjoint(halves)
    assert set(halves.values()) == {"tuning", "frozen"}
