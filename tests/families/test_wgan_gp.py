"""WGAN-GP: sizes, the penalty, n_critic, fp32, and what the small critic can see."""

import pytest
import torch

from tests.conftest import quick_config, signals
from trainwright.families.wgan_gp.model import gradient_penalty
from trainwright.families.wgan_gp.networks import CRITICS, GENERATORS


def count(network):
    return sum(p.numel() for p in network.parameters())


@pytest.mark.parametrize(("name", "width", "generator", "critic"), [
    ("small", 64, 3_806_080, 2_878_464),
    ("large", 96, 8_559_961, 21_231_481),
])  # fmt: skip
def test_parameter_counts_are_the_guides(name, width, generator, critic):
    assert count(GENERATORS[name](128, width, 64, 3)) == generator
    assert count(CRITICS[name](width, 64, 3)) == critic
    assert count(CRITICS[name](width, 64, 3, "none")) == critic


@pytest.mark.parametrize("channels", [1, 3, 4])
@pytest.mark.parametrize(("name", "size"), [("small", 16), ("small", 32), ("small", 128), ("large", 32), ("large", 64)])
def test_any_power_of_two_and_channel_count(name, size, channels):
    generator, critic = GENERATORS[name](8, 4, size, channels), CRITICS[name](4, size, channels)
    images = generator(torch.randn(2, 8))
    assert images.shape == (2, channels, size, size)
    assert images.abs().max() <= 1
    assert critic(images).shape == (2,)


def test_penalty_of_a_linear_critic_is_known_in_closed_form():
    weight = torch.randn(3 * 8 * 8)
    weight = 3 * weight / weight.norm()

    def critic(x):
        return x.flatten(1) @ weight

    penalty, norm = gradient_penalty(critic, torch.randn(4, 3, 8, 8), torch.randn(4, 3, 8, 8))
    assert norm.item() == pytest.approx(3, rel=1e-5)
    assert penalty.item() == pytest.approx(4, rel=1e-5)


def test_penalty_is_computed_in_32_bits_under_autocast():
    seen = []

    class Critic(torch.nn.Conv2d):
        def forward(self, x):
            out = super().forward(x)
            seen.append(out.dtype)
            return out.mean((1, 2, 3))

    with torch.autocast("cpu", dtype=torch.bfloat16):
        gradient_penalty(Critic(3, 4, 3), torch.randn(2, 3, 8, 8), torch.randn(2, 3, 8, 8))
    assert seen == [torch.float32]


def test_the_guides_small_critic_cannot_see_contrast_and_the_frame_mends_it():
    torch.manual_seed(0)
    image = torch.rand(4, 3, 64, 64) * 2 - 1
    blind, seeing = CRITICS["small"](16, 64, 3, "none"), CRITICS["small"](16, 64, 3, "frame")
    for network in (blind, seeing):
        for parameter in network.parameters():
            parameter.data.mul_(10)
    assert torch.allclose(blind(image), blind(0.3 * image), rtol=1e-3)
    assert not torch.allclose(seeing(image), seeing(0.3 * image), rtol=1e-1)


@pytest.mark.parametrize("n_critic", [1, 3, 5])
def test_n_critic_is_counted_across_epochs(n_critic, quick):
    """40 images, batch 8: an epoch is five batches at most, so counting within one would starve the generator."""
    run = quick("wgan_gp/small", f"n_critic={n_critic}", "steps=15", "held_out=0.5", "log_every=15").run
    import json

    from trainwright.engine.checkpoint import latest

    updates = latest(run.checkpoints).state["updates"]
    assert updates == {"critic": 15, "generator": 15 // n_critic}
    assert json.dumps(updates)


def test_learning_rates_follow_their_schedules(quick):
    run = quick("wgan_gp/small", "lr_d={kind: linear, start: 0, end: 1e-3, over: 4}", "log_every=1", "n_critic=1").run
    assert [row["lr/critic"] for row in signals(run)] == pytest.approx([0, 2.5e-4, 5e-4, 7.5e-4, 1e-3, 1e-3])


def test_the_average_follows_buffers_too(quick):
    from tests.conftest import all_tensors

    tensors = all_tensors(quick("wgan_gp/small").run)
    means = {k: v for k, v in tensors.items() if k.startswith("average.generator") and k.endswith("running_mean")}
    assert means
    assert all(v.abs().sum() > 0 for v in means.values())


def test_spectral_norm_is_one_power_iteration_an_update(sprites):
    from trainwright.engine.model import build

    family, config = quick_config("wgan_gp/large", sprites)
    model = build(family, config)
    calls = {"n": 0}
    module = model.networks["critic"].last.parametrizations.weight[0]
    original = module._power_method
    module._power_method = lambda *a, **k: (calls.__setitem__("n", calls["n"] + 1), original(*a, **k))[1]

    class StepContext:
        step, epoch = 0, 0.0

        def update(self, *a, **k):
            pass

        record = update

    model.training_step(torch.rand(8, 3, 32, 32) * 2 - 1, StepContext())
    assert calls["n"] == 1


def test_bf16_trains_and_stays_finite(quick):
    assert quick("wgan_gp/large", "precision=bf16-mixed").status == "finished"
