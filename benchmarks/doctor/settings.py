"""Every run of the bench: what is injected, what it should be called, and in which half it counts.

The halves are split by family of settings: they differ in data, size, batch, seed and in the strength of what is injected. Thresholds
were looked at on ``tuning`` only.
"""

from collections.abc import Iterator, Mapping
from dataclasses import dataclass, field
from typing import Any, Literal

Half = Literal["tuning", "frozen"]


@dataclass(frozen=True)
class Setting:
    """One run.

    Attributes:
        name: unique.
        half: where it counts.
        kind: ``gan`` and ``vae`` are the loops of :mod:`benchmarks.doctor.loops`; ``wgan_gp`` and ``gaussian_vae`` Trainwright's own.
        symptom: what is injected; None for a healthy twin.
        cause: what should be named first; None for a healthy twin.
        odd: for a healthy twin, what looks odd about it.
        onset: share of the budget at which the fault begins (0: from the first step).
        changes: of the base setting.
    """

    name: str
    half: Half
    kind: str
    symptom: str | None
    cause: str | None
    odd: str = ""
    onset: float = 0.0
    changes: Mapping[str, Any] = field(default_factory=dict)


# Six bases a kind: (half, data, the rest). Sizes, batches and seeds differ between the halves.
BASES: dict[str, list[tuple[Half, dict[str, Any]]]] = {
    "gan": [
        ("tuning", {"data": "sprites", "width": 128, "batch_size": 64, "seed": 0}),
        ("tuning", {"data": "photos", "width": 96, "batch_size": 64, "seed": 1}),
        ("tuning", {"data": "sprites", "width": 160, "batch_size": 32, "seed": 2}),
        ("frozen", {"data": "photos", "width": 128, "batch_size": 48, "seed": 10}),
        ("frozen", {"data": "sprites", "width": 112, "batch_size": 48, "seed": 11}),
        ("frozen", {"data": "photos", "width": 160, "batch_size": 32, "seed": 12}),
    ],
    "vae": [
        ("tuning", {"data": "sprites", "width": 128, "batch_size": 64, "seed": 0}),
        ("tuning", {"data": "photos", "width": 128, "batch_size": 32, "seed": 1}),
        ("tuning", {"data": "sprites", "width": 192, "latent_dim": 24, "seed": 2}),
        ("frozen", {"data": "photos", "width": 160, "batch_size": 48, "seed": 10}),
        ("frozen", {"data": "sprites", "width": 96, "latent_dim": 12, "seed": 11}),
        ("frozen", {"data": "photos", "width": 192, "latent_dim": 20, "seed": 12}),
    ],
    "wgan_gp": [
        ("tuning", {"data": "sprites", "generator_features": 16, "critic_features": 16, "batch_size": 32, "seed": 0}),
        ("tuning", {"data": "photos", "generator_features": 12, "critic_features": 12, "batch_size": 32, "seed": 1}),
        ("tuning", {"data": "sprites", "generator_features": 12, "critic_features": 16, "batch_size": 48, "seed": 2}),
        ("frozen", {"data": "photos", "generator_features": 16, "critic_features": 16, "batch_size": 24, "seed": 10}),
        ("frozen", {"data": "sprites", "generator_features": 20, "critic_features": 20, "batch_size": 24, "seed": 11}),
        ("frozen", {"data": "photos", "generator_features": 20, "critic_features": 16, "batch_size": 32, "seed": 12}),
    ],
    "gaussian_vae": [
        ("tuning", {"data": "sprites", "batch_size": 32, "seed": 0}),
        ("tuning", {"data": "photos", "batch_size": 32, "seed": 1}),
        ("tuning", {"data": "sprites", "batch_size": 48, "latent_dim": 96, "seed": 2}),
        ("frozen", {"data": "photos", "batch_size": 24, "latent_dim": 128, "seed": 10}),
        ("frozen", {"data": "sprites", "batch_size": 24, "seed": 11}),
        ("frozen", {"data": "photos", "batch_size": 40, "latent_dim": 96, "seed": 12}),
    ],
}
STEPS = {"gan": 1600, "vae": 2200, "wgan_gp": 1000, "gaussian_vae": 800}

Faults = list[tuple[str, str, str, list[dict[str, Any]]]]

# symptom, kind, cause, six strengths (three for tuning, three frozen)
FAULTS: Faults = [
    (
        "mode_collapse",
        "gan",
        "generator_outruns",
        [
            {"lr_g": 2e-3, "lr_d": 2e-5},
            {"lr_g": 2e-3, "lr_d": 3e-5},
            {"lr_g": 3e-3, "lr_d": 2e-5},
            {"lr_g": 2e-3, "lr_d": 4e-5},
            {"lr_g": 3e-3, "lr_d": 3e-5},
            {"lr_g": 2.5e-3, "lr_d": 2e-5},
        ],
    ),
    (
        "mode_dropping",
        "gan",
        "latent_too_small",
        [
            {"latent_dim": 1},
            {"latent_dim": 2},
            {"latent_dim": 1},
            {"latent_dim": 2},
            {"latent_dim": 1},
            {"latent_dim": 1},
        ],
    ),
    (
        "mode_dropping",
        "gan",
        "momentum_too_high",
        [
            {"beta1": 0.9, "lr_g": 1e-3, "lr_d": 1e-3},
            {"beta1": 0.9, "lr_g": 2e-3, "lr_d": 2e-3},
            {"beta1": 0.9, "lr_g": 1.5e-3, "lr_d": 1.5e-3},
            {"beta1": 0.9, "lr_g": 1e-3, "lr_d": 1e-3},
            {"beta1": 0.9, "lr_g": 1.2e-3, "lr_d": 1.2e-3},
            {"beta1": 0.9, "lr_g": 1.8e-3, "lr_d": 1.8e-3},
        ],
    ),
    (
        "memorisation",
        "gan",
        "few_pictures",
        [{"pictures": 6}, {"pictures": 8}, {"pictures": 10}, {"pictures": 5}, {"pictures": 7}, {"pictures": 9}],
    ),
    (
        "posterior_collapse",
        "vae",
        "reduction_mismatch",
        [
            {"reduction": "mean", "beta": 1.0},
            {"reduction": "mean", "beta": 0.5},
            {"reduction": "mean", "beta": 1.0},
            {"reduction": "mean", "beta": 0.7},
            {"reduction": "mean", "beta": 1.0},
            {"reduction": "mean", "beta": 1.5},
        ],
    ),
    (
        "posterior_collapse",
        "gaussian_vae",
        "beta_above_threshold",
        [
            {"max_beta": 1000},
            {"max_beta": 800},
            {"max_beta": 1500},
            {"max_beta": 700},
            {"max_beta": 2000},
            {"max_beta": 1200},
        ],
    ),
    (
        "aggregate_mismatch",
        "vae",
        "beta_too_small",
        [{"beta": 0.0}, {"beta": 1e-4}, {"beta": 1e-3}, {"beta": 0.0}, {"beta": 5e-4}, {"beta": 3e-4}],
    ),
    (
        "critic_dominance",
        "gan",
        "lr_ratio",
        [
            {"lr_d": 2e-3, "lr_g": 5e-5},
            {"lr_d": 1e-3, "lr_g": 2e-5},
            {"lr_d": 3e-3, "lr_g": 1e-4},
            {"lr_d": 2e-3, "lr_g": 3e-5},
            {"lr_d": 1.5e-3, "lr_g": 5e-5},
            {"lr_d": 4e-3, "lr_g": 1e-4},
        ],
    ),
    (
        "generator_dominance",
        "gan",
        "generator_outruns",
        [
            {"lr_d": 2e-6, "lr_g": 1e-3},
            {"lr_d": 1e-6, "lr_g": 5e-4},
            {"lr_d": 3e-6, "lr_g": 2e-3},
            {"lr_d": 1e-6, "lr_g": 1e-3},
            {"lr_d": 2e-6, "lr_g": 8e-4},
            {"lr_d": 4e-6, "lr_g": 1.5e-3},
        ],
    ),
    (
        "dead_critic",
        "gan",
        "dead_units",
        [{"dies_at": 400}, {"dies_at": 600}, {"dies_at": 300}, {"dies_at": 500}, {"dies_at": 700}, {"dies_at": 350}],
    ),
    (
        "discriminator_guessing",
        "gan",
        "discriminator_too_weak",
        [
            {"instance_noise": 20.0},
            {"instance_noise": 30.0},
            {"instance_noise": 40.0},
            {"instance_noise": 25.0},
            {"instance_noise": 35.0},
            {"instance_noise": 50.0},
        ],
    ),
    (
        "oscillation",
        "gan",
        "uneven_updates",
        [{"block": 60}, {"block": 100}, {"block": 80}, {"block": 70}, {"block": 90}, {"block": 110}],
    ),
    (
        "exploding",
        "wgan_gp",
        "penalty_too_small",
        [
            {"lambda_gp": 0.0, "lr_d": 1e-3},
            {"lambda_gp": 0.0, "lr_d": 5e-3},
            {"lambda_gp": 1e-4, "lr_d": 1e-3},
            {"lambda_gp": 0.0, "lr_d": 2e-3},
            {"lambda_gp": 1e-4, "lr_d": 3e-3},
            {"lambda_gp": 0.0, "lr_d": 8e-3},
        ],
    ),
    (
        "exploding",
        "vae",
        "lr_too_high",
        [{"lr": 3e-2}, {"lr": 5e-2}, {"lr": 1e-1}, {"lr": 4e-2}, {"lr": 8e-2}, {"lr": 6e-2}],
    ),
    (
        "plateau",
        "vae",
        "weight_decay_too_high",
        [
            {"weight_decay": 300.0},
            {"weight_decay": 500.0},
            {"weight_decay": 400.0},
            {"weight_decay": 600.0},
            {"weight_decay": 350.0},
            {"weight_decay": 450.0},
        ],
    ),
    (
        "slow",
        "vae",
        "lr_too_low",
        [{"lr": 3e-6}, {"lr": 5e-6}, {"lr": 2e-6}, {"lr": 4e-6}, {"lr": 6e-6}, {"lr": 2.5e-6}],
    ),
    (
        "overfitting",
        "vae",
        "few_pictures",
        [
            {"pictures": 32, "lr": 2e-3},
            {"pictures": 64, "lr": 2e-3},
            {"pictures": 48, "lr": 2e-3},
            {"pictures": 40, "lr": 2e-3},
            {"pictures": 56, "lr": 2e-3},
            {"pictures": 72, "lr": 2e-3},
        ],
    ),
    (
        "loss_imbalance",
        "gaussian_vae",
        "group_weight",
        [
            {"weights.rot": 0.001, "weights.feat": 0.001},
            {"weights.feat": 0.0005},
            {"weights.rot": 0.001},
            {"weights.rot": 0.0005, "weights.feat": 0.0005},
            {"weights.feat": 0.001},
            {"weights.rot": 0.0007},
        ],
    ),
    (
        "checkerboard",
        "gan",
        "transposed_conv",
        [
            {"kernel": 3},
            {"kernel": 3, "lr_g": 5e-4},
            {"kernel": 5},
            {"kernel": 5, "lr_g": 3e-4},
            {"kernel": 3},
            {"kernel": 3, "lr_g": 3e-4},
        ],
    ),
    (
        "blur",
        "gan",
        "network_too_small",
        [{"blurred": 4}, {"blurred": 4}, {"blurred": 4}, {"blurred": 4}, {"blurred": 4}, {"blurred": 4}],
    ),
    (
        "colour_cast",
        "gan",
        "data_range",
        [
            {"range": "unit"},
            {"range": "unit"},
            {"range": "unit"},
            {"range": "unit"},
            {"range": "unit"},
            {"range": "unit"},
        ],
    ),
    (
        "frozen_network",
        "wgan_gp",
        "lr_zero",
        [{"lr_g": 0.0}, {"lr_d": 0.0}, {"lr_g": 0.0}, {"lr_d": 0.0}, {"lr_g": 0.0}, {"lr_g": 0.0}],
    ),
    ("frozen_network", "vae", "not_trained", [{"frozen": ["decoder"]}] * 6),
    (
        "starved_generator",
        "wgan_gp",
        "too_many_critic_steps",
        [{"n_critic": 40}, {"n_critic": 50}, {"n_critic": 60}, {"n_critic": 45}, {"n_critic": 70}, {"n_critic": 36}],
    ),
    (
        "sample_lag",
        "wgan_gp",
        "ema_too_slow",
        [
            {"ema_decay": 0.9999, "ema_warmup": False},
            {"ema_decay": 0.9998, "ema_warmup": False},
            {"ema_decay": 0.99995, "ema_warmup": False},
            {"ema_decay": 0.9999, "ema_warmup": False},
            {"ema_decay": 0.99985, "ema_warmup": False},
            {"ema_decay": 0.99999, "ema_warmup": False},
        ],
    ),
]

# healthy twins: kind, what looks odd, six variants
HEALTHY: list[tuple[str, str, list[dict[str, Any]]]] = [
    ("gan", "nothing: the base", [{}] * 6),
    (
        "gan",
        "a spike that heals",
        [
            {"spike_at": 700},
            {"spike_at": 500},
            {"spike_at": 900},
            {"spike_at": 600},
            {"spike_at": 800},
            {"spike_at": 1000},
        ],
    ),
    (
        "gan",
        "a small batch",
        [
            {"batch_size": 8},
            {"batch_size": 12},
            {"batch_size": 8},
            {"batch_size": 10},
            {"batch_size": 8},
            {"batch_size": 12},
        ],
    ),
    ("gan", "label smoothing: the loss cannot reach 0", [{"smooth": 0.9}] * 6),
    ("gan", "a high rate that works", [{"lr_d": 4e-4, "lr_g": 4e-4}] * 6),
    ("vae", "nothing: the base", [{}] * 6),
    (
        "vae",
        "few nats by choice",
        [{"beta": 8.0}, {"beta": 6.0}, {"beta": 8.0}, {"beta": 5.0}, {"beta": 8.0}, {"beta": 6.0}],
    ),
    (
        "vae",
        "a spike that heals",
        [
            {"spike_at": 700},
            {"spike_at": 500},
            {"spike_at": 900},
            {"spike_at": 600},
            {"spike_at": 800},
            {"spike_at": 1000},
        ],
    ),
    (
        "vae",
        "warm-up: the total loss rises",
        [{"warmup": 700}, {"warmup": 500}, {"warmup": 600}, {"warmup": 650}, {"warmup": 550}, {"warmup": 450}],
    ),
    ("wgan_gp", "nothing: a large early critic loss", [{}] * 6),
    ("wgan_gp", "one critic step", [{"n_critic": 1}] * 6),
    ("wgan_gp", "a high rate that works", [{"lr_d": 5e-4, "lr_g": 5e-4}] * 6),
    ("gaussian_vae", "nothing: the base", [{}] * 6),
    (
        "gaussian_vae",
        "few nats by choice",
        [
            {"max_beta": 5.0},
            {"max_beta": 4.0},
            {"max_beta": 5.0},
            {"max_beta": 3.0},
            {"max_beta": 5.0},
            {"max_beta": 4.0},
        ],
    ),
]


def settings() -> Iterator[Setting]:
    """All runs, tuning first."""
    found = []
    for symptom, kind, cause, strengths in FAULTS:
        for i, ((half, base), change) in enumerate(zip(BASES[kind], strengths, strict=True)):
            onset = change.get("dies_at", 0) / STEPS[kind]
            found.append(
                Setting(f"{symptom}-{kind}-{cause}-{i}", half, kind, symptom, cause, "", onset, {**base, **change})
            )
    for kind, odd, variants in HEALTHY:
        for i, ((half, base), change) in enumerate(zip(BASES[kind], variants, strict=True)):
            slug = odd.split(":")[0].replace(" ", "_")
            found.append(Setting(f"healthy-{kind}-{slug}-{i}", half, kind, None, None, odd, 0.0, {**base, **change}))
    yield from sorted(found, key=lambda s: s.half != "tuning")
