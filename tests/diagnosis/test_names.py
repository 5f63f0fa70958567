"""Columns that people's loops really write get the right signal, others none; no kind of game is claimed but the one played."""

import re
from pathlib import Path

import numpy as np
import pytest
import torch
import torch.nn.functional as F
from torch import nn

import trainwright.families
from trainwright.diagnosis import causes, symptoms
from trainwright.diagnosis.history import History, Series
from trainwright.diagnosis.signal_names import (
    HELD,
    TRAINING,
    check_mapping,
    derive,
    is_signal,
    mapping,
    recognise,
    step_column,
    words,
)
from trainwright.errors import UserError

REAL = {
    "StudioGAN, lists of losses": {
        "d_loss": "discriminator/loss", "g_loss": "generator/loss",
    },
    "DCGAN tutorial": {
        "Loss_D": "discriminator/loss", "Loss_G": "generator/loss", "D(x)": None, "D(G(z))": None, "D_x": None,
        "D_G_z1": None, "errD": "discriminator/loss", "errG": "generator/loss", "errD_real": "discriminator/real",
        "errD_fake": "discriminator/fake",
    },
    "Keras GANs": {
        "d_loss_real": "discriminator/real", "d_loss_fake": "discriminator/fake", "d_acc": None,
        "dLoss": "discriminator/loss", "disc_loss": "discriminator/loss", "gen_loss": "generator/loss",
        "d_accuracy": None,
    },
    "WGAN-GP repositories": {
        "disc cost": "discriminator/loss", "gen cost": "generator/loss", "wasserstein distance": "critic/wasserstein",
        "Wasserstein_D": "critic/wasserstein", "train_critic_loss": "critic/loss", "critic_loss": "critic/loss",
        "gradient_penalty": "critic/penalty", "GP": "critic/penalty", "loss_gp": "critic/penalty",
        "D": "discriminator/loss", "G": "generator/loss", "lambda_gp": None, "critic_real": "discriminator/real",
        "critic_fake": "discriminator/fake", "real_score": None,
    },
    "StyleGAN2-ADA": {
        "Loss/D/loss": "discriminator/loss", "Loss/G/loss": "generator/loss", "Loss/scores/real": None,
        "Loss/signs/real": None, "Loss/r1_penalty": None, "Loss/pl_penalty": None,
    },
    "lucidrains": {
        "G": "generator/loss", "D": "discriminator/loss", "GP": "critic/penalty", "PL": None, "CR": None,
        "loss": "loss", "recon_loss": "reconstruction/weighted", "cmt_loss": None,
    },
    "VQGAN and LDM": {
        "train/total_loss": "loss", "train/rec_loss": "reconstruction/weighted", "train/quant_loss": None,
        "train/p_loss": None, "train/nll_loss": None, "train/d_weight": None, "train/disc_factor": None,
        "train/g_loss": "generator/loss", "train/disc_loss": "discriminator/loss", "train/logits_real": None,
        "val/rec_loss": "validation/reconstruction", "train/kl_loss": "kl/raw", "val/total_loss": "validation/loss",
        "train/loss_simple": None, "lr_abs": "lr/all", "generator_adv_loss": "generator/adversarial",
        "discriminator_adv_loss": "discriminator/loss", "train/logvar": None, "perceptual_loss": None,
        "commit_loss": "codebook/loss", "disc_weight": None, "train/perplexity": "codebook/perplexity",
    },
    "Lightning": {
        "train_loss_step": "loss", "train_loss_epoch": "loss", "val_loss": "validation/loss",
        "val_loss/dataloader_idx_0": "validation/loss", "lr-Adam": "lr/all", "grad_2.0_norm_total": "grad_norm/all",
        "test_loss": "validation/loss", "val_acc": "validation/accuracy",
    },
    "Hugging Face": {
        "loss": "loss", "eval_loss": "validation/loss", "learning_rate": "lr/all", "grad_norm": "grad_norm/all",
        "eval_runtime": None, "eval_samples_per_second": None, "eval_accuracy": "validation/accuracy",
    },
    "Keras": {
        "loss": "loss", "val_loss": "validation/loss", "reconstruction_loss": "reconstruction/weighted",
        "kl_loss": "kl/raw", "val_kl_loss": "validation/kl", "epoch_loss": "loss", "accuracy": None, "lr": "lr/all",
    },
    "PyTorch-VAE": {
        "Reconstruction_Loss": "reconstruction/weighted", "KLD": "kl/raw",
        "val_Reconstruction_Loss": "validation/reconstruction", "val_KLD": "validation/kl", "VQ_Loss": "codebook/loss",
    },
    "pythae": {
        "train_epoch_loss": "loss", "eval_epoch_loss": "validation/loss", "train/epoch_loss": "loss",
    },
    "VAE loops": {
        "recon": "reconstruction/weighted", "kld": "kl/raw", "KLDloss": "kl/raw", "train_total_loss": "loss",
        "val_recons_loss": "validation/reconstruction", "kl_weight": "weight/vae/kl", "beta": "weight/vae/kl",
        "elbo": None, "neg_elbo": "loss", "vae_loss": "vae/loss", "active_units": "latent/active_units", "mse": None,
        "bpd": None,
    },
    "pix2pix": {
        "G_GAN": "generator/adversarial", "G_L1": "reconstruction/weighted", "D_real": "discriminator/real",
        "D_fake": "discriminator/fake",
    },
    "CycleGAN: two games, none is chosen": {
        "D_A": None, "G_A": None, "cycle_A": None, "idt_A": None,
    },
    "Chainer": {
        "loss_gen": "generator/loss", "loss_dis": "discriminator/loss", "elapsed_time": None,
    },
    "super-resolution": {
        "train/loss_g_adv": "generator/adversarial", "val/avg_val_psnr": None, "l_g_pix": "reconstruction/weighted",
        "l_g_gan": "generator/adversarial", "val/ssim": None,
    },
    "W&B's chart export": {
        "swift-sun-3 - d_loss": "discriminator/loss", "swift-sun-3 - d_loss__MIN": None, "swift-sun-3 - _step": None,
    },
    "other": {
        "Generator Loss": "generator/loss", "Discriminator Loss": "discriminator/loss", "Loss/train": "loss",
        "Loss/val": "validation/loss", "DLoss": "discriminator/loss", "LossG": "generator/loss",
        "lr_g": "lr/generator", "lr_d": "lr/discriminator", "val_g_loss": None, "fid": "samples/fid", "cls_loss": None,
        "d_grad_norm": "grad_norm/discriminator", "loss_1": None, "accuracy_loss": None,
    },
}  # fmt: skip


@pytest.mark.parametrize("project", REAL)
def test_what_projects_write_is_read_as_what_it_is(project):
    assert {column: recognise(column) for column in REAL[project]} == REAL[project]


def test_whatever_a_symptom_or_cause_asks_for_is_a_signal():
    asked = set()
    folders = [Path(package.__file__).parent for package in (symptoms, causes)]
    own = Path(trainwright.families.__file__).parent.glob("*/diagnostics.py")
    for file in [*(file for folder in folders for file in folder.glob("*.py")), *own]:
        for call in re.findall(r"h\.get\(([^()]*)\)", file.read_text()):
            asked |= set(re.findall(r'"([a-z_]+/[a-z_]+)"', call))
    assert len(asked) > 20
    assert [name for name in sorted(asked) if not is_signal(name)] == []
    assert [name for name in sorted(asked) if recognise(name, ours=True) != name] == []


def test_spellings_of_a_word_are_one():
    assert words("Loss_D") == words("loss/D") == words("dLoss") == words("errD") == words("discLoss") == {"loss", "d"}
    assert words("KLDivergence") == words("kl_div") == words("KLD") == {"kl"}


@pytest.mark.parametrize(
    ("columns", "step"),
    [(["epoch", "step", "x"], "step"), (["Epoch", "d_loss"], "Epoch"), (["Wall time", "Step", "v"], "Step"), (["loss"], None),
     (["trainer/global_step", "epoch"], "trainer/global_step"), (["iteration", "epoch"], "iteration"),
     (["Progress/kimg", "G"], "Progress/kimg")],
)  # fmt: skip
def test_steps_are_taken_from_the_finest_counter(columns, step):
    assert step_column(columns) == step


def test_of_two_columns_for_one_signal_the_fuller_is_read():
    columns = ["train_loss_epoch", "train_loss_step"]
    assert mapping(columns, {}, {"train_loss_epoch": 3, "train_loss_step": 300}) == {"train_loss_step": "loss"}
    assert mapping(columns, {}) == {"train_loss_epoch": "loss"}
    assert mapping(columns, {"train_loss_epoch": "loss"}, {"train_loss_step": 9}) == {"train_loss_epoch": "loss"}


def test_a_gradient_norm_beside_a_penalty_may_be_the_critics_slope_and_is_left_alone():
    assert "gradient_norm" not in mapping(["D", "GP", "gradient_norm"], {})
    assert mapping(["loss", "gradient_norm"], {})["gradient_norm"] == "grad_norm/all"


def test_what_is_mapped_by_hand_must_exist():
    with pytest.raises(UserError, match=r"no such column. Did you mean 'loss_D'\?"):
        check_mapping({"los_D": "critic/loss"}, ["loss_D", "loss_G"])
    with pytest.raises(UserError, match=r"no such signal. Did you mean 'discriminator/loss'\?"):
        check_mapping({"loss_D": "discriminater/loss"}, ["loss_D"])
    check_mapping({"a": "grad_norm/my_network", "b": "critic/loss"}, ["a", "b"])


def series(values):
    return Series(np.arange(1.0, len(values) + 1), np.array(values, dtype=float))


def kind(**columns):
    return derive(History({mapping([c], {})[c]: series(v) for c, v in columns.items()})).facts.get("adversarial")


GAMES = {
    "bce": (lambda s: F.softplus(-s), F.softplus, lambda s: F.softplus(-s)),
    "hinge": (lambda s: F.relu(1 - s), lambda s: F.relu(1 + s), lambda s: -s),
    "least_squares": (lambda s: (s - 1) ** 2, lambda s: s**2, lambda s: (s - 1) ** 2),
    "wasserstein": (lambda s: -s, lambda s: s, lambda s: -s),
}


@pytest.fixture(
    scope="module", params=[(name, seed, lr) for name in GAMES for seed, lr in ((0, 1e-3), (1, 5e-3))], ids=str
)
def played(request):
    """A real game of two small networks: its kind, and its losses a step (real, fake, generator, scores)."""
    name, seed, lr = request.param
    torch.manual_seed(seed)
    on_real, on_fake, of_g = GAMES[name]
    g, d = (nn.Sequential(nn.Linear(2, 16), nn.ReLU(), nn.Linear(16, n)) for n in (2, 1))
    opt_g, opt_d = (torch.optim.Adam(net.parameters(), lr, (0.5, 0.99)) for net in (g, d))
    rows = []
    for _ in range(240):
        real, fake = torch.randn(32, 2) * 0.3 + 1, g(torch.randn(32, 2))
        x, y = d(real), d(fake.detach())
        r, f = on_real(x).mean(), on_fake(y).mean()
        opt_d.zero_grad(), (r + f).backward(), opt_d.step()
        loss_g = of_g(d(fake)).mean()
        opt_g.zero_grad(), loss_g.backward(), opt_g.step()
        rows.append([v.item() for v in (r, f, loss_g, x.mean(), y.mean())])
    return name, np.array(rows)


@pytest.mark.parametrize("window", [1, 10])
@pytest.mark.parametrize("form", ["sum", "mean", "terms", "scores"])
def test_no_other_game_is_claimed_than_the_one_that_was_played(played, form, window):
    name, rows = played
    r, f, g, x, y = rows.reshape(-1, window, 5).mean(1).T
    columns = {
        "sum": {"Loss_D": r + f, "Loss_G": g},
        "mean": {"Loss_D": (r + f) / 2, "Loss_G": g},
        "terms": {"D_real": r, "D_fake": f, "loss_G": g},
        "scores": {"d_loss": r + f, "D_real": x, "D_fake": y, "g_loss": g},
    }[form]
    found = derive(History({mapping([c], {})[c]: series(v) for c, v in columns.items()}))
    said = found.facts.get("adversarial")
    assert said in (None, name)
    if name == "bce" and form == "terms":
        assert said == "bce"
    term = found.signals.get("discriminator/term")
    assert (term is not None) == (said == "bce")
    if term is not None:
        assert np.allclose(term.values, (r + f) / 2)
    estimate = found.signals.get("critic/wasserstein")
    if estimate is not None:
        assert np.allclose(estimate.values, x - y, atol=1e-5)
    if form == "scores":
        assert "discriminator/real" not in found.signals


def test_a_fresh_cross_entropy_is_recognised_as_a_sum_or_a_mean():
    steps = np.arange(100)
    d, g = 1.386 - 0.006 * steps, 0.70 + 0.02 * steps
    for factor in (1.0, 0.5):
        found = derive(History({"discriminator/loss": series(factor * d), "generator/loss": series(g)}))
        assert found.facts["adversarial"] == "bce"
        assert found.signals["discriminator/term"].values[0] == pytest.approx(0.693)
        assert "generator/adversarial" in found.signals


def test_what_a_discriminators_loss_alone_does_not_tell_is_not_said():
    assert kind(d_loss=np.full(50, 0.69)) is None  # a guess in the mean, or half-way in the sum
    assert kind(d_loss=np.linspace(0.7, 0.3, 50), g_loss=np.linspace(1.8, 3, 50)) is None
    assert kind(d_loss=np.full(3, -2.0)) is None


def test_a_log_that_begins_in_the_middle_of_a_run_is_not_judged_by_its_beginning():
    late = Series(np.arange(50_000.0, 50_100), np.full(100, 1.38))
    found = derive(History({"discriminator/loss": late, "generator/loss": Series(late.steps, np.full(100, 0.7))}))
    assert "adversarial" not in found.facts


def test_hinge_wasserstein_and_a_maximised_value_are_told_apart():
    wave = np.sin(np.arange(60))
    assert kind(d_loss=2 - 0.01 * np.arange(60), g_loss=0.1 + 0.5 * wave) == "hinge"
    assert kind(d_loss=-3 + wave, g_loss=40 * wave) == "wasserstein"
    assert kind(critic_loss=-3 + wave) == "wasserstein"
    assert kind(d_loss=np.linspace(-1.386, -0.2, 60), g_loss=np.linspace(0.7, 4, 60)) is None


def test_a_wasserstein_estimate_is_only_given_where_the_penalty_is_known_or_scores_fit():
    d, gp = -2 + 0.1 * np.sin(np.arange(40)), np.full(40, 0.05)
    hidden = derive(History({"critic/loss": series(d)}))
    assert "critic/wasserstein" not in hidden.signals
    known = derive(History({"discriminator/loss": series(d), "critic/penalty": series(gp)}, {"lambda_gp": 10}))
    assert np.allclose(known.signals["critic/wasserstein"].values, 0.5 - d)
    assert "critic/loss" in known.signals and "discriminator/loss" not in known.signals


def test_a_kl_is_not_in_nats_unless_somebody_says_so():
    kl = {"kl/raw": series([3.0, 2, 1])}
    assert "kl/nats" not in derive(History(dict(kl))).signals
    assert "kl/nats" in derive(History(dict(kl), facts={"kl_unit": "nats"})).signals


def test_what_is_given_is_not_overruled():
    found = derive(History({"discriminator/loss": series(np.full(9, 1.38))}, facts={"adversarial": "hinge"}))
    assert found.facts["adversarial"] == "hinge" and "discriminator/term" not in found.signals


def test_a_loss_of_nothing_but_nan_says_nothing():
    nothing = series(np.full(20, np.nan))
    assert kind(d_loss=nothing.values, g_loss=nothing.values, D_real=nothing.values, D_fake=nothing.values) is None


def test_the_page_lists_exactly_what_is_recognised():
    page = (Path(__file__).parents[2] / "docs" / "how-to" / "diagnose-a-log.md").read_text()
    rows = [f"| {words} | `{signal}` |" for signal, words in TRAINING.items()]
    rows += [f"| held-out: {words} | `{signal}` |" for signal, words in HELD.items()]
    listed = page.split("| remaining words | signal |\n|---|---|\n")[1].split("\n\n")[0]
    assert listed.splitlines() == rows
    assert all(
        is_signal(signal) for signal in ("discriminator/term", "kl/nats", "latent/active_share", "update_ratio/x")
    )
