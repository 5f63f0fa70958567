"""What goes wrong on purpose is named for what it is, and the same run without it has nothing of the kind."""

import pytest

from tests.conftest import quick_config
from trainwright.diagnosis.doctor import examine
from trainwright.diagnosis.input import open_input
from trainwright.engine.display import Silent
from trainwright.engine.session import Outcome, train
from trainwright.runs.folder import Run

WORDS = (
    "steps=120", "log_every=5", "validate_every=10", "probe_count=32", "train.on_failure=continue", "nesting=wubu", "base=none",
    "regions=hybrid", "adaptive=0.5", "motion=true", "gen_film=true", "latent_dim=16", "tangent_dim=64",
    "gen_norm=instance", "lambda_features=0",  # the guide's parts: at this size its generator hears the latent soonest
    "data.held_out=0.15", "data.block=20", "sample_every=1000", "wubu_s=[64, 32]",
)  # fmt: skip
CASES = {
    "ball_boundary": (("wubu_unit_tangents=false",), "curvature"),
    "posterior_collapse": (("lambda_kl=10", "steps=300", "validate_every=20"), "beta_above_threshold"),
    "frozen_network": (("lr_disc=0.0",), "lr_zero"),
}


NO_NORM = ("disc_spectral_norm=false", "lr_gen=1e-5", "steps=80")
TOLD_APART = {
    "critic_dominance": ("lr_disc=5e-3", "critic_lr_too_high"),
    "discriminator_guessing": ("lr_disc=1e-7", "lr_too_low"),
}  # a discriminator that wins, one that has collapsed to a guess; between them one that does neither


def found(run: Run) -> dict[str, list[str]]:
    """Symptom -> names of its causes, likeliest first."""
    return {e["symptom"]: [c["cause"] for c in e["causes"]] for e in run.events() if e["event"] == "finding"}


@pytest.fixture(scope="module")
def healthy(tmp_path_factory, sprites) -> Outcome:
    family, config = quick_config("video_vaegan/square", sprites, *WORDS)
    return train(family, config, Run(tmp_path_factory.mktemp("healthy") / "run"), Silent())


@pytest.mark.parametrize(("symptom", "change", "cause"), [(k, *v) for k, v in CASES.items()], ids=CASES)
def test_a_sabotage_is_named_with_its_cause_and_its_healthy_twin_is_not(symptom, change, cause, quick, healthy) -> None:
    reported = found(quick("video_vaegan/square", *WORDS, *change).run)
    assert symptom in reported
    assert reported[symptom][0] == cause
    assert symptom not in found(healthy.run)


def judged(run: Run) -> dict[str, list[str]]:
    """The same of everything the doctor sees at the end, with what follows from something else."""
    findings = examine(open_input(run.folder, {}).history).findings
    return {d.symptom.name: [c.cause.name for c in d.causes] for d in findings}


@pytest.fixture(scope="module")
def undecided(tmp_path_factory, sprites) -> Outcome:
    family, config = quick_config("video_vaegan/square", sprites, *WORDS, *NO_NORM, "lr_disc=5e-4")
    return train(family, config, Run(tmp_path_factory.mktemp("undecided") / "run"), Silent())


@pytest.mark.parametrize(("symptom", "change", "cause"), [(k, *v) for k, v in TOLD_APART.items()], ids=list(TOLD_APART))
def test_a_discriminator_that_wins_and_one_that_guesses_are_told_from_one_that_learns(
    symptom, change, cause, quick, undecided
) -> None:
    reported = judged(quick("video_vaegan/square", *WORDS, *NO_NORM, change).run)
    assert cause in reported[symptom][:2]
    assert symptom not in judged(undecided.run)


def test_a_rate_that_explodes_at_the_boundary_stops_before_the_weights_are_lost(quick) -> None:
    """Curvature 50, tangents at the boundary and an enormous rate: a NaN, or a finite run; never a checkpoint with a NaN in it."""
    from tests.conftest import all_tensors

    words = (*WORDS, "wubu_unit_tangents=false", "wubu_s_curvatures=[50.0]", "lr_gen=100.0", "checkpoint_every=5")
    outcome = quick("video_vaegan/square", *words)
    assert outcome.status in ("crashed", "finished")
    assert all(bool(t.float().isfinite().all()) for t in all_tensors(outcome.run).values())
    if outcome.status == "crashed":
        assert "not finite" in outcome.message or "nan" in outcome.message or "inf" in outcome.message
