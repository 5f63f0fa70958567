"""A job can be given again at any moment: what has ended is read, what was cut short goes on, a fork begins where its parent was."""

import itertools
from concurrent.futures import ProcessPoolExecutor
from dataclasses import replace
from multiprocessing import get_context
from pathlib import Path

import pytest
import torch

from tests.conftest import all_tensors, quick_config, signals
from trainwright.engine import checkpoint as checkpoints
from trainwright.runs.folder import Run
from trainwright.studies.executors.local import LocalExecutor
from trainwright.studies.jobs import Job, changed, work
from trainwright.studies.plan_runner import last_healthy


@pytest.fixture
def job(sprites, tmp_path):
    def make(name, *words, **more):
        family, config = quick_config("wgan_gp/tiny", sprites, "steps=12", "validate_every=4", *words)
        return Job(name, str(tmp_path / name), family.name, config.model_dump(mode="json"), **more)

    return make


def run_of(job):
    return Run(Path(job.folder))


def equal(one, two):
    a, b = all_tensors(run_of(one)), all_tensors(run_of(two))
    return a.keys() == b.keys() and all(torch.equal(a[k], b[k]) for k in a)


def test_a_job_that_pauses_and_goes_on_equals_one_that_does_not(job):
    whole, parts = job("whole"), job("parts", until=8)
    assert work(whole).status == "finished"
    first = work(parts)
    assert (first.status, first.step) == ("paused", 8)
    assert work(parts).step == 8  # given again it is only read
    last = work(replace(parts, until=None))
    assert (last.status, last.step, last.trained) == ("finished", 12, 12)
    assert equal(whole, parts)
    assert signals(run_of(whole)) == signals(run_of(parts))


def test_a_job_that_has_ended_is_not_trained_again(job, monkeypatch):
    one = job("one", hypothesis="it ends")
    before = work(one)
    monkeypatch.setattr("trainwright.engine.session.train", None)
    again = work(one)
    assert (again.status, again.step, again.score, again.levels) == (
        before.status,
        before.step,
        before.score,
        before.levels,
    )
    assert run_of(one).read()["hypothesis"] == "it ends"


def test_a_stop_that_comes_with_the_last_step_leaves_no_row_out(job):
    whole, late = job("whole"), job("late")
    work(whole)
    asked = itertools.count()  # once before the first step, then after every one
    assert work(late, stop=lambda: next(asked) >= 12).status == "finished"
    assert signals(run_of(whole)) == signals(run_of(late))


def test_workers_that_are_given_the_same_job_wait_for_each_other(job):
    one = job("one", "threads=1")
    with ProcessPoolExecutor(3, mp_context=get_context("spawn")) as pool:
        results = list(pool.map(work, [one] * 3))
    assert [(r.status, r.step) for r in results] == [("finished", 12)] * 3, [r.reason for r in results]
    assert sorted(r.trained for r in results) == [12, 12, 12]


def test_a_worker_whose_driver_went_while_it_waited_trains_nothing(job):
    one = job("one")
    assert work(one, stop=lambda: True).status == "interrupted"
    assert not run_of(one).exists


def test_a_fork_goes_on_from_its_parents_checkpoint_and_counts_its_own_steps(job, tmp_path):
    parent = job("parent", "keep_checkpoints=20")
    work(parent)
    middle = "step_00000006"
    child = job("child", parent=parent.folder, fork=middle, change={"optim.lr_g": 0.1})
    result = work(child)
    assert (result.step, result.trained) == (12, 6)
    assert equal(parent, child)  # nothing was changed, so it is the same run
    assert min(row["step"] for row in signals(run_of(child))) > 6
    assert any(
        "real/coverage" in row for row in signals(run_of(child))
    )  # else it is judged by other parts than its parent
    facts = run_of(child).read()
    assert (facts["parent"], facts["forked_at"], facts["change"]) == ("parent", 6, {"optim.lr_g": 0.1})


def test_what_has_another_shape_in_a_fork_begins_anew_and_that_is_said(job):
    parent = job("parent", "keep_checkpoints=20")
    work(parent)
    wider = {"parent": parent.folder, "fork": "step_00000006"}
    child = job("child", "critic_features=16", **wider)
    assert work(replace(child, until=7)).status == "paused"  # so that it is resumed from a checkpoint of its own
    assert work(child).status == "finished"
    reported = [e for e in run_of(child).events() if e["event"] == "reinitialized"]
    assert [(e["step"], e["groups"]) for e in reported] == [(6, ["critic"])]
    before, after = checkpoints.latest(run_of(parent).checkpoints).state, checkpoints.latest(run_of(child).checkpoints)
    assert after.state["updates"]["generator"] == before["updates"]["generator"]  # the whole way, the parent's too
    assert after.state["updates"]["critic"] < before["updates"]["critic"]
    twin = job("twin", "critic_features=16", **wider)
    work(twin)
    assert equal(child, twin)


def test_a_fork_of_which_nothing_fits_is_refused_with_the_reason(job):
    parent = job("parent")
    work(parent)
    child = job("child", "critic_features=16", "generator_features=16", parent=parent.folder, fork="step_00000012")
    result = work(child)
    assert result.status == "failed"
    assert "no network has the shape" in result.reason


def test_a_fork_that_was_half_made_is_made_again(job, tmp_path):
    parent = job("parent")
    work(parent)
    child = job("child", parent=parent.folder, fork="step_00000012")
    (tmp_path / "child" / "checkpoints" / "step_00000012").mkdir(parents=True)  # killed while it was copied
    assert work(child).status == "finished"


def test_the_last_healthy_checkpoint_lies_before_the_onset(job):
    one = job("one", "keep_checkpoints=20")
    work(one)
    run = run_of(one)
    assert last_healthy(run, None) == ("step_00000012", 12)
    assert last_healthy(run, 7) == ("step_00000006", 6)
    (run.checkpoints / "step_00000006" / "state.json").write_text("damaged")
    assert last_healthy(run, 7) == ("step_00000004", 4)


def test_what_cannot_be_trained_is_a_result_with_a_reason(job):
    result = work(job("one", "data=/nowhere"))
    assert result.status == "failed" and "/nowhere" in result.reason


def test_an_exception_of_one_run_is_a_result_and_its_traceback_is_kept(job, monkeypatch):
    def fail(*given, **named):
        raise RuntimeError("out of memory\nsomewhere")

    monkeypatch.setattr("trainwright.engine.session.train", fail)
    one = job("one")
    result = work(one)
    assert result.status == "failed" and result.reason.startswith("RuntimeError: out of memory (")
    assert "Traceback" in run_of(one).folder.with_suffix(".failure.txt").read_text()


def test_time_before_a_pause_counts(job):
    one = job("one", until=8)
    first = work(one)
    second = work(replace(one, until=None))
    assert first.status == "paused" and second.seconds > first.seconds > 0
    assert work(replace(one, until=None)).seconds == second.seconds  # nothing is trained again


def test_two_workers_share_the_cores_and_one_that_is_killed_is_told(job):
    reported = []
    crew = LocalExecutor(2, threads=1, status=lambda *line: reported.append(line))
    long = job("long", "steps=100000", "log_every=1", "checkpoint_every=5")
    try:
        crew.submit(job("short"))
        crew.submit(long)
        ended = []
        while not any(name == "long" for name, *_ in reported):
            ended += crew.wait(1.0)
        worker = crew._busy["long"]
        worker.process.kill()
        while len(ended) < 2:
            ended += crew.wait(1.0)
        by_name = {one.name: result for one, result in ended}
        assert by_name["short"].status == "finished" and by_name["long"] is None
        crew.submit(long)
        while sum(name == "long" for name, *_ in reported) < 5:
            crew.wait(1.0)
    finally:
        crew.close()  # it ends with a checkpoint
    facts = run_of(long).read()
    assert facts["status"] == "interrupted" and facts["step"] > 5
    assert any(e["event"] == "resumed" for e in run_of(long).events())


def test_a_value_that_does_not_fit_is_refused_with_its_place(sprites):
    family, config = quick_config("wgan_gp/tiny", sprites)
    with pytest.raises(Exception, match=r"here: optim\.lr_g"):
        changed(family, config, {"optim.lr_g": -1.0}, "here")
