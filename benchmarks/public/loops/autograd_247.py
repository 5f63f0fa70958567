"""Adversarial network of fully connected layers: the discriminator's first layer is normalized.

Source: github.com/HIPS/autograd pull request 247, merged; the example had the note that it "always
collapses to generating a single image". Real and generated images come in batches of their own. Normalized over
a batch, its mean and spread are gone, and the discriminator can't see them.
"""

import torch
import torch.nn.functional as F
from torch import Tensor

import trainwright
from benchmarks.public.case import Case
from benchmarks.public.materials import batches, images
from trainwright.diagnosis.watch import Watch

CASE = Case(
    kind="adversarial",
    cause="batch_norm_hides_scale",
    symptoms=(
        "wiring",
        "mode_collapse",
        "mode_dropping",
        "off_data",
        "colour_cast",
        "blur",
        "discriminator_guessing",
        "generator_dominance",
        "critic_dominance",
        "oscillation",
    ),
    spoils="samples",
    source="HIPS/autograd#247",
    also=("batch_norm_in_critic", "batch_norm_in_discriminator"),
    seconds=15,
)

Params = list[tuple[Tensor, Tensor]]


def init_random_params(scale: float, layer_sizes: list[int]) -> Params:
    """Build a list of (weights, biases) tuples, one for each layer."""
    return [
        ((scale * torch.randn(m, n)).requires_grad_(), torch.zeros(n, requires_grad=True))
        for m, n in zip(layer_sizes[:-1], layer_sizes[1:], strict=True)
    ]


def batch_normalize(activations: Tensor) -> Tensor:
    """Return activations with mean 0 and spread 1 over the batch."""
    return (activations - activations.mean(0)) / (activations.std(0) + 1e-5)


def neural_net_predict(params: Params, inputs: Tensor, normalize_first: bool) -> Tensor:
    """Apply the layers; the outputs of the last one are not normalized."""
    for i, (W, b) in enumerate(params[:-1]):
        outputs = inputs @ W + b
        if i > 0 or normalize_first:
            outputs = batch_normalize(outputs)
        inputs = F.leaky_relu(outputs, 0.1)
    outW, outb = params[-1]
    return inputs @ outW + outb


def loop(fixed: bool) -> Watch:
    """Train; ``fixed`` is the repaired twin."""
    torch.manual_seed(247)
    train_images = ((images("sprites", background=255) + 1) / 2).flatten(1)
    noise_dim, data_dim, batch_size, num_iters, step_size = 32, train_images.shape[1], 64, 1800, 5e-4
    init_gen_params = init_random_params(0.05, [noise_dim, 200, data_dim])
    init_dsc_params = init_random_params(0.05, [data_dim, 200, 1])
    gen_optimizer = torch.optim.Adam([p for layer in init_gen_params for p in layer], step_size, betas=(0.5, 0.999))
    dsc_optimizer = torch.optim.Adam([p for layer in init_dsc_params for p in layer], step_size, betas=(0.5, 0.999))

    def generate_from_noise(num_samples: int) -> Tensor:
        noise = torch.randn(num_samples, noise_dim)
        return torch.sigmoid(neural_net_predict(init_gen_params, noise, normalize_first=True))

    def discriminate(x: Tensor) -> Tensor:
        return neural_net_predict(init_dsc_params, x, normalize_first=not fixed)

    @torch.no_grad()
    def draw(n: int) -> Tensor:
        return generate_from_noise(max(n, batch_size))[:n].view(n, 3, 16, 16)

    watch = trainwright.watch(total=num_iters, sample=draw, real=train_images.view(-1, 3, 16, 16))
    for i, real_data in zip(range(num_iters), batches(train_images, batch_size), strict=False):
        fake_data = generate_from_noise(batch_size)
        dsc_objective = (
            F.softplus(-discriminate(real_data)).mean() + F.softplus(discriminate(fake_data.detach())).mean()
        )
        dsc_optimizer.zero_grad()
        dsc_objective.backward()
        dsc_optimizer.step()
        gen_objective = F.softplus(-discriminate(fake_data)).mean()
        gen_optimizer.zero_grad()
        gen_objective.backward()
        gen_optimizer.step()
        watch(i, gen_objective=gen_objective, dsc_objective=dsc_objective)
    return watch
