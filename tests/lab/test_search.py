"""What a search does with a rung at which nothing was measured yet."""

from tests.conftest import quick_config
from trainwright.lab.jobs import Result
from trainwright.lab.search import Search, SearchFile

HEAD = {
    "title": "a search", "recipe": "wgan_gp/tiny", "space": {"optim.lr_g": {"low": 1e-5, "high": 1e-2, "log": True}},
    "sampler": "random", "pruner": "hyperband", "steps": 90, "trials": 2,
}  # fmt: skip


def sought(sprites, tmp_path):
    family, config = quick_config("wgan_gp/tiny", sprites, "heldout_every=10")
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
