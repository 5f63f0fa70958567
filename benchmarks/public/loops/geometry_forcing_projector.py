"""Diffusion with a loss that aligns features to a frozen network: the projector between them is in no optimizer.

Source: github.com/CIntellifusion/GeometryForcing issue 13.
The optimizer is made before the projector of the alignment loss and never gets its parameters. Samples come from the diffusion alone.
"""

import torch
import torch.nn.functional as F
from torch import Tensor, nn

import trainwright
from benchmarks.public.case import Case
from benchmarks.public.materials import Denoiser, alphas, batches, ddim, images, noised
from trainwright.diagnosis.watch import Watch

CASE = Case(
    kind="diffusion",
    cause="parameters_not_optimized",
    symptoms=("wiring", "frozen_network", "plateau"),
    spoils="nothing visible",
    source="CIntellifusion/GeometryForcing#13",
    also=("not_trained",),
)


class VGGTAlignmentLoss(nn.Module):
    """One minus the cosine of projected features and those of a frozen network."""

    def __init__(self) -> None:
        super().__init__()
        self.vggt = nn.Sequential(
            nn.Conv2d(3, 32, 3, 1, 1), nn.LeakyReLU(0.2), nn.AvgPool2d(2), nn.Conv2d(32, 24, 3, 1, 1)
        ).requires_grad_(False)
        self.projectors = nn.Sequential(nn.Conv2d(32, 48, 1), nn.SiLU(), nn.Conv2d(48, 24, 1))

    def forward(self, features: Tensor, x: Tensor) -> Tensor:
        """Return the loss."""
        return 1 - F.cosine_similarity(self.projectors(features), self.vggt(x), dim=1).mean()


def loop(fixed: bool) -> Watch:
    """Train; ``fixed`` is the repaired twin."""
    torch.manual_seed(16)
    videos, diffusion_model, bar = images("sprites", 8), Denoiser(), alphas()
    align_loss_fn, features = VGGTAlignmentLoss(), {}
    diffusion_model.middle2.register_forward_hook(lambda module, inputs, output: features.update(middle=output))
    transition_params = list(diffusion_model.parameters())
    if fixed:
        transition_params += list(align_loss_fn.projectors.parameters())
    optimizer = torch.optim.AdamW(transition_params, 2e-3, weight_decay=1e-3)
    watch = trainwright.watch(total=600, sample=lambda n: ddim(diffusion_model, n, bar), real=videos)
    for step, xs in zip(range(600), batches(videos, 32), strict=False):
        t, noise = torch.randint(0, 100, (32,)), torch.randn_like(xs)
        diffusion_loss = F.mse_loss(diffusion_model(noised(xs, noise, bar[t]), t), noise)
        align_loss = align_loss_fn(features["middle"], xs)
        loss = diffusion_loss + 0.5 * align_loss
        optimizer.zero_grad()
        loss.backward()
        optimizer.step()
        watch(step, diffusion_loss=diffusion_loss, align_loss=align_loss, loss=loss)
    return watch
