"""Each preflight check fires on the setting that it is about, and stays silent on its healthy twin."""

import pytest

from trainwright.catalog import families
from trainwright.diagnosis.checks import PlannedRun, run_checks

GAN = {"optim.lr_g": 1e-4, "optim.lr_d": 1e-4, "optim.n_critic": 5, "optim.lambda_gp": 10.0, "train.batch_size": 32}
VAE = {
    "optim.max_beta": 0.1,
    "optim.beta": None,
    "optim.beta_warmup_epochs": 10.0,
    "optim.reduction": "sum",
    "optim.learning_rate": 1e-3,
}
FACTS = {
    "training": 864, "batches_per_epoch": 27.0, "transposed": "", "critic_batch_norm": False,
    "beta_threshold": 80.0, "effective_beta": 0.05,
    "data_range": (-1.0, 1.0), "output_range": (-1.0, 1.0), "initial/lattice": 0.001,
    "initial/gradient_shares": {"vae/xy": 0.5, "vae/rot": 0.5},
    "initial/lr_probe": {"steps": 50, "finite": True, "growth": 1.0}, "schedule_distance": 0.0,
}  # fmt: skip


def names(settings, facts, steps=5000, grades=("warn", "stop")):
    return {c.name for c in run_checks(PlannedRun(settings, facts, steps)) if c.grade in grades}


def test_healthy_twins_get_no_warning():
    assert names(GAN, FACTS) == set()
    assert names(VAE, FACTS) == set()


@pytest.mark.parametrize(
    "settings, facts, name, grade",
    [
        ({}, {"critic_batch_norm": True}, "critic_batch_norm", "stop"),
        ({"optim.n_critic": 20}, {}, "n_critic", "warn"),
        ({"optim.n_critic": 8}, {"batches_per_epoch": 7.0}, "n_critic_in_epoch", "warn"),
        (
            {"optim.lr_g": {"kind": "linear", "start": 0.0, "end": 1e-4, "over": 9000, "unit": "step"}},
            {},
            "schedule",
            "warn",
        ),
        ({"optim.lr_g": 1e-5, "optim.lr_d": 1e-4}, {}, "lr_ratio", "warn"),
        ({"optim.lr_d": 0.1}, {}, "learning_rate", "warn"),
        ({"optim.lr_g": 0.0}, {}, "learning_rate", "warn"),
        ({"train.batch_size": 512}, {}, "batch", "warn"),
        ({}, {"training": 40}, "batch", "warn"),
        ({"train.batch_size": 8}, {"training": 40}, "data", "warn"),
        ({}, {"transposed": "3/2"}, "transposed_conv", "warn"),
        ({}, {"initial/lattice": 0.3}, "checkerboard", "warn"),
        ({}, {"data_range": (0.0, 255.0)}, "range", "stop"),
        ({}, {"data_range": (0.0, 0.4)}, "range", "warn"),
        ({}, {"initial/lr_probe": {"steps": 12, "finite": False, "growth": 1.0}}, "lr_probe", "stop"),
        ({}, {"initial/lr_probe": {"steps": 50, "finite": True, "growth": 90.0}}, "lr_probe", "warn"),
    ],
)
def test_each_check_of_a_gan_fires(settings, facts, name, grade):
    found = [
        c for c in run_checks(PlannedRun(GAN | settings, FACTS | facts, 5000)) if c.name == name and c.grade == grade
    ]
    assert found
    assert found[0].message and found[0].fix


@pytest.mark.parametrize(
    "settings, facts, name, grade",
    [
        ({"optim.max_beta": 100.0}, {}, "posterior_collapse", "stop"),
        ({"optim.max_beta": 50.0}, {}, "posterior_collapse", "warn"),
        ({"optim.max_beta": 1.0, "optim.reduction": "mean"}, {"beta_threshold": 0.05}, "posterior_collapse", "stop"),
        ({"optim.beta_warmup_epochs": 500.0}, {}, "schedule", "warn"),
        ({"optim.beta_warmup_epochs": 120.0}, {}, "warm_up", "warn"),
        ({}, {"initial/gradient_shares": {"vae/xy": 0.999, "vae/rot": 0.001}}, "term_scale", "warn"),
    ],
)
def test_each_check_of_a_vae_fires(settings, facts, name, grade):
    found = [
        c for c in run_checks(PlannedRun(VAE | settings, FACTS | facts, 5000)) if c.name == name and c.grade == grade
    ]
    assert found


def test_a_term_that_is_not_heard_is_raised_by_a_setting_that_there_is():
    facts = FACTS | {"initial/gradient_shares": {"vae/rot": 0.001}}
    fixes = [
        next(c.fix for c in run_checks(PlannedRun(VAE | more, facts, 5000)) if c.name == "term_scale")
        for more in ({"optim.weights.rot": 0.1}, {})
    ]
    assert fixes == ["weights.rot=1", "raise its weight"]


@pytest.mark.parametrize(
    "family, settings, facts, name, grade",
    [
        ("latent_diffusion", {}, {"schedule_distance": 0.4}, "schedule_pair", "stop"),
        (
            "latent_diffusion",
            {"sampling.sampler_steps": 10},
            {"toy_variance_ratio": 0.5, "toy_mean_ratio": 1.0},
            "schedule_pair",
            "warn",
        ),
        ("latent_diffusion", {}, {"latent_scaled_std": 4.0}, "latent_scale", "stop"),
        ("sequence_vae", {}, {"asymmetric": "hidden_dim"}, "sides", "warn"),
        ("sequence_vae", {"data.size": [7, 7]}, {"levels_fit": (12, 100)}, "canvas", "warn"),
    ],
)
def test_each_check_of_one_family_fires_for_that_family_only(family, settings, facts, name, grade):
    plan = PlannedRun(settings, FACTS | facts, 5000)
    found = [c for c in run_checks(plan, families()[family].checks) if c.name == name and c.grade == grade]
    assert found and found[0].message and found[0].fix
    assert name not in {c.name for c in run_checks(plan)}


def test_an_averaged_loss_is_told_to_sum_and_a_heavy_beta_to_shrink():
    mean = run_checks(
        PlannedRun(VAE | {"optim.max_beta": 1.0, "optim.reduction": "mean"}, FACTS | {"beta_threshold": 0.05}, 5000)
    )[0]
    heavy = run_checks(PlannedRun(VAE | {"optim.max_beta": 900.0}, FACTS, 5000))[0]
    assert mean.fix == "optim.reduction=sum"
    assert heavy.fix.startswith("max_beta=")
