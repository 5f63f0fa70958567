"""Sizes worked out for the guide's program, a latent that hears context and motion and never the target, and a base that is one."""

import numpy as np
import pytest
import torch

from tests.conftest import quick_config
from trainwright import catalog as registry
from trainwright.data.video.dataset import Clips
from trainwright.engine.model import build
from trainwright.families.video_vaegan.config import NetworkConfig
from trainwright.families.video_vaegan.discriminators import Regional, SpatioTemporal
from trainwright.families.video_vaegan.generator import NORMS, Everywhere, Generator, Up, warp
from trainwright.families.video_vaegan.metrics import prediction_rows, prediction_signals
from trainwright.metrics.image_quality import psnr


def size(network: torch.nn.Module) -> int:
    return sum(p.numel() for p in network.parameters())


def made(title: str, sprites, *words: str):
    family, config = quick_config(title, sprites, *words)
    model = build(family, config)
    data = Clips.open(config.data)
    model.adapt_to_data(data)
    return model, data


@pytest.mark.parametrize(
    ("side", "latent", "predict", "regions", "expected"),
    [(64, 256, 1, 12, 10_534_435), (256, 512, 3, 24, 21_234_595), (32, 128, 1, 12, 2_268_259)],
)
def test_the_generator_without_a_base_has_the_guides_size(side, latent, predict, regions, expected) -> None:
    model = NetworkConfig(base="none", latent_dim=latent, region_count=regions, gen_film=True)
    assert size(Generator(model, side, predict)) == expected


@pytest.mark.parametrize(("reach", "seen"), [("quarter", 8), ("whole", 32)])
def test_a_place_is_mended_by_all_that_is_within_reach(reach, seen) -> None:
    torch.manual_seed(0)
    generator = Generator(NetworkConfig(reach=reach, region_count=2), 32, 1)
    torch.nn.init.normal_(generator.change.weight)
    context = torch.rand(1, 3, 5, 32, 32, requires_grad=True)
    generator(torch.zeros(1, 128), torch.zeros(1, 8), context)[0, 0, :, 0, 0].sum().backward()
    assert context.grad is not None
    felt = context.grad[0, 2].abs().amax(0)[0].nonzero()  # along the top row, from the left
    assert int(felt.max()) + 1 == pytest.approx(seen, abs=2)


def test_each_place_is_told_of_one_bright_place_elsewhere_in_its_own_frame() -> None:
    layer = Everywhere(4)
    x = torch.zeros(2, 4, 8, 8)
    dark = layer(x)
    x[0, :, 7, 7] = 1.0
    changed = (layer(x) - dark - x).abs()
    assert bool((changed[0].amax(0) > 1e-3).all()) and not changed[1].any()
    torch.testing.assert_close(changed[0], changed[0, :, :1, :1].expand(-1, 8, 8))


def test_tensors_keep_the_names_that_checkpoints_of_0_1_0_have() -> None:
    assert set(Everywhere(4).state_dict()) == {"told.weight", "told.bias"}


@pytest.mark.parametrize(("norm", "elsewhere"), [("pixel", False), ("instance", True)])
def test_one_bright_place_changes_the_others_under_an_instance_norm_alone(norm, elsewhere) -> None:
    torch.manual_seed(0)
    x = torch.randn(1, 8, 1, 4, 4)
    bright = x.clone()
    bright[..., 0, 0] *= 100
    changed = (NORMS[norm](8)(bright) - NORMS[norm](8)(x)).abs().amax((0, 1, 2))
    assert bool((changed.flatten()[1:] > 0.1).all()) is elsewhere
    assert bool((changed.flatten()[1:] < 1e-5).all()) is not elsewhere


@pytest.mark.parametrize(
    ("side", "predict", "regions", "film", "expected"),
    [
        (64, 1, 12, False, 2_889_089),
        (64, 1, 12, True, 3_019_265),
        (256, 3, 24, False, 34_224_001),
        (256, 3, 24, True, 34_488_321),
    ],
)
def test_the_discriminator_with_the_guides_layers_has_its_size(side, predict, regions, film, expected) -> None:
    model = NetworkConfig(disc_norm="instance", disc_film=film, region_count=regions, disc_spectral_norm=False)
    assert size(SpatioTemporal(model, side, predict)) == expected


@pytest.mark.parametrize("kind", [SpatioTemporal, Regional])
@pytest.mark.parametrize("norm", ["none", "instance"])
def test_discriminators_give_a_logit_a_clip(kind, norm) -> None:
    model = NetworkConfig(region_count=4, disc_features=8, disc_norm=norm, disc_film=kind is SpatioTemporal)
    boxes = torch.tensor([[0.0, 0, 16, 16]]).expand(2, 4, 4)
    found = kind(model, 16, 2)(torch.randn(2, 2, 3, 16, 16), boxes, torch.zeros(2, 16))
    assert found.shape == (2,)


def test_instance_norm_hides_colour_from_a_discriminator_and_no_norm_does_not() -> None:
    """Why the guide saw colour casts that its discriminator let pass: a constant shift of all maps is taken away."""
    torch.manual_seed(0)
    clip = torch.rand(1, 1, 3, 32, 32) * 0.2
    tinted = clip + torch.tensor([0.5, -0.3, 0.2]).view(1, 1, 3, 1, 1)
    seen = {}
    for norm in ("none", "instance"):
        network = SpatioTemporal(NetworkConfig(disc_norm=norm, disc_features=16, disc_spectral_norm=False), 32, 1)
        logits = [network(x, torch.zeros(1, 12, 4), torch.zeros(1, 48)).detach() for x in (clip, tinted, clip.flip(-1))]
        seen[norm] = float((logits[1] - logits[0]).abs() / (logits[2] - logits[0]).abs())  # beside a mirrored clip
    assert seen["none"] > 3 * seen["instance"]


def test_prediction_never_sees_its_target(sprites) -> None:
    model, data = made("video_vaegan/square", sprites)
    clips = data.some("train", 4)
    other = clips.clone()
    other[:, data.config.context :] = torch.randn_like(other[:, data.config.context :])
    other[:, data.config.context - 1, 3:] = 9.0  # the flow from the last given frame to the target tells it too
    assert torch.equal(model.predict(clips), model.predict(other))


@pytest.mark.parametrize("what", ["an early frame", "motion"])
def test_the_latent_hears_context_and_motion(what: str, sprites) -> None:
    """In the guide's program neither changed z."""
    model, data = made("video_vaegan/square", sprites, "motion=true")
    clips = data.some("train", 4)
    other = clips.clone()
    if what == "motion":
        other[:, 1, 3:] += 2.0
    else:
        other[:, 0, :3] = -other[:, 0, :3]
    before, after = model.encode(clips)[0], model.encode(other)[0]
    assert float((after - before).norm() / before.norm()) > 1e-3


def test_autoencoding_sees_the_target_where_the_recipe_says_so(sprites) -> None:
    model, data = made("video_vaegan/square", sprites, "encode=all")
    clips = data.some("train", 4)
    other = clips.clone()
    other[:, -1, :3] *= -1
    assert not torch.equal(model.encode(clips)[0], model.encode(other)[0])


def test_a_moved_frame_is_moved() -> None:
    frame = torch.zeros(1, 3, 16, 16)
    frame[..., 4:8, 4:8] = 1
    flow = torch.zeros(1, 2, 16, 16)
    flow[:, 0], flow[:, 1] = 3.0, -2.0
    expected = torch.zeros_like(frame)
    expected[..., 2:6, 7:11] = 1
    torch.testing.assert_close(warp(frame, flow), expected)


def test_an_untrained_prediction_with_a_base_lies_between_staying_and_moving(sprites) -> None:
    model, data = made("video_vaegan/square", sprites)
    clips = data.some("train", 4)
    last = clips[:, 2, :3]
    moved = warp(last, clips[:, 1, 3:])
    torch.testing.assert_close(model.predict(clips)[:, 0], ((last + moved) / 2).clamp(-1, 1), atol=1e-5, rtol=0)


def test_what_the_generator_adds_to_the_flow_moves_the_frame_further(sprites) -> None:
    model, data = made("video_vaegan/square", sprites, "predict=2", "ema_decay=0")
    clips = data.some("train", 4)
    last, flow = clips[:, 2, :3], clips[:, 1, 3:]
    with torch.no_grad():  # of each frame: share of the moved one, three colours, flow to the right and down
        model.generator.change.bias.copy_(torch.tensor([50.0, 0, 0, 0, 2, -1, 50.0, 0, 0, 0, 0, 3]))
    found = model.predict(clips)
    for i, more in enumerate([(2.0, -1.0), (0.0, 3.0)]):
        expected = warp(last, (i + 1) * flow + torch.tensor(more).view(2, 1, 1)).clamp(-1, 1)
        torch.testing.assert_close(found[:, i], expected, atol=1e-5, rtol=0)


def test_signals_of_a_prediction() -> None:
    target = torch.zeros(2, 1, 3, 16, 16)
    last = torch.full((2, 3, 16, 16), 0.2)
    found = prediction_signals(target + 0.1, target, last)
    assert found["prediction/psnr"] == pytest.approx(10 * torch.log10(torch.tensor(4 / 0.01)).item(), abs=1e-3)
    assert found["prediction/error_beside_copy"] == pytest.approx(0.25, abs=1e-4)
    assert float(psnr(target + 0.1, target, 2.0)) - found["prediction/copy_psnr"] == pytest.approx(6.02, abs=0.01)


def test_lpips_is_left_out_where_its_weights_are_not_at_hand(tmp_path, monkeypatch) -> None:
    monkeypatch.setenv("TORCH_HOME", str(tmp_path))
    target = torch.zeros(2, 1, 3, 32, 32)
    found = {row["metric"]: row for row in prediction_rows(target, target, target[:, 0] + 0.5)}
    assert "prediction/lpips" not in found and not list(tmp_path.rglob("*"))
    distance = found["prediction/feature_distance"]
    assert distance["value"] == 0 < distance["floor"]


@pytest.mark.parametrize(
    "words",
    [
        ("nesting=wubu", "regions=hybrid", "adaptive=0.5", "motion=true", "gen_film=true"),
        ("regions=spiral", "patches=pixels", "over_time=mean"),
        ("regions=subdivide", "base=last", "over_time=last"),
        ("disc_film=true", "disc_type=regional", "data.predict=2"),
        ("nesting=wubu", "wubu_rotation=true", "wubu_phi_curvature=true", "wubu_phi_rotation=true"),
        ("lambda_gan=0",),
        ("data.context=1", "base=none", "data.flow=false"),
    ],
)
def test_every_switch_trains(words: tuple[str, ...], quick) -> None:
    outcome = quick("video_vaegan/square", *words, "steps=2")
    assert outcome.status == "finished"


def test_what_does_not_fit_together_is_refused(sprites) -> None:
    from trainwright.errors import UserError

    for words, reported in (
        (("context=1",), "base: moved needs a context of two"),
        (("context=1", "base=last", "motion=true"), "motion needs two frames"),
        (("flow=false",), "data.flow"),
        (("wubu_s_curvatures=[1.0, 0.5, 0.2]",), "wubu_s_curvatures has 3"),
    ):
        with pytest.raises(UserError, match=reported):
            registry.load("video_vaegan/square", words)


def test_a_single_frame_is_enlarged_as_a_clip_of_one() -> None:
    layer = Up(6, 4, (3, 4, 4), (1, 2, 2), (1, 1, 1), bias=False)
    x = torch.randn(2, 6, 1, 4, 4)
    assert torch.allclose(layer(x), torch.nn.ConvTranspose3d.forward(layer, x), atol=1e-5)
    assert layer(x.expand(-1, -1, 3, -1, -1)).shape == (2, 4, 3, 8, 8)


def test_samples_are_a_moving_picture(sprites) -> None:
    import io

    import av
    from PIL import Image

    model, _ = made("video_vaegan/square", sprites)
    files = model.as_files(4, [3])
    with av.open(io.BytesIO(files["samples_000003.mp4"])) as film:
        frames = [f.to_ndarray(format="rgb24") for f in film.decode(video=0)]
    with Image.open(io.BytesIO(files["samples_000003.gif"])) as image:
        assert image.n_frames == len(frames) == 4 and min(image.size) >= 64  # type: ignore[attr-defined]
        shown = np.asarray(image.convert("RGB")).astype(int)
    assert frames[0].shape == shown.shape and abs(frames[0] - shown).mean() < 12  # H.264 halves the colours' resolution
