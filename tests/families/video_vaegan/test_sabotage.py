"""What goes wrong on purpose is named for what it is, and the same run without it has nothing of the kind."""

import pytest

from trainwright.runs.folder import Run
from trainwright.train.session import Outcome

WORDS = (
    "steps=120", "log_every=5", "heldout_every=10", "probe_count=32", "train.on_sick=go_on", "nesting=wubu", "base=none",
    "latent_dim=16", "tangent_dim=64",
    "data.held_out=0.15", "data.block=20", "sample_every=1000", "wubu_s=[64, 32]",
)  # fmt: skip
CASES = {
    "ball_boundary": (("wubu_unit_tangents=false",), "curvature"),
    "posterior_collapse": (("lambda_kl=10", "steps=300", "heldout_every=20"), "beta_above_threshold"),
    "frozen_network": (("lr_disc=0.0",), "lr_zero"),
}


def found(run: Run) -> dict[str, list[str]]:
    """Symptom -> names of its causes, likeliest first."""
    return {e["symptom"]: [c["cause"] for c in e["causes"]] for e in run.events() if e["event"] == "finding"}


@pytest.fixture(scope="module")
def healthy(tmp_path_factory, sprites) -> Outcome:
    from tests.conftest import quick_config
    from trainwright.train.session import train
    from trainwright.train.status import Silent

    family, config = quick_config("video_vaegan/square", sprites, *WORDS)
    return train(family, config, Run(tmp_path_factory.mktemp("healthy") / "run"), Silent())


@pytest.mark.parametrize(("symptom", "change", "cause"), [(k, *v) for k, v in CASES.items()], ids=CASES)
def test_a_sabotage_is_named_with_its_cause_and_its_healthy_twin_is_not(symptom, change, cause, quick, healthy) -> None:
    told = found(quick("video_vaegan/square", *WORDS, *change).run)
    assert symptom in told
    assert told[symptom][0] == cause
    assert symptom not in found(healthy.run)


def test_a_rate_that_explodes_at_the_boundary_stops_before_the_weights_are_lost(quick) -> None:
    """Curvature 50, tangents at the boundary and an enormous rate: a NaN, or a finite run; never a checkpoint with a NaN in it."""
    from tests.conftest import all_tensors

    words = (*WORDS, "wubu_unit_tangents=false", "wubu_s_curvatures=[50.0]", "lr_gen=100.0", "checkpoint_every=5")
    outcome = quick("video_vaegan/square", *words)
    assert outcome.status in ("crashed", "finished")
    assert all(bool(t.float().isfinite().all()) for t in all_tensors(outcome.run).values())
    if outcome.status == "crashed":
        assert "not finite" in outcome.message or "nan" in outcome.message or "inf" in outcome.message
