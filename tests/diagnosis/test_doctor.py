"""The doctor's own rules: verdicts, what is unknown, what follows from what, causality, and that every symptom is well described."""

import numpy as np
import pytest

from trainwright.diagnosis.causes import causes
from trainwright.diagnosis.definitions import persistent, smooth, thin
from trainwright.diagnosis.doctor import EXIT, examine
from trainwright.diagnosis.history import History, compact
from trainwright.diagnosis.symptoms import symptoms

pytestmark = pytest.mark.filterwarnings("error")


def rows(n=200, **signals):
    return [{"step": i + 1, **{name.replace("__", "/"): f(i) for name, f in signals.items()}} for i in range(n)]


def test_nothing_is_known_of_nothing():
    assert examine(History({})).verdict == "unknown"


def test_a_falling_loss_alone_is_unknown_and_with_held_out_data_healthy():
    falling = {"vae__loss": lambda i: 1 / (1 + i / 20)}
    assert examine(History.of(rows(**falling), total=200)).verdict == "unknown"
    held_out = falling | {"validation__loss": lambda i: 1.1 / (1 + i / 20)}
    found = examine(History.of(rows(**held_out), total=200))
    assert found.verdict == "healthy"
    assert "mode_collapse" in found.unknown


def test_an_infinite_loss_is_a_crash_with_its_step():
    found = examine(History.of(rows(loss=lambda i: 1.0 if i < 120 else float("inf")), total=200))
    assert found.verdict == "crashed"
    assert found.alarms[0].observation.onset == 121


EMPTY_LATENT = {
    "kl__nats_heldout": lambda i: 0.001,
    "latent__active_share": lambda i: 0.0,
    "latent__shuffled_error_ratio": lambda i: 1.0,
}


@pytest.mark.parametrize(("reported", "verdict"), [(False, "sick"), (True, "suspect")])
def test_an_empty_latent_is_a_suspicion_where_what_is_given_may_say_all(reported, verdict):
    found = examine(History.of(rows(**EMPTY_LATENT), facts={"decoder_is_told": reported}, total=200))
    assert found.verdict == verdict
    assert [d.symptom.name for d in found.alarms] == ["posterior_collapse"]


def test_consequences_are_no_alarms_of_their_own():
    flat = EMPTY_LATENT | {"std_ratio__a": lambda i: 0.01, "std_ratio__b": lambda i: 0.01}
    found = examine(History.of(rows(**flat), total=200))
    assert [d.symptom.name for d in found.alarms] == ["posterior_collapse"]
    assert any(d.symptom.name == "variance_collapse" and d.follows == "posterior_collapse" for d in found.findings)


@pytest.mark.parametrize(("after", "drowned"), [(0.4, True), (0.11, False)])
def test_an_error_that_rises_for_good_when_a_term_enters_is_drowned(after, drowned):
    rng = np.random.default_rng(0)
    terms = {
        "reconstruction__weighted": lambda i: (0.1 + np.exp(-i / 20) if i < 100 else after) * (1 + 0.05 * rng.random()),
        "generator__adversarial": lambda i: 0.0 if i < 100 else 0.7,
    }
    found = examine(History.of(rows(**terms), total=200))
    assert [d.symptom.name for d in found.alarms] == (["loss_imbalance"] if drowned else [])
    if drowned:
        assert abs(found.alarms[0].observation.onset - 101) <= 5
        assert found.alarms[0].causes[0].cause.name == "term_outweighs"


def test_a_young_run_is_judged_by_fast_symptoms_only():
    young = [{"step": i, "samples/diversity_ratio": 0.0, "critic/gradient_norm": 0.0} for i in (2, 4, 6, 8)]
    assert [d.symptom.name for d in examine(History.of(young, total=1000)).alarms] == ["dead_critic"]


def test_a_spike_that_heals_is_a_note_and_one_that_does_not_is_more():
    heals = History.of(rows(loss=lambda i: 50.0 if i == 100 else 1.0 + 3 * np.exp(-i / 20) + 0.01 * (i % 3)), total=200)
    stays = History.of(rows(loss=lambda i: 12.0 if i >= 100 else 1.0 + 3 * np.exp(-i / 20)), total=200)
    assert examine(heals).alarms == ()
    assert any(d.symptom.name == "spike" for d in examine(heals).findings)
    assert any(d.symptom.name == "spike" for d in examine(stays).alarms)


def test_a_large_early_wasserstein_estimate_that_falls_is_healthy():
    falling = {
        "critic__wasserstein_heldout": lambda i: 30 * np.exp(-i / 80) + 2,
        "critic__wasserstein_train": lambda i: 31 * np.exp(-i / 80) + 2.2,
        "critic__loss": lambda i: -25 * np.exp(-i / 80) - 2,
    }
    assert examine(History.of(rows(**falling), facts={"adversarial": "wasserstein"}, total=200)).alarms == ()


def test_what_was_said_at_a_step_does_not_depend_on_what_came_later():
    def fall(i):
        return 0.8 if i < 90 else 0.02

    whole = History.of(rows(samples__diversity_ratio=fall), total=200)
    at = [s for s in range(80, 130) if examine(whole.until(s)).alarms]
    assert at
    assert at == list(range(at[0], 130))
    again = History.of(rows(at[0], samples__diversity_ratio=fall), total=200)
    assert examine(again).alarms[0].observation == examine(whole.until(at[0])).alarms[0].observation


def test_causes_follow_the_evidence():
    collapsed = rows(kl__nats=lambda i: 1e-4, latent__active_share=lambda i: 0.0)
    averaged = History.of(collapsed, {"optim.max_beta": 1.0, "optim.reduction": "mean"}, {"beta_threshold": 0.1}, 200)
    summed = History.of(collapsed, {"optim.max_beta": 900.0, "optim.reduction": "sum"}, {"beta_threshold": 80.0}, 200)
    assert examine(averaged).alarms[0].causes[0].cause.name == "reduction_mismatch"
    assert examine(summed).alarms[0].causes[0].cause.name == "beta_above_threshold"


def test_exit_codes_are_all_different():
    assert len(set(EXIT.values())) == len(EXIT)
    assert EXIT["healthy"] == 0


@pytest.mark.parametrize("symptom", symptoms().values(), ids=lambda s: s.name)
def test_every_symptom_is_described_and_has_a_cause(symptom):
    assert symptom.title and symptom.what.endswith(".") and symptom.measured
    assert all(b.source and b.meaning for b in symptom.bounds.values())
    assert all(name in symptoms() for name in symptom.explains)
    if symptom.name != "spike":
        assert any(symptom.name in c.of for c in causes().values())


@pytest.mark.parametrize("cause", causes().values(), ids=lambda c: c.name)
def test_every_cause_is_of_real_symptoms(cause):
    assert set(cause.of) <= symptoms().keys()


def test_no_symptom_explains_one_that_explains_it():
    for symptom in symptoms().values():
        for name in symptom.explains:
            assert symptom.name not in symptoms()[name].explains, (symptom.name, name)


def test_persistence_needs_the_newest_reading():
    steps = np.arange(6.0)
    assert persistent(steps, np.array([1, 1, 1, 1, 1, 0], dtype=bool), 2) is None
    assert persistent(steps, np.array([0, 0, 1, 1, 1, 1], dtype=bool), 5) is None
    stretch = persistent(steps, np.array([0, 0, 1, 1, 1, 1], dtype=bool), 3)
    assert (stretch.onset, stretch.alarm, stretch.end) == (2, 4, 5)


def test_smoothing_and_thinning_look_back_only():
    values = np.random.default_rng(0).normal(size=300)
    assert np.allclose(smooth(values, 5)[:100], smooth(values[:100], 5))
    series = History.of([{"step": i, "x": v} for i, v in enumerate(values)]).signals["x"]
    assert len(thin(series, 100)) <= 101
    assert thin(series, 100).last == np.median(values[-(300 % 4 or 4) :])


ONE_SIGNAL = [
    ("schedule_mismatch", "schedule/train_sample_distance", 0.4, 0.0),
    ("latent_scale", "latent/scaled_std", 5.0, 1.02),
    ("over_dispersion", "sample_diversity/ratio", 1.5, 1.1),
    ("ball_boundary", "hyperbolic/boundary_share", 0.3, 0.001),
    ("variance_collapse", "std_ratio/places", 0.02, 0.9),
]


@pytest.mark.parametrize("name, signal, bad, good", ONE_SIGNAL, ids=[n for n, *_ in ONE_SIGNAL])
def test_symptoms_of_one_signal_and_their_twins(name, signal, bad, good):
    sick = examine(History.of(({"step": i, signal: bad} for i in range(200)), total=200))
    well = examine(History.of(({"step": i, signal: good} for i in range(200)), total=200))
    assert [d.symptom.name for d in sick.alarms] == [name]
    assert name in well.clear


def test_a_run_that_claims_to_run_and_writes_nothing_is_stalled():
    quiet = {"seconds_since_row": 900.0, "seconds_per_row": 2.0}
    busy = {"seconds_since_row": 5.0, "seconds_per_row": 2.0}
    falling = rows(loss=lambda i: 1 / (1 + i))
    assert [d.symptom.name for d in examine(History.of(falling, facts=quiet, total=900)).alarms] == ["stalled"]
    assert examine(History.of(falling, facts=busy, total=900)).alarms == ()


def test_a_long_run_is_kept_in_few_rows_with_every_look_at_samples():
    kept = []
    for i in range(20_000):
        row = {"step": i, "loss": 1.0}
        kept.append(row | {"samples/coverage": 0.5} if i % 200 == 0 else row)
        kept = compact(kept)
    assert len(kept) <= 4000
    assert sum("samples/coverage" in r for r in kept) == 100
    assert [r["step"] for r in kept] == sorted(r["step"] for r in kept)
    assert (kept[0]["step"], kept[-1]["step"]) == (0, 19_999)


@pytest.mark.parametrize("updates, certain", [(0.0, True), (1.0, False)])
def test_only_a_generator_without_any_update_is_certain(updates, certain):
    counted = {"updates_per_epoch/generator": updates, "updates_per_epoch/critic": 40.0}
    found = examine(History.of(({"step": 40 * i, **counted} for i in range(1, 20)), total=4000))
    assert [(d.symptom.name, d.certain) for d in found.alarms] == [("generator_undertrained", certain)]


def test_an_explosion_is_told_at_once_and_not_taken_for_certain():
    found = examine(History.of(({"step": i, "loss": 1.0 if i < 20 else 1e4} for i in range(60)), total=4000))
    assert [(d.symptom.name, d.certain) for d in found.alarms] == [("exploding", False)]


def test_a_wasserstein_estimate_that_grows_in_the_first_thousand_steps_is_healthy_and_later_is_not():
    early = rows(600, critic__wasserstein_heldout=lambda i: 10.0 + 40.0 * min(1.0, i / 300))
    assert examine(History.of(early, facts={"adversarial": "wasserstein"}, total=600)).alarms == ()
    late = rows(6000, critic__wasserstein_heldout=lambda i: 10.0 if i < 2500 else 10.0 + (i - 2500) / 50)
    found = examine(History.of(late[::50], facts={"adversarial": "wasserstein"}, total=6000))
    assert [d.symptom.name for d in found.alarms] == ["critic_dominance"]
