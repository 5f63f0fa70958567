"""A treatment judges by quality and not by silence, changes one thing at a time, and takes the same decisions again after a crash."""

from dataclasses import replace

import pytest

from tests.conftest import quick_config
from trainwright.engine.display import Silent
from trainwright.runs.folder import Run
from trainwright.studies import treatment as module
from trainwright.studies.executors.inline import InlineExecutor
from trainwright.studies.jobs import Job, Result, config_of
from trainwright.studies.quality import Quality
from trainwright.studies.scheduler import drive
from trainwright.studies.study import Study
from trainwright.studies.summary import of_treatment
from trainwright.studies.treatment import Limits, Treatment, candidates

BROKEN = (
    "steps=60",
    "lr_g=0.0",
    "validate_every=4",
    "log_every=2",
    "checkpoint_every=10",
    "sample_every=30",
    "threads=1",
)


@pytest.fixture
def broken(sprites):
    """A generator whose rate is 0: the doctor is certain of it at once."""
    return quick_config("wgan_gp/tiny", sprites, *BROKEN)


def treat(broken, folder, stop=lambda: False, **options):
    family, config = broken
    book = Study(folder)
    book.open("treatment", {"title": "a treatment"})
    reported = []
    made = Treatment(family, config, book.runs, reported=reported.append, **options)
    try:
        over = drive(made, InlineExecutor(Silent(), stop), book)
    finally:
        book.close()
    return made, over, reported


def test_a_frozen_generator_is_mended_by_its_rate_and_the_child_runs_to_its_end(broken, tmp_path):
    made, over, reported = treat(broken, tmp_path / "study")
    first = made.attempts[0].result
    assert over and first.status == "stopped" and first.symptoms[0] == "frozen_network"
    assert first.step < 60  # it did not wait for the end
    assert made.attempts[1].remedy.causes and "lr_zero" in made.attempts[1].remedy.causes
    settings = config_of(broken[0], made.winner.job.settings)
    assert settings.optim.lr_g > 0
    assert Run(tmp_path / "study" / "runs" / made.winner.job.name).read()["parent"] is not None
    assert [a.job.name for a in reported] == [a.job.name for a in made.attempts]
    table = of_treatment(made)
    assert table["rows"][0]["outcome"] == "sick" and table["rows"][1]["change"]


def test_the_same_decisions_are_taken_again_without_training_anything(broken, tmp_path, monkeypatch):
    made, _, _ = treat(broken, tmp_path / "study")
    monkeypatch.setattr("trainwright.studies.executors.inline.work", None)  # calling it would fail
    again, over, _ = treat(broken, tmp_path / "study")
    assert over
    assert [(a.job, a.kept, a.because) for a in again.attempts] == [(a.job, a.kept, a.because) for a in made.attempts]


def test_one_that_was_interrupted_goes_on_to_the_same_end(broken, tmp_path):
    made, _, _ = treat(broken, tmp_path / "one")
    drives = 0
    for left in (1, 3, 9, 27, 40, 40, 40, 1000, 1000):
        drives += 1

        def stop():
            nonlocal left
            left -= 1
            return left < 0

        again, over, _ = treat(broken, tmp_path / "two", stop)
        if over:
            break
    assert over and drives > 3
    assert [(a.job.name, a.kept) for a in again.attempts] == [(a.job.name, a.kept) for a in made.attempts]
    assert again.winner.result.score == made.winner.result.score


def attempt(name, **result):
    found = Result(**{"status": "finished", "verdict": "healthy", "step": 100, **result})
    job = Job(name, name, "wgan_gp", {})
    return module.Attempt(job, None, "", found)


SICK = {"status": "stopped", "verdict": "sick", "symptoms": ("mode_collapse",)}


@pytest.mark.parametrize(
    "child, parent, levels, grade",
    [
        ({}, SICK, (0.9, 0.1), "recovered"),
        ({}, SICK, (0.1, 0.1), "no better"),  # the alarm went quiet and nothing else
        ({}, SICK, (0.5, 0.5), "recovered"),  # silent, and as good as real data half are
        ({}, SICK, (0.2, 0.6), "no better"),
        (SICK, SICK, (0.5, 0.1), "better"),
        (SICK, SICK, (0.11, 0.1), "no better"),
        (
            {**SICK, "symptoms": ("blur",), "step": 300},
            SICK,
            (0.1, 0.1),
            "better",
        ),  # the first trouble is gone for long
        ({**SICK, "symptoms": ("blur",), "step": 120}, SICK, (0.1, 0.1), "no better"),
        ({**SICK, "symptoms": ("blur",), "step": 300}, SICK, (0.1, 0.4), "no better"),
    ],
)
def test_a_child_is_judged_by_its_quality_beside_its_parent(
    broken, tmp_path, monkeypatch, child, parent, levels, grade
):
    made = Treatment(*broken, tmp_path)
    known = dict(zip(("child", "parent"), levels, strict=True))
    monkeypatch.setattr(made, "_quality", lambda a, step=None: Quality(known[a.job.name], {"x": known[a.job.name]}))
    assert made._compare(attempt("child", **child), attempt("parent", **parent))[0] == grade


def test_what_was_never_measured_is_better_than_nothing_only_if_it_was_measured():
    nothing = Quality(float("nan"), {})
    assert Quality(0.1, {"x": 0.1}).clearly_above(nothing)
    assert not nothing.clearly_above(nothing)
    assert not nothing.clearly_above(Quality(0.1, {"x": 0.1}))


def test_no_change_is_tried_twice_and_the_limits_hold(broken, tmp_path):
    made, over, _ = treat(broken, tmp_path / "study", limits=Limits(attempts=0))
    assert over and not made.recovered
    assert [a.job.name for a in made.attempts] == ["00-untreated", "01-final"]
    assert made.ending == "0 remedies were tried"
    assert made.attempts[1].result.status == "finished"  # the best run is finished all the same
    few, _, _ = treat(broken, tmp_path / "few", limits=Limits(steps=70))
    assert few.ending == "the budget is spent"
    tried = set()
    for a in (made.attempts[0], *few.attempts[:1]):
        tried.add(repr(sorted(a.job.settings["optim"].items(), key=str)))
    assert len(tried) == 1


def test_contradicted_remedies_come_last_and_what_is_to_be_done_by_hand_does_not_come():
    result = Result("stopped", "sick", symptoms=("mode_collapse",), causes=("too_few_critic_steps",))
    order = candidates("wgan_gp", result)
    marks = [r.evidence == "contradicted" for r in order]
    assert marks == sorted(marks) and any(marks)
    assert all(r.change for r in order)
    assert replace(result, causes=()).causes == ()
