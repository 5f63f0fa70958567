"""What a search does with a rung at which nothing was measured yet, and with an interruption."""

import pytest

from benchmarks.scheduling import after
from benchmarks.simulated import Simulated
from tests.conftest import quick_config
from trainwright.studies.jobs import Result
from trainwright.studies.scheduler import drive
from trainwright.studies.search import Search, SearchFile, started
from trainwright.studies.study import Study

HEAD = {
    "title": "a search", "recipe": "wgan_gp/tiny", "space": {"optim.lr_g": {"low": 1e-5, "high": 1e-2, "log": True}},
    "sampler": "random", "pruner": "hyperband", "steps": 90, "trials": 2,
}  # fmt: skip


def sought(sprites, tmp_path):
    family, config = quick_config("wgan_gp/tiny", sprites, "validate_every=10")
    return Search(SearchFile.model_validate(HEAD), family, config, tmp_path)


def test_a_trial_goes_on_where_nothing_was_measured_at_a_rung(sprites, tmp_path):
    search = sought(sprites, tmp_path)
    for trained, status in ((10, "paused"), (30, "paused"), (90, "finished")):
        job = search.next()
        search.ended(job, Result(status, "unknown", step=trained, trained=trained, score=None if trained < 90 else 0.4))
    assert [t.outcome for t in search.trials] == ["complete"]
    assert search.trials[0].values == (0.4,)


def test_a_trial_that_never_was_measured_is_infeasible(sprites, tmp_path):
    search = sought(sprites, tmp_path)
    for trained, status in ((10, "paused"), (30, "paused"), (90, "finished")):
        search.ended(search.next(), Result(status, "unknown", step=trained, trained=trained))
    assert search.trials[0].outcome == "infeasible"
    assert search.trials[0].because == "nothing was measured"


def searched(head, sprites, tmp_path, executor, stop=lambda: False, reported=lambda job, result: None):
    """A search with simulated trials, as the command does it."""
    family, config = quick_config("wgan_gp/tiny", sprites, "validate_every=10")
    book = Study(tmp_path / "study")
    book.open("search", {"title": "a search"})
    search = Search(SearchFile.model_validate({**HEAD, **head}), family, config, book.runs, started(book.events()))
    try:
        drive(search, executor, book, stop, reported)
    finally:
        book.close()
    return [(t.name, t.change, t.outcome, t.because, t.values) for t in search.trials]


@pytest.mark.parametrize("sampler", ["random", "tpe"])
@pytest.mark.parametrize("workers", [1, 3])
def test_a_search_that_is_interrupted_draws_nothing_twice_and_decides_as_before(sprites, tmp_path, sampler, workers):
    head = {"sampler": sampler, "trials": 12}
    whole = searched(head, sprites, tmp_path / "whole", Simulated(workers))
    for number in range(8):
        reported, stop = after(5)
        parts = searched(head, sprites, tmp_path, Simulated(workers, seed=number), stop, reported)
    drawn = [change["optim.lr_g"] for _, change, *_ in parts]
    assert len(set(drawn)) == 12
    assert searched(head, sprites, tmp_path, Simulated(workers, loss=1.0)) == parts  # again, and nothing is run
    if sampler == "random":
        assert drawn == [change["optim.lr_g"] for _, change, *_ in whole]
    assert {outcome for *_, outcome, _, _ in parts} >= {"complete", "pruned"}
