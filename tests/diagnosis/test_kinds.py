"""The kind of model is recognised, and nothing of another kind is blamed or advised."""

import pytest

from trainwright.diagnosis.causes import causes
from trainwright.diagnosis.doctor import examine
from trainwright.diagnosis.history import History
from trainwright.diagnosis.importers import read
from trainwright.diagnosis.kinds import KINDS, kinds_of
from trainwright.diagnosis.symptoms import symptoms
from trainwright.report.diagnosis import advice_of


def history(facts=None, **columns) -> History:
    rows = [{"step": 10 * i, **{n.replace("__", "/"): f(i) for n, f in columns.items()}} for i in range(60)]
    return History.of(rows, facts=facts, total=600)


@pytest.mark.parametrize(
    "facts, columns, kinds",
    [
        ({}, {"discriminator__loss": lambda i: 1.0}, {"adversarial"}),
        ({}, {"kl__raw": lambda i: 1.0}, {"variational"}),
        ({}, {"kl__raw": lambda i: 1.0, "critic__loss": lambda i: 1.0}, {"adversarial", "variational"}),
        ({"calls_per_sample": {"net": 50}}, {"loss": lambda i: 1.0}, {"diffusion"}),
        ({"calls_per_sample": {"net": 50}, "operations": ["NllLoss"]}, {"loss": lambda i: 1.0}, {"autoregressive"}),
        ({"operations": ["NllLoss"]}, {"loss": lambda i: 1.0}, {"supervised"}),
        ({"kind": "prediction"}, {"discriminator__loss": lambda i: 1.0}, {"prediction"}),
        ({}, {"loss": lambda i: 1.0}, set()),
    ],
)  # fmt: skip
def test_kinds(facts, columns, kinds):
    assert kinds_of(history(facts, **columns)) == kinds


def test_a_diffusion_loop_is_not_told_of_critics_or_kl_weights():
    flat = {"samples__diversity_ratio": lambda i: 0.01, "loss": lambda i: 0.1}
    found = examine(history({"kind": "diffusion"}, **flat))
    collapse = next(d for d in found.alarms if d.symptom.name == "mode_collapse")
    assert collapse.causes
    for ranked in collapse.causes:
        assert not ranked.cause.kinds or "diffusion" in ranked.cause.kinds
    assert not {"critic_dominance", "posterior_collapse"} & (set(found.unknown) | set(found.clear))
    for advice in advice_of(collapse, found.kinds):
        assert not advice.kinds or "diffusion" in advice.kinds


@pytest.mark.parametrize(
    ("columns", "kinds"),
    [
        (("loss", "grad_norm", "learning_rate", "epoch"), {"fine_tune"}),
        (("loss", "eval_loss", "eval_accuracy", "grad_norm", "learning_rate", "epoch"), {"fine_tune", "supervised"}),
        (("loss/current", "loss/average", "lr/unet"), {"fine_tune", "diffusion"}),
        (("avr_loss",), {"fine_tune", "diffusion"}),
        (("step_loss", "lr"), {"fine_tune", "diffusion"}),
        (("rewards/chosen", "rewards/rejected", "loss"), {"fine_tune"}),
        (("train_loss", "val_loss", "val_perplexity"), {"autoregressive"}),
        (("train_loss", "perplexity", "recon_loss"), set()),  # of a codebook
        (("loss", "accuracy", "val_loss", "val_accuracy"), {"supervised"}),
        (("loss_D", "loss_G", "D_accuracy"), {"adversarial"}),
        (("loss", "mse_q0", "mse_q1", "vb"), {"diffusion"}),
        (("gen loss", "kld", "beta"), {"variational"}),
        (("rollout/ep_rew_mean", "train/value_loss", "train/loss"), {"reinforcement"}),
        (("actor_loss", "critic_loss", "episode_reward"), {"reinforcement"}),
        (("loss", "mel_loss"), set()),
    ],
)
def test_the_columns_of_a_log_tell_its_kind(tmp_path, columns, kinds):
    rows = ["step," + ",".join(columns), *(f"{i}," + ",".join(f"{1 + 0.01 * i}" for _ in columns) for i in range(9))]
    (tmp_path / "log.csv").write_text("\n".join(rows))
    assert kinds_of(read(tmp_path / "log.csv").history) == kinds


def test_reinforcement_learning_is_out_of_scope(tmp_path):
    rows = ["step,episode_reward,loss", *(f"{10 * i},{i % 7},{0.1 * 1.2**i}" for i in range(60))]
    (tmp_path / "log.csv").write_text("\n".join(rows))
    found = examine(read(tmp_path / "log.csv").history)
    assert found.verdict == "unknown" and "out of scope" in found.reason and not found.findings
    (tmp_path / "log.csv").write_text("\n".join([*rows, "600,3,nan"]))
    assert examine(read(tmp_path / "log.csv").history).verdict == "crashed"


@pytest.mark.parametrize(
    ("kind", "rate", "usual"), [("accuracy", 0.1, True), ("grad_norm", 0.1, False), ("grad_norm", 5e-6, True)]
)
def test_usual_rates_are_those_of_the_kind(tmp_path, kind, rate, usual):
    rows = [
        f"step,loss,epoch,{'learning_rate' if kind == 'grad_norm' else 'lr'},{kind}",
        *(f"{i},{1 if i < 20 else 7},{i / 9},{rate},1" for i in range(60)),
    ]
    (tmp_path / "log.csv").write_text("\n".join(rows))
    found = next(f for f in examine(read(tmp_path / "log.csv").history).alarms if f.symptom.name == "diverging")
    cause = next(c for c in found.causes if c.cause.name == "lr_too_high")
    assert (cause.weight.score < 0.4) == usual, cause.weight.reason


def test_kinds_of_causes_and_symptoms_exist():
    for one in (*causes().values(), *symptoms().values()):
        assert set(one.kinds) <= set(KINDS)
