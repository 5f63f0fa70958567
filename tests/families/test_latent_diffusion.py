"""One table of noise, a proof of the pair, latents that are encoded once, folders that come in and go out, and stage one on the way."""

import json
import math
import re
import shutil

import numpy as np
import pytest
import torch

from tests.conftest import SMOKE, quick_config
from trainwright import catalog as registry
from trainwright.data.array_cache import cache_root
from trainwright.engine.display import Silent
from trainwright.engine.inference import load
from trainwright.engine.model import build
from trainwright.engine.preflight import preflight_of
from trainwright.engine.session import train
from trainwright.errors import UserError
from trainwright.families.latent_diffusion.config import NoiseSettings, Sampler
from trainwright.families.latent_diffusion.diversity import diversity_signals, pairwise_mse, reproduced
from trainwright.families.latent_diffusion.noise import TIMES, Noise
from trainwright.report.evaluation import evaluate_run
from trainwright.runs.folder import Run
from trainwright.studies.jobs import changed

SMALL, FIRST = "latent_diffusion/small", "latent_diffusion/autoencoder"


def opened(sprites, *words, title=SMALL):
    family, config = quick_config(title, sprites, *words)
    data = family.load(config).open_data(config)
    made = build(family, config)
    made.adapt_to_data(data)
    return made, data


def beside_folder(sprites, *words):
    """A smoke config without what an autoencoder's own folder settles."""
    family = registry.family("latent_diffusion")
    smoke = [w for w in (*family.smoke, *SMOKE) if not w.startswith(("vae.", "critic_"))]
    return registry.load(SMALL, (*smoke, f"data={sprites}", "tracker=none", *words))


# ---- noise -----------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize("prediction", ["epsilon", "v"])
@pytest.mark.parametrize("schedule", ["linear", "cosine"])
@pytest.mark.parametrize(("sampler", "steps"), [("ddim", 200), ("dpm_solver", 40)])
def test_a_right_pair_gives_a_gaussian_back(schedule, prediction, sampler, steps):
    noise = Noise(NoiseSettings(schedule=schedule, prediction=prediction))
    mean, variance = noise.toy(Sampler(sampler=sampler, sampler_steps=steps), variance=0.5)
    assert mean == pytest.approx(1, abs=0.02)
    assert variance == pytest.approx(1, abs=0.06)


@pytest.mark.parametrize(("variance", "mean", "spread"), [(1.0, 3.96, 5.88), (0.5, 2.22, 1.97), (0.1, 1.23, 1.11)])
def test_the_wrong_pair_of_the_guide_inflates_as_worked_out_for_it(variance, mean, spread):
    """Values of an ideal network under the authors' own sampler; theirs takes 700 Euler steps, ours 1000 of DDPM."""
    noise = Noise(NoiseSettings(schedule="linear", prediction="epsilon", keep_signal=True))
    found = noise.toy(Sampler(sampler="ddpm", sampler_steps=TIMES), variance=variance)
    assert found[0] == pytest.approx(mean, rel=0.05)
    assert found[1] == pytest.approx(spread, rel=0.15)  # 512 draws
    assert noise.distance(Sampler()) > 0.9


def test_training_and_every_sampler_read_one_table():
    for schedule in ("linear", "cosine"):
        noise = Noise(NoiseSettings(schedule=schedule))
        for sampler in ("ddpm", "ddim", "dpm_solver"):
            assert noise.distance(Sampler(sampler=sampler)) < 1e-6
        assert noise.distance(Sampler(sampler_schedule="linear")) == pytest.approx(
            0 if schedule == "linear" else 0.43, abs=0.01
        )
        assert torch.allclose(noise.alpha**2 + noise.sigma**2, torch.ones(TIMES), atol=1e-6)
    cosine = Noise(NoiseSettings(schedule="cosine"))
    wanted = math.cos((0.5 + 0.008) / 1.008 * math.pi / 2) / math.cos(0.008 / 1.008 * math.pi / 2)
    assert float(cosine.alpha[499]) == pytest.approx(wanted, abs=1e-4)


def test_v_turns_back_into_noise_and_latent():
    noise = Noise(NoiseSettings(prediction="v"))
    z, eps = torch.randn(4, 2, 3, 3), torch.randn(4, 2, 3, 3)
    alpha, sigma = noise.at(torch.tensor([0, 300, 700, 999]))
    x, v = alpha * z + sigma * eps, noise.target(z, eps, alpha, sigma)
    assert torch.allclose(alpha * x - sigma * v, z, atol=1e-5)
    assert torch.allclose(sigma * x + alpha * v, eps, atol=1e-5)


def test_preflight_stops_a_wrong_pair_and_proves_the_right_one(sprites):
    def pair(*words):
        family, config = quick_config(SMALL, sprites, "sampler_steps=20", *words)
        data = family.load(config).open_data(config)
        return next(c for c in preflight_of(family, config, data, seconds=0.1) if c.name == "schedule_pair")

    assert pair().grade == "ok"
    assert "1.00 of its mean" in pair().message
    assert pair("keep_signal=true").grade == "stop"
    assert pair("sampler_schedule=linear").grade == "stop"
    coarse = pair("sampler=ddim", "sampler_steps=4")
    assert (coarse.grade, coarse.fix) == ("warn", "sampler_steps=20")
    with pytest.raises(UserError, match="600 does not"):
        quick_config(SMALL, sprites, "sampler=ddim", "sampler_steps=600")


def test_the_doctor_names_the_wrong_pair_at_the_first_look(quick):
    run = quick("latent_diffusion/mixed_up", "schedule=linear").run
    event = next(e for e in run.events() if e["event"] == "finding")
    assert (event["symptom"], event["step"]) == ("schedule_mismatch", 4)  # the row after the look at 3
    assert event["causes"][0]["cause"] == "sampler_schedule"
    assert run.read()["verdict"] == "sick"


# ---- diversity -------------------------------------------------------------------------------------------------------


def test_pairwise_distances_are_twice_the_variance_and_have_their_target_beside_them():
    real = torch.randn(256, 4, 8, 8, generator=torch.Generator().manual_seed(0))
    same = diversity_signals(torch.randn(16, 4, 8, 8, generator=torch.Generator().manual_seed(1)), real)
    assert same["sample_diversity/pairwise_mse_mean"] == pytest.approx(2, abs=0.1)
    assert same["sample_diversity/ratio"] == pytest.approx(1, abs=0.05)
    assert same["sample_diversity/pairwise_mse_min"] == pytest.approx(same["real_diversity/pairwise_mse_min"], abs=0.15)
    wide = diversity_signals(1.5 * real[:16], real)
    assert wide["sample_diversity/ratio"] == pytest.approx(2.25, abs=0.1)
    flat = [(a - b).square().mean() for i, a in enumerate(real[:4]) for b in real[i + 1 : 4]]
    assert pairwise_mse(real[:4])["pairwise_mse_mean"] == pytest.approx(float(torch.stack(flat).mean()), rel=1e-6)


def test_real_distances_are_those_of_the_whole_set_however_it_is_sorted():
    own = torch.Generator().manual_seed(0)
    folders = torch.randn(8, 1, 4, 8, 8, generator=own)  # what is in one folder is alike
    real = (folders + 0.3 * torch.randn(8, 32, 4, 8, 8, generator=own)).flatten(0, 1)
    samples = real[torch.randperm(256, generator=own)[:16]]
    assert diversity_signals(samples, real)["sample_diversity/ratio"] == pytest.approx(1, abs=0.15)


def test_a_few_of_a_subset_are_drawn_from_all_over_it(sprites):
    _, data = opened(sprites, "subset=16")
    few = data.some("train", 4)
    first = data.unscaled(data.source.first("train", 4)) * float(data.codec.scale)
    assert torch.equal(few, first)
    assert not torch.equal(few, data.some("train", 16)[:4])


def test_an_evaluation_of_the_last_weights_is_of_them_alone(quick, sprites):
    run, family = quick(SMALL, "steps=6", "ema_decay=0.9", "ema_warmup=false").run, registry.family("latent_diffusion")
    found = {}
    for averaged in (True, False):
        rows = evaluate_run(family, run, 16, 0, averaged)["rows"]
        found[averaged] = {row["metric"]: row["value"] for row in rows}
    for name in ("sample_diversity/pairwise_mse_mean", "validation/loss"):
        assert found[True][name] != found[False][name], name


def test_a_look_measures_kid_in_the_features_of_an_evaluation(sprites):
    made, data = opened(sprites)
    found = made.probe(data, 16, 3)
    assert found["samples/kid"] > 100  # an untrained network
    again = made.probe(data, 16, 3)
    assert again["samples/kid"] == found["samples/kid"]
    real = data.images("train", 16)
    assert made._kid(data, real)["samples/kid"] < 0.5 * found["samples/kid"]


def test_reproduced_counts_pictures_not_samples():
    images = torch.rand(4, 3, 8, 8) * 2 - 1
    found = reproduced(images[[0, 0, 1, 2]], images, 0.9 * images)
    assert 25 < found["overfit/decoded_psnr"] < 35
    assert found["overfit/found_share"] == 0.75
    assert found["overfit/psnr"] > 100
    assert found["overfit/least_psnr"] < 25


# ---- stage one, latents ----------------------------------------------------------------------------------------------


def test_latents_are_encoded_once_have_unit_scale_and_mirror_images(sprites, monkeypatch):
    made, data = opened(sprites)
    monkeypatch.setattr(
        "trainwright.families.latent_diffusion.latents._encode", None
    )  # a second time would be an error
    again = opened(sprites)[1]
    assert again.identity == data.identity
    assert data.moments.shape[1:] == (2, 8, 8, 8)
    assert float(data.some("train", 1000).std()) == pytest.approx(1, abs=1e-3)
    assert float(made.codec.scale) == float(data.codec.scale) != 1.0
    image = data.source.some("train", 1)
    index = data.source.first("train", 1)[0]
    for view, shown in enumerate((image, image.flip(-1))):
        mean, log_variance = made.codec.moments(shown)
        stored = torch.from_numpy(np.asarray(data.moments[index, view]))
        assert torch.allclose(stored, torch.cat([mean, (0.5 * log_variance).exp()], 1)[0], atol=1e-5)


def test_a_damaged_latent_cache_is_named(sprites, tmp_path, monkeypatch):
    monkeypatch.setenv("TRAINWRIGHT_CACHE", str(tmp_path / "cache"))
    opened(sprites, "autoencoder_steps=7", "flip=0.0")
    (folder,) = (cache_root() / "arrays" / "latents").iterdir()
    with (folder / "moments.bin").open("r+b") as handle:
        handle.write(b"damaged!")
    with pytest.raises(UserError, match="damaged; remove that folder"):
        opened(sprites, "autoencoder_steps=7", "flip=0.0")


def test_an_autoencoder_of_ones_own_prescribes_pictures_and_network(quick, sprites, tmp_path):
    first = quick(FIRST, "vae.widths=[8, 16]", "latent_channels=3", run=tmp_path / "ae").run
    family, config = registry.load(SMALL, (f"autoencoder={first.folder}", "multipliers=[1, 2]", "base_channels=8"))
    assert (config.vae.widths, config.vae.latent_channels, config.data.source) == ((8, 16), 3, str(sprites))
    made, data = build(family, config), family.load(config).open_data(config)
    assert made.codec.shape == (3, 16, 16)
    trained = load(family, first).model
    image = data.source.some("held_out", 2)
    mean = trained.network("autoencoder", True).moments(image)[0]
    assert torch.allclose(mean * data.codec.scale, data.some("held_out", 2), atol=1e-5)
    with pytest.raises(UserError, match="neither a run of stage one"):
        registry.load(SMALL, (f"autoencoder={sprites}",))
    with pytest.raises(UserError, match="is no folder"):
        registry.load(SMALL, ("autoencoder=nowhere",))
    with pytest.raises(UserError, match=r"vae\.widths is fixed by the autoencoder"):
        registry.load(SMALL, (f"autoencoder={first.folder}", "vae.widths=[8, 8]"))
    with pytest.raises(UserError, match="must be a multiple of 32"):
        registry.load(SMALL, (f"autoencoder={first.folder}", "multipliers=[1, 2, 2, 2, 2, 2]"))
    own = tmp_path / "own.yaml"
    own.write_text(f"family: latent_diffusion\nextends: small\nautoencoder: {first.folder}\ndata: {{source: photos}}\n")
    assert registry.load(str(own), ("multipliers=[1, 2]",))[1].data.source == "photos"
    first.update(status="interrupted")
    with pytest.raises(UserError, match="is interrupted at step 6 of 6; finish it first"):
        registry.load(SMALL, (f"autoencoder={first.folder}",))


def test_an_autoencoder_in_a_relative_folder_is_found_from_elsewhere(quick, tmp_path, monkeypatch):
    quick(FIRST, run=tmp_path / "ae")
    monkeypatch.chdir(tmp_path)
    words = ("autoencoder=ae", "multipliers=[1, 2]", "base_channels=8")
    assert registry.load(SMALL, words)[1].autoencoder == str(tmp_path / "ae")


def test_a_plan_can_change_the_mode_and_it_prescribes_the_same(sprites):
    family, config = quick_config(SMALL, sprites)
    few = changed(family, config, {"mode": "overfit_one"}, "a plan")
    assert (few.subset, few.data.augment.flip) == (1, 0.0)
    assert changed(family, few, {"mode": "full_train"}, "a plan").subset is None
    assert changed(family, few, {"optim.weight_decay": 0.5}, "a plan").subset == 1


def test_mirror_images_can_be_switched_off_in_a_running_run(quick, tmp_path):
    quick(SMALL, "steps=4", run=tmp_path / "run")
    assert quick(SMALL, "flip=0.0", run=tmp_path / "run").step == 6


def test_a_recipe_of_stage_one_prescribes_its_network_unless_that_is_typed_too(sprites):
    compact = "autoencoder=latent_diffusion/autoencoder_compact"
    plain = registry.load("latent_diffusion/small", (compact,))[1]
    assert (plain.vae.widths, plain.vae.latent_channels, plain.data.source) == ((24, 48, 96), 8, "sprites")
    typed = registry.load("latent_diffusion/small", (compact, "vae.widths=[16, 32, 64]"))[1]
    assert (typed.vae.widths, typed.vae.latent_channels) == ((16, 32, 64), 8)
    for title, recipe in registry.recipes().items():
        if recipe.family == "latent_diffusion":
            config = registry.load(title)[1]
            assert config.stage == "autoencoder" or config.vae == registry.load(config.autoencoder)[1].vae, title


def test_settings_of_stage_one_reach_the_autoencoder_on_the_way(sprites):
    from trainwright.families.latent_diffusion.trained_autoencoder import stage_one

    made = stage_one(quick_config(SMALL, sprites, "kl_weight=0.5", "autoencoder=latent_diffusion/autoencoder_sharp")[1])
    assert (made.stage_one.kl_weight, made.stage_one.critic_weight, made.stage) == (0.5, 0.5, "autoencoder")


def test_an_autoencoder_on_the_way_can_see_only_the_few_pictures_that_are_learned_by_heart(sprites):
    made, data = opened(sprites, title="latent_diffusion/overfit_one")
    assert len(data) == 1 and float(data.some("train", 1).std()) == pytest.approx(1, abs=1e-3)
    everything = opened(sprites, "autoencoder_subset=false", title="latent_diffusion/overfit_one")[0]
    one, other = (m.codec.vae.encoder.conv_in.weight for m in (made, everything))
    assert not torch.equal(one, other)


def test_only_what_latents_allow_can_be_set(sprites):
    with pytest.raises(UserError, match="supports only flip"):
        quick_config(SMALL, sprites, "rotation=10.0")
    with pytest.raises(UserError, match="must be a multiple of 8"):
        quick_config(SMALL, sprites, "size=32", "vae.widths=[8, 8, 8, 8]", "multipliers=[1, 2, 4, 8]")


def test_modes_of_the_launcher_win_over_flags(sprites):
    for mode, count in (("overfit_one", 1), ("overfit_16", 16), ("overfit_32", 32)):
        config = quick_config(SMALL, sprites, f"mode={mode}", "subset=7", "flip=0.5")[1]
        assert (config.subset, config.data.augment.flip) == (count, 0.0)
    data = opened(sprites, "mode=overfit_16")[1]
    assert len(data) == len(data.images("train", 99)) == 16


def test_the_scale_can_be_forced_and_the_doctor_sees_it(sprites):
    made, data = opened(sprites, "latent_scale=0.01")
    assert float(made.codec.scale) == pytest.approx(0.01)
    found = made.validate(data)
    assert found["latent/scaled_std"] < 0.5
    assert made.facts(data)["latent_scaled_std"] < 0.5


# ---- samples ---------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize("sampler", ["ddpm", "ddim", "dpm_solver"])
def test_samplers_are_pure_functions_of_the_seed(sprites, sampler):
    made, _ = opened(sprites, f"sampler={sampler}")
    with torch.no_grad():
        made.unet.conv_out.weight.normal_(0, 0.1)
    torch.manual_seed(1)
    one = made.sample(3, seed=7)
    torch.manual_seed(2)
    assert torch.equal(one, made.sample(3, seed=7))
    assert not torch.equal(one, made.sample(3, seed=8))


def test_a_batch_may_be_smaller_than_the_stretches_of_time(quick, tmp_path):
    assert quick(SMALL, "batch_size=2", run=tmp_path / "run").status == "finished"


def test_decay_is_for_matrices_and_kernels_alone(sprites):
    made, _ = opened(sprites, "weight_decay=0.3")
    for group in made.groups["unet"].optimizer.param_groups:
        shapes = {p.ndim > 1 for p in group["params"]}
        assert shapes == {group["weight_decay"] > 0}


# ---- diffusers -------------------------------------------------------------------------------------------------------


def test_an_exported_model_is_sampled_by_plain_diffusers_and_comes_in_again(quick, sprites, tmp_path, capsys):
    from diffusers import DiffusionPipeline

    from trainwright.cli import app

    run = quick(SMALL, "sampler_steps=5", run=tmp_path / "run").run
    folder = tmp_path / "exported"
    app(["export", str(run.folder), str(folder)], standalone_mode=False)
    printed = re.search(r"from_pretrained\('([^']+)'\)", capsys.readouterr().out)
    pipe = DiffusionPipeline.from_pretrained(printed[1])
    pipe.set_progress_bar_config(disable=True)
    made = pipe(
        batch_size=4, generator=torch.Generator().manual_seed(3), num_inference_steps=5, output_type="np"
    ).images
    trained = load(registry.family("latent_diffusion"), run)
    ours = trained.model.sample(4, seed=3)
    assert np.allclose(made, ours.permute(0, 2, 3, 1).numpy() / 2 + 0.5, atol=1e-4)
    with pytest.raises(UserError, match="give the name of a new folder"):
        app(["export", str(run.folder), str(folder)], standalone_mode=False)

    family, config = beside_folder(sprites, f"autoencoder={folder}", f"begin_from={folder}")
    data = family.load(config).open_data(config)
    again = build(family, config)
    again.adapt_to_data(data)
    for name, tensor in trained.model.network("unet", True).state_dict().items():
        assert torch.equal(tensor, again.unet.state_dict()[name])
    outcome = train(family, config, Run(tmp_path / "more"), Silent())
    assert outcome.status == "finished"


def test_a_diffusers_folder_that_does_not_fit_is_said_in_a_sentence(quick, sprites, tmp_path):
    from safetensors.torch import load_file, save_file

    run = quick(SMALL, run=tmp_path / "run").run
    (tmp_path / "whole").mkdir()
    load(registry.family("latent_diffusion"), run).model.export(tmp_path / "whole")

    def refused(match, *words, make=lambda *words: beside_folder(sprites, *words)):
        with pytest.raises(UserError, match=match):
            family, config = make(*words)
            build(family, config).adapt_to_data(family.load(config).open_data(config))

    broken = shutil.copytree(tmp_path / "whole", tmp_path / "broken")
    weights = broken / "vqvae" / "diffusion_pytorch_model.safetensors"
    save_file({k: v for k, v in load_file(weights).items() if "conv_out" not in k}, weights)
    refused("lacks weights that its config.json needs; the first is ", f"autoencoder={broken}")
    settings = json.loads((broken / "vqvae" / "config.json").read_text())
    (broken / "vqvae" / "config.json").write_text(json.dumps({**settings, "block_out_channels": "8"}))
    refused("no AutoencoderKL can be built", f"autoencoder={broken}")
    refused("the UNet there has 4 channels", f"begin_from={tmp_path / 'whole'}", "latent_channels=3",
            make=lambda *words: quick_config(SMALL, sprites, *words))  # fmt: skip
    shutil.rmtree(broken / "unet")
    refused("no folder with a diffusers UNet2DModel", f"begin_from={broken}")


def test_an_autoencoder_alone_can_be_exported(quick, tmp_path):
    from diffusers import AutoencoderKL

    run = quick(FIRST, run=tmp_path / "run").run
    model = load(registry.family("latent_diffusion"), run).model
    (tmp_path / "out").mkdir()
    model.export(tmp_path / "out")
    vae = AutoencoderKL.from_pretrained(str(tmp_path / "out"))
    assert vae.config["scaling_factor"] == pytest.approx(float(model.network("autoencoder", True).scale))


def test_a_pickle_in_a_diffusers_folder_is_not_opened(sprites, quick, tmp_path):
    run = quick(FIRST, run=tmp_path / "run").run
    (tmp_path / "out").mkdir()
    load(registry.family("latent_diffusion"), run).model.export(tmp_path / "out")
    weights = tmp_path / "out" / "diffusion_pytorch_model.safetensors"
    weights.unlink()
    mark = tmp_path / "executed"

    class Bomb:
        def __reduce__(self):
            return (open, (str(mark), "w"))

    torch.save({"bomb": Bomb()}, tmp_path / "out" / "diffusion_pytorch_model.bin")
    family, config = beside_folder(sprites, f"autoencoder={tmp_path / 'out'}")
    with pytest.raises(UserError, match="cannot be loaded"):
        family.load(config).open_data(config)
    assert not mark.exists()


def test_without_the_library_it_says_what_to_install(monkeypatch, sprites):
    family, config = quick_config(SMALL, sprites)
    monkeypatch.setattr("trainwright.families.latent_diffusion.stages.find_spec", lambda name: None)
    with pytest.raises(UserError, match=r"pip install 'trainwright\[diffusion\]'"):
        family.load(config)


def test_the_patch_discriminator_comes_in_late_and_weighs_as_much_as_l1(quick, tmp_path):
    rows = [
        json.loads(line)
        for line in quick("latent_diffusion/autoencoder_sharp", "critic_after=3", "log_every=1", run=tmp_path / "run")
        .run.metrics.read_text()
        .splitlines()
    ]
    assert ["discriminator/loss" in row for row in rows] == [False] * 3 + [True] * 3


def test_the_adversarial_term_weighs_half_as_much_as_l1_at_the_last_layer(sprites):
    made, data = opened(sprites, "critic_after=0", title="latent_diffusion/autoencoder_sharp")
    again, _, _ = made.codec(data.some("train", 4))
    l1, score = (again - data.some("train", 4)).abs().mean(), -made.critic(again).mean()
    ratio = 0.5 * made._ratio(l1, score)
    last = made.codec.vae.decoder.conv_out.weight
    one, other = (torch.autograd.grad(t, last, retain_graph=True)[0].norm() for t in (l1, score))
    assert float(ratio * other) == pytest.approx(0.5 * float(one), rel=0.05)
