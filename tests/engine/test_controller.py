"""The Q-controller's numbers are those worked out by hand, every controller is the same after a resume, and what it does is seen."""

import json

import numpy as np
import pytest
import torch

from tests.conftest import all_tensors, signals
from trainwright.engine.controllers import make
from trainwright.engine.controllers.q_learning import Policy
from trainwright.engine.controllers.rewards import (
    bounded,
    discriminator_reward,
    discriminator_state,
    exploring,
    generator_reward,
    generator_state,
    trend,
)
from trainwright.engine.controllers.settings import ControllerSettings
from trainwright.errors import UserError

ROLES = {
    n: n
    for n in ("g_total", "d_total", "reconstruction", "kl", "adversarial", "d_real", "d_fake", "lambda_kl", "quality")
}
G = {
    "reconstruction": [0.30, 0.28, 0.26, 0.25, 0.24],
    "adversarial": [0.90, 0.92, 0.95, 0.93, 0.94],
    "g_total": [3.90, 3.72, 3.55, 3.43, 3.34],
    "d_total": [0.55] * 5,
    "kl": [50.0] * 5,
}
D = {
    "d_total": [0.60, 0.58, 0.57, 0.56, 0.55],
    "d_real": [0.5] * 5,
    "d_fake": [0.6] * 5,
    "adversarial": [0.94] * 5,
    "g_total": [3.0] * 5,
}
GROUPS = ("generator", "discriminator")


def settings(**values) -> ControllerSettings:
    return ControllerSettings(enabled=True, **values)


def losses(step: int) -> dict[str, float]:
    own = np.random.default_rng(step)
    return {name: float(own.uniform(0.3, 1.0)) for name in ROLES}


def test_worked_examples() -> None:
    assert generator_reward(G, 1e-4) == pytest.approx(0.98895, abs=2e-5)
    assert discriminator_reward(D) == pytest.approx(1.50435, abs=1e-5)
    assert trend([0.30, 0.28, 0.26, 0.25, 0.20], 0.1) == 0
    assert trend([0.30, 0.28, 0.26, 0.25, 0.24], 0.1) == 1
    assert (
        trend([0.0, 0.0, 0.0, 0.0, 0.02], 0.1) == 4
    )  # near 0 the scale, not the median, is what a change is held beside


def test_a_large_kl_costs_only_where_its_weight_counts() -> None:
    large = {**G, "kl": [300.0] * 5}
    assert generator_reward(large, 1e-4) == pytest.approx(generator_reward(G, 1e-4))
    assert generator_reward(large, 1e-3) == pytest.approx(generator_reward(G, 1e-3) - 0.3)
    assert generator_state(large, 0.01, 0)[4] == 1  # type: ignore[index]
    assert generator_state({**large, "kl": [50.0] * 5}, 0.01, 0)[4] == 0  # type: ignore[index]


def test_a_loss_that_is_missing_or_not_finite_gives_no_state() -> None:
    assert generator_state({k: v for k, v in G.items() if k != "kl"}, 1e-4, 0) is None
    assert discriminator_state({**D, "d_real": [0.5, 0.5, float("nan")]}, 0) is None
    assert generator_reward({**G, "kl": [50.0, float("inf")]}, 1e-4) < generator_reward(G, 1e-4) - 3


def test_rewards_that_swing_earn_less_and_none_is_beyond_two() -> None:
    assert bounded(1.0, [1.0, -1.0, 1.0, -1.0]) == pytest.approx(1 - 0.25 * 4 / 5)
    assert bounded(1.0, [1.0, 1.0, 1.0, 1.0]) == 1.0
    assert bounded(9.0, []) == 2.0


def test_the_share_of_random_choices_reaches_its_floor_after_4604() -> None:
    """Worked out: .5 · .9995^n = .05 at n = 4,604."""
    policy = Policy(settings(), {"lr": [0.9, 1.1]}, lambda h, e: (1, e), lambda h: 0.0)
    own = np.random.default_rng(0)
    for step in range(4603):
        policy.choose({"x": 1.0}, own, step)
    assert policy.epsilon > 0.05
    for step in range(2):
        policy.choose({"x": 1.0}, own, step)
    assert policy.epsilon == pytest.approx(0.05, rel=1e-3)
    assert [exploring(e, 0.05, 0.5) for e in (0.05, 0.2, 0.4)] == [0, 1, 2]


def test_it_learns_which_action_pays() -> None:
    policy = Policy(
        settings(alpha=0.1), {"lr": [0.8, 1.0, 1.2]}, lambda h, e: (1,), lambda h: 1.0 if h["x"][-1] > 1 else -1.0
    )
    own = np.random.default_rng(0)
    x = 1.0
    for step in range(600):
        x = policy.choose({"x": x}, own, step)["lr"]
    values = policy.table["1"]["lr"]
    assert np.argmax(values) == 2


def test_the_table_forgets_what_it_needs_least() -> None:
    policy = Policy(settings(table=10), {"lr": [1.0, 2.0]}, lambda h, e: (int(h["x"][-1]),), lambda h: 0.0)
    own = np.random.default_rng(0)
    for step in range(400):
        policy.choose({"x": 0.0 if step % 2 else float(step)}, own, step)
    assert len(policy.table) == 10 and "0" in policy.table


@pytest.mark.parametrize("kind", ["q", "random", "balance"])
def test_a_controller_goes_on_as_if_nothing_had_happened(kind: str) -> None:
    """Its state passes through JSON in the middle; every later factor is the same."""

    def made():
        return make(settings(kind=kind, lambda_kl_every=3), ROLES, GROUPS, seed=7)

    whole, first, second = made(), made(), made()
    assert whole and first and second
    for step in range(40):
        whole.act(losses(step), step)
    for step in range(20):
        first.act(losses(step), step)
    second.restore(json.loads(json.dumps(first.state())))
    for step in range(20, 40):
        second.act(losses(step), step)
    assert second.factors == whole.factors
    assert json.dumps(second.state()) == json.dumps(whole.state())


def test_the_kl_weight_stays_within_its_range_and_waits_for_held_out_data() -> None:
    controller = make(settings(lambda_kl_every=1, lambda_kl_scales=[1.5]), ROLES, GROUPS, seed=0)
    assert controller is not None
    weight = 0.1
    for step in range(30):
        seen = {**losses(step), "lambda_kl": weight * controller.factors.get("weight/lambda_kl", 1.0)}
        if step < 5:
            seen.pop("quality")
        controller.act(seen, step)
        if step < 5:
            assert "weight/lambda_kl" not in controller.factors
    assert weight * controller.factors["weight/lambda_kl"] == pytest.approx(0.5)


def test_balance_lets_the_stronger_one_rest() -> None:
    controller = make(settings(kind="balance"), ROLES, GROUPS, seed=0)
    assert controller is not None
    for d, expected in ((0.1, (1.0, 0.0)), (0.5, (1.0, 1.0)), (0.9, (0.0, 1.0))):
        controller.act({"d_total": d}, 0)
        assert (controller.factors["lr/generator"], controller.factors["lr/discriminator"]) == expected


FAMILIES = (
    "video_vaegan/square", "wgan_gp/tiny", "gaussian_vae/conv1d_512d_beta0.1", "sequence_vae/uniform", "latent_diffusion/small",
)  # fmt: skip


@pytest.mark.parametrize(
    "kind, title", [*((kind, title) for kind in ("q", "random") for title in FAMILIES), ("balance", FAMILIES[0])]
)
def test_every_family_can_be_controlled_and_resumes_bit_for_bit(kind: str, title: str, quick, tmp_path) -> None:
    words = ("controller.enabled=true", f"controller.kind={kind}", "controller.lambda_kl_every=2", "log_every=1")
    whole = quick(title, *words, run=tmp_path / "whole")
    left = iter([False, False, True])
    assert quick(title, *words, run=tmp_path / "parts", stop=lambda: next(left, False)).step == 3
    second = quick(title, *words, run=tmp_path / "parts")
    one, two = all_tensors(whole.run), all_tensors(second.run)
    assert [key for key in one if not torch.equal(one[key], two[key])] == []
    assert signals(whole.run) == signals(second.run)
    if kind == "q":  # every policy knows where it is
        last = signals(whole.run)[-1]
        groups = [name.removeprefix("controller/states/") for name in last if name.startswith("controller/states/")]
        assert groups and all(last[f"controller/states/{group}"] >= 1 for group in groups)


def test_a_balance_gate_needs_a_cross_entropy(quick) -> None:
    with pytest.raises(UserError, match="needs a discriminator trained with cross-entropy"):
        quick("wgan_gp/tiny", "controller.enabled=true", "controller.kind=balance")


def test_another_kind_of_controller_begins_without_the_old_ones_factors() -> None:
    before = make(settings(kind="q"), ROLES, GROUPS, seed=0)
    assert before is not None
    before.factors = {"momentum/discriminator": 0.95, "weight/generator/kl": 339.0}
    after = make(settings(kind="balance"), ROLES, GROUPS, seed=0)
    assert after is not None and not after.restore(before.state()) and not after.factors
    same = make(settings(kind="q"), ROLES, GROUPS, seed=0)
    assert same is not None and same.restore(before.state())
    assert same.factors == {"momentum/discriminator": 0.95}  # the KL weight is not chosen any more


def test_what_it_does_is_in_force_and_in_the_log(quick) -> None:
    words = ("controller.enabled=true", "controller.kind=random", "log_every=1", "steps=6")
    rows = signals(quick("video_vaegan/square", *words).run)
    for before, row in zip(rows, rows[1:], strict=False):
        for group in GROUPS:
            scale = before[f"controller/lr/{group}"]
            assert scale in ControllerSettings().lr_scales
            assert row[f"lr_factor/{group}"] == pytest.approx(scale)
    assert len({row["controller/lr/generator"] for row in rows}) > 1
