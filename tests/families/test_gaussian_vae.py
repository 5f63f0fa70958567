"""Gaussian VAE: sizes, the guide's names and schedule, what β means in each reduction, plateaus, and what sabotage looks like."""

from itertools import permutations

import pytest
import torch

from tests.conftest import quick_config, signals
from trainwright import catalog as registry
from trainwright.config.reading import Settings, add_mapping, read_yaml, validate
from trainwright.engine.inference import load
from trainwright.engine.model import build
from trainwright.families.gaussian_vae.config import GaussianVaeConfig, LossConfig, NetworkConfig, Weights
from trainwright.families.gaussian_vae.diagnostics import read, what_happened
from trainwright.families.gaussian_vae.mixture import PosteriorMixture, clusters
from trainwright.families.gaussian_vae.networks import make
from trainwright.families.gaussian_vae.objective import (
    beta_at,
    divergence,
    effective_beta,
    image_error,
    reconstruction,
    square_weights,
)
from trainwright.runs.folder import read_lines

GROUPS = {"xy": slice(0, 2), "scale": slice(2, 4), "rot": slice(4, 5), "feat": slice(5, 8)}
GUIDE = {
    "conv1d_base": (256, 1.0), "conv1d_beta0.5": (256, 0.5), "conv1d_512d": (512, 1.0), "conv1d_512d_beta0.5": (512, 0.5),
    "conv1d_512d_beta0.1": (512, 0.1), "conv1d_512d_beta0": (512, 0.0), "resnet_conv1d_512d": (512, 0.0),
}  # fmt: skip


def count(*networks):
    """Weights, and BatchNorm's running statistics, which Keras counts too."""
    weights = sum(p.numel() for network in networks for p in network.parameters())
    return weights, weights + sum(b.numel() for n in networks for k, b in n.named_buffers() if "running" in k)


@pytest.mark.parametrize(("recipe", "expected"), [
    ("conv1d_base", 1_595_416), ("conv1d_512d", 1_989_144), ("resnet_conv1d_512d", 4_792_824),
])  # fmt: skip
def test_parameter_counts_are_the_guides(recipe, expected):
    assert count(*make(registry.load(f"gaussian_vae/{recipe}")[1].model, 8, 512))[1] == expected


def test_the_guides_own_resnet_file_has_twelve_million():
    _, config = registry.load("gaussian_vae/resnet_conv1d_512d", ("first_width=512",))
    assert count(*make(config.model, 8, 512))[1] == 12_241_784


@pytest.mark.parametrize("name", GUIDE)
def test_the_guides_seven_configurations_are_recipes(name):
    config = registry.load(f"gaussian_vae/{name}")[1]
    assert (config.model.latent_dim, config.optim.max_beta) == GUIDE[name]
    assert (config.train.epochs, config.optim.beta_warmup_epochs, config.optim.learning_rate) == (100, 50, 1e-3)
    assert (config.data.fitting.count, config.data.form, config.optim.reduction) == (512, "raw", "group_mean")


def test_a_flat_file_with_the_guides_keys_is_accepted(tmp_path):
    file = tmp_path / "mine.yaml"
    file.write_text(
        "latent_dim: 384\nmax_beta: 0.25\nbatch_size: 16\nepochs: 7\nlearning_rate: 5e-4\nbeta_warmup_epochs: 20\n"
        "encoder_filters: [32, 64, 128]\ndecoder_filters: [64, 32, 16]\n"
    )
    settings = Settings()
    add_mapping(settings, GaussianVaeConfig, read_yaml(file), str(file))
    config = validate(settings, GaussianVaeConfig)
    assert (config.model.latent_dim, config.optim.max_beta, config.train.batch_size) == (384, 0.25, 16)
    assert (config.train.epochs, config.optim.learning_rate, config.optim.beta_warmup_epochs) == (7, 5e-4, 20)
    assert registry.load(str(file), ("family=gaussian_vae",))[1].model.latent_dim == 384


@pytest.mark.parametrize("architecture", ["conv1d", "resnet_conv1d", "slots"])
@pytest.mark.parametrize(("width", "number"), [(8, 64), (10, 128), (6, 16)])
def test_any_number_of_gaussians_and_channels(architecture, width, number):
    encoder, decoder = make(NetworkConfig(architecture=architecture, latent_dim=24), width, number)
    mean, log_variance = encoder(torch.randn(3, width, number))
    assert mean.shape == log_variance.shape == (3, 24)
    assert decoder(mean).shape == (3, width, number)


def test_warm_up_is_the_guides():
    optim = LossConfig(max_beta=0.5, beta_warmup_epochs=50)
    assert [beta_at(optim, e) for e in (0.0, 0.99, 1.0, 48.5, 49.0, 80.0)] == pytest.approx(
        [0.01, 0.01, 0.02, 0.49, 0.5, 0.5]
    )
    assert beta_at(LossConfig(max_beta=2.0, beta_warmup_epochs=0), 0.0) == 2.0


def test_what_beta_means_is_as_worked_out_for_the_guide():
    """families: at 512 Gaussians and latent 512 the guide's loss is a unit-variance likelihood with β times 1, 1, .5, 1.5."""
    found = effective_beta(1.0, GROUPS, 512, 512, LossConfig())
    assert found == pytest.approx({"xy": 1.0, "scale": 1.0, "rot": 0.5, "feat": 1.5})
    assert effective_beta(1.0, GROUPS, 512, 256, LossConfig())["xy"] == pytest.approx(2.0)
    assert effective_beta(2.0, GROUPS, 512, 512, LossConfig(reduction="sum"))["rot"] == pytest.approx(1.0)
    mean = effective_beta(1.0, GROUPS, 512, 512, LossConfig(reduction="mean", weights=Weights(rot=0.0)))
    assert mean["feat"] == pytest.approx(4096 / 2) and "rot" not in mean


@pytest.mark.parametrize("reduction", ["group_mean", "channel_sum", "mean", "sum"])
def test_terms_are_their_reductions(reduction):
    torch.manual_seed(0)
    x, y = torch.randn(3, 8, 16), torch.randn(3, 8, 16)
    optim = LossConfig(reduction=reduction, weights=Weights(xy=2.0, feat=0.5))
    terms = reconstruction(x, y, GROUPS, reduction)
    total = sum(getattr(optim.weights, name) * term for name, term in terms.items())
    factors = square_weights(GROUPS, 16, optim)
    assert total.item() == pytest.approx(((x - y) ** 2 * factors).sum((1, 2)).mean().item(), rel=1e-5)


@pytest.mark.parametrize(("reduction", "expected"), [("sum", 3 * 4 * 4 / 4), ("mean", 1 / 4), ("group_mean", 1 / 4)])
def test_the_picture_term_has_the_reduction(reduction, expected):
    images = torch.zeros(2, 3, 4, 4)
    assert float(image_error(images, images + 0.5, reduction)) == pytest.approx(expected)


def test_without_weight_nothing_is_rendered_and_with_it_pictures_come_closer(quick, tmp_path):
    words = ("steps=80", "log_every=80", "validate_every=80", "learning_rate=3e-3", "beta=0.01")
    groups = ("weights.xy=0", "weights.scale=0", "weights.rot=0", "weights.feat=0")
    without = signals(quick("gaussian_vae/small", *words, *groups, run=tmp_path / "without").run)[-1]
    within = signals(quick("gaussian_vae/small", *words, *groups, "image=20", run=tmp_path / "with").run)[-1]
    assert "vae/image" not in without and "validation/image" not in without
    assert within["rendered/psnr"] > without["rendered/psnr"] + 0.5


def test_exchanged_colours_are_the_same_pictures_in_other_colours(sprites):
    family, config = quick_config("gaussian_vae/sound", sprites, "exchange_colours=1")
    data, model = family.load(config).open_data(config), build(family, config)
    model.adapt_to_data(data)
    sets = data.some("train", 6)
    torch.manual_seed(0)
    before, after = model._render(sets), model._render(model._exchange_colours(sets))
    for a, b in zip(before, after, strict=True):
        assert min((a[list(order)] - b).abs().max() for order in permutations(range(3))) < 1e-4
    assert (before - after).abs().max() > 0.1
    model.optim = model.optim.model_copy(update={"exchange_colours": 0.0})
    assert model._exchange_colours(sets) is sets


def test_a_mixture_has_the_codes_mean_and_variance_and_no_small_part():
    torch.manual_seed(0)
    middles = torch.tensor([[4.0, 0, 0], [0, 4, 0], [0, 0, 4]])
    codes = torch.cat([middles[k] + 0.3 * torch.randn(n, 3) for k, n in enumerate((60, 40, 3))])
    label = clusters(codes, 6, 8)
    assert torch.bincount(label)[torch.bincount(label) > 0].min() >= 8
    assert clusters(codes[:4], 6, 8).unique().numel() == 1
    mixture = PosteriorMixture(3, 6, 3)
    mixture.follow(codes, 8)
    mean, variance = mixture.moments()
    assert torch.allclose(mean, codes.mean(0), atol=1e-4) and torch.allclose(
        variance, codes.var(0, correction=0), atol=1e-3
    )
    drawn = mixture.draw(4000, torch.Generator().manual_seed(1))
    assert torch.allclose(drawn.mean(0), mean, atol=0.1) and torch.allclose(drawn.var(0), variance, rtol=0.1)
    near = torch.cdist(drawn, middles[:2]).amin(1)
    assert (near < 1.5).float().mean() > 0.8, "samples lie in the clusters, not between them"


def test_samples_from_a_mixture_repeat_after_a_checkpoint(quick):
    words = ("prior=mixture", "prior_parts=3", "prior_rank=4", "prior_least=2")
    trained = load(registry.family("gaussian_vae"), quick("gaussian_vae/small", *words).run)
    assert trained.model.decoder.mixture.axes.abs().sum() > 0
    assert torch.equal(trained.model.sample(3, 5), trained.model.sample(3, 5))


def test_dividing_by_channels_undoes_channel_sums_and_unbalances_means():
    """The guide's mend is right for channel sums; its code had channel means, where all groups were level already."""
    x, y = torch.zeros(2, 8, 16), torch.ones(2, 8, 16)
    divided = {"xy": 1 / 2, "scale": 1 / 2, "rot": 1.0, "feat": 1 / 3}
    sums = reconstruction(x, y, GROUPS, "channel_sum")
    means = reconstruction(x, y, GROUPS, "group_mean")
    assert {g: float(divided[g] * v) for g, v in sums.items()} == pytest.approx(dict.fromkeys(GROUPS, 1.0))
    assert {g: float(v) for g, v in means.items()} == pytest.approx(dict.fromkeys(GROUPS, 1.0))
    assert float(divided["rot"] * means["rot"]) == pytest.approx(3 * float(divided["feat"] * means["feat"]))


def test_kl_is_averaged_or_summed():
    mean, log_variance = torch.ones(4, 10), torch.zeros(4, 10)
    assert float(divergence(mean, log_variance, "group_mean")) == pytest.approx(0.5)
    assert float(divergence(mean, log_variance, "sum")) == pytest.approx(5.0)


def test_nats_are_nats_whatever_the_reduction(quick, tmp_path):
    rows = [
        signals(quick("gaussian_vae/small", f"reduction={r}", "steps=1", "log_every=1", run=tmp_path / r).run)[0]
        for r in ("group_mean", "sum")
    ]
    assert rows[0]["kl/nats"] == pytest.approx(rows[1]["kl/nats"], rel=1e-5)
    assert rows[0]["vae/kl"] == pytest.approx(rows[1]["vae/kl"] / 8, rel=1e-5)  # smoke has 8 latent dimensions


def test_the_normalisation_is_in_the_checkpoint(quick, sprites):
    outcome = quick("gaussian_vae/sound")
    family, config = quick_config("gaussian_vae/sound", sprites)
    data = family.load(config).open_data(config)
    decoder = load(family, outcome.run).model.decoder
    assert torch.allclose(decoder.shift, data.mean.expand_as(decoder.shift))
    sets = data.form.decode(decoder.values(data.some("train", 5)), data.canvas)
    stored = torch.from_numpy(data.fits.sets[data._first("train", 5)].copy())
    assert torch.allclose(sets[..., :2], stored[..., :2], atol=1e-4)
    assert torch.allclose(sets[..., 5:], stored[..., 5:], atol=1e-4)


PLATEAU = (
    "epochs=40",
    "steps=null",
    "min_delta=10",
    "reduce_lr_patience=1",
    "early_stopping_patience=3",
    "validate_every=1000",
)


def test_a_plateau_lowers_the_rate_ends_the_run_and_survives_a_stop(quick, tmp_path):
    whole = quick("gaussian_vae/conv1d_base", *PLATEAU, run=tmp_path / "whole")
    kinds = [e["event"] for e in whole.run.events()]
    assert kinds.count("learning_rate_lowered") == 3 and kinds[-2:] == ["early_stop", "finished"]
    assert signals(whole.run)[-1]["lr/vae"] == pytest.approx(1e-3 / 4)
    taken = iter(range(100))
    first = quick("gaussian_vae/conv1d_base", *PLATEAU, run=tmp_path / "parts", stop=lambda: next(taken) == 8)
    assert first.status == "interrupted"
    second = quick("gaussian_vae/conv1d_base", *PLATEAU, run=tmp_path / "parts")
    assert (second.status, second.step) == (whole.status, whole.step)
    assert signals(whole.run) == signals(second.run)
    assert [p.name for p in whole.run.best.iterdir()] == [p.name for p in second.run.best.iterdir()]


def test_the_best_checkpoint_is_kept_and_can_be_loaded(quick):
    run = quick("gaussian_vae/conv1d_base", *PLATEAU).run
    best = load(registry.family("gaussian_vae"), run, best=True)
    stop = next(e for e in run.events() if e["event"] == "early_stop")
    assert best.step == stop["best_step"] < load(registry.family("gaussian_vae"), run).step


def test_more_patience_goes_on_with_a_run_that_had_stopped(quick, tmp_path):
    first = quick("gaussian_vae/conv1d_base", *PLATEAU, run=tmp_path / "run")
    more = [word for word in PLATEAU if "early" not in word]
    again = quick("gaussian_vae/conv1d_base", *more, "early_stopping_patience=5", run=tmp_path / "run")
    assert again.step > first.step


def test_an_unknown_signal_to_watch_is_answered_with_those_there_are(quick):
    from trainwright.errors import UserError

    with pytest.raises(UserError, match="validation/loss_at_full_beta"):
        quick("gaussian_vae/conv1d_base", *PLATEAU, "monitor=val_loss")


def test_views_show_originals_fits_and_reconstructions(quick, sprites):
    from PIL import Image

    run = quick("gaussian_vae/sound").run
    files = sorted((run.views / "reconstructions").iterdir())
    assert [f.name for f in files] == [f"step_{s:08d}.png" for s in (0, 3, 6)]
    held = len(build_data(sprites).held_out)
    with Image.open(files[-1]) as image:
        assert image.size == (64 * min(8, held), 64 * 3)


def test_one_held_out_picture_says_nothing_of_latents(sprites):
    family, config = quick_config("gaussian_vae/sound", sprites)
    made, data = build(family, config), family.load(config).open_data(config)

    class One:
        def some(self, part, count):
            return data.some(part, 1)

    assert made.validate(One()) == {}
    assert made.evaluate(One()) == []


def build_data(sprites):
    family, config = quick_config("gaussian_vae/sound", sprites)
    return family.load(config).open_data(config)


def test_the_threshold_knows_the_reduction(sprites):
    found = {}
    for reduction in ("sum", "mean", "group_mean"):
        family, config = quick_config("gaussian_vae/sound", sprites, f"reduction={reduction}")
        found[reduction] = build(family, config).threshold(family.load(config).open_data(config)).beta
    assert found["mean"] == pytest.approx(found["sum"] / (9 * 32), rel=1e-4)
    assert found["group_mean"] > 0


@pytest.fixture(scope="module")
def sabotaged(tmp_path_factory):
    """The healthy twin and the three that go wrong on purpose, on real sprites, a few hundred steps each."""
    from trainwright.data.sources import items
    from trainwright.engine.display import Silent
    from trainwright.engine.session import train
    from trainwright.runs.folder import Run

    root = tmp_path_factory.mktemp("sabotage")
    for item in items("sprites")[::4]:
        file = root / "images" / f"{item.name}.png"
        file.parent.mkdir(parents=True, exist_ok=True)
        item.open().save(file)
    last = {}
    for name in ("small", "sabotage_beta", "sabotage_reduction", "sabotage_imbalance"):
        words = (
            f"data={root / 'images'}",
            "data.workers=1",
            "max_steps=40",
            "steps=300",
            "tracker=none",
            "learning_rate=2e-3",
        )
        family, config = registry.load(f"gaussian_vae/{name}", words)
        run = Run(root / name)
        assert train(family, config, run, Silent()).status == "finished"
        last[name] = (read_lines(run.metrics)[-1], read(read_lines(run.metrics), run.events()))
    return last


def test_the_healthy_twin_uses_its_latent_and_hears_every_group(sabotaged):
    row, cells = sabotaged["small"]
    assert row["kl/nats_heldout"] > 5 and row["latent/active_units"] >= 5
    assert row["r2_beyond_mean/feat"] > 0.3
    assert row["latent/shuffled_error_ratio"] > 1.2
    assert cells["what happened"].startswith("No collapse")


@pytest.mark.parametrize("name", ["sabotage_beta", "sabotage_reduction"])
def test_a_beta_above_the_threshold_collapses_the_posterior(sabotaged, name):
    row, cells = sabotaged[name]
    assert row["kl/nats_heldout"] < 0.1 and row["latent/active_units"] == 0
    assert row["r2_beyond_mean/feat"] < 0.1
    assert "collapsed" in cells["what happened"]


def test_groups_that_nobody_hears_show_although_the_total_is_fine(sabotaged):
    row, healthy = sabotaged["sabotage_imbalance"][0], sabotaged["small"][0]
    assert row["r2_beyond_mean/feat"] < 0.12 < 0.3 < healthy["r2_beyond_mean/feat"]
    assert row["r2_beyond_mean/scale"] > 0.5 * healthy["r2_beyond_mean/scale"]
    assert row["latent/active_units"] > 0
    assert row["share/vae/rot"] < 0.01 and row["share/vae/feat"] < 0.01


def test_the_sentence_names_what_was_learned_and_what_was_not():
    last = {f"r2_beyond_mean/{g}": v for g, v in {"xy": 0.8, "scale": 0.3, "rot": 0.0, "feat": 0.02}.items()}
    last |= {
        "kl/nats_heldout": 31.0,
        "latent/active_units": 60.0,
        "latent/active_share": 0.2,
        "latent/shuffled_error_ratio": 2.0,
    }
    said = what_happened(last, [{"event": "early_stop", "best_step": 90}])
    assert said == (
        "No collapse: 60 active units carry 31 nats. Places learned; scales partly (0.30); rotation and colour not learned "
        "(the mean is predicted). Stopped early, best at step 90."
    )
    assert read([], []) == {"what happened": "too short to judge"}
