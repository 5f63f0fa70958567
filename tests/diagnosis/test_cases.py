"""Every symptom on the signals of a real run that has it, and silence on real healthy twins that look odd."""

import gzip
import json
from pathlib import Path

import numpy as np
import pytest

from trainwright.diagnosis.doctor import examine
from trainwright.diagnosis.history import History, Series
from trainwright.diagnosis.signal_names import derive

CASES = json.loads(gzip.decompress((Path(__file__).parent / "cases.json.gz").read_bytes()))
SICK = [c for c in CASES if c["symptom"]]
WELL = [c for c in CASES if not c["symptom"]]


def history(case) -> History:
    signals = {n: Series(np.array(s, dtype=float), np.array(v, dtype=float)) for n, (s, v) in case["signals"].items()}
    found = History(signals, case["settings"], case["facts"], case["total"])
    return derive(found) if case["foreign"] else found


@pytest.mark.parametrize("case", SICK, ids=lambda c: c["name"])
def test_the_fault_is_found_with_its_cause_among_the_first_three(case):
    whole, wanted = history(case), set(case["wanted"])
    for step in [*case["looks"], case["total"]]:
        found = [
            d
            for d in examine(whole.until(step)).findings
            if d.symptom.name in wanted and d.observation.severity != "note"
        ]
        if found:
            break
    assert found, f"silent although {case['symptom']} was injected"
    assert case["cause"] in [r.cause.name for d in found for r in d.causes[:3]]
    assert found[0].observation.evidence[0].sentence


@pytest.mark.parametrize("case", WELL, ids=lambda c: c["name"])
def test_the_healthy_twin_gets_no_alarm_at_any_look(case):
    whole = history(case)
    for step in [*case["looks"], case["total"]]:
        assert examine(whole.until(step)).alarms == (), case["odd"]


def test_every_symptom_that_these_families_can_have_is_among_the_cases():
    later = {"ball_boundary"}  # of a family that is not there yet
    later |= {
        "wiring",
        "off_data",
        "unbounded_loss",
        "vanishing_losses",
        "codebook_collapse",
        "trivial_baseline",
    }  # of public loops
    later |= {"diverging", "worse_than_baseline"}  # of public logs
    from trainwright.diagnosis.symptoms import symptoms

    assert symptoms().keys() - {c["symptom"] for c in SICK} <= later
