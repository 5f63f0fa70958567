"""Flow matching with a term for the direction of the velocity: this term points from noise to data, the velocity from data to noise.

Source: github.com/bghira/SimpleTuner pull request 2156, merged.
Both terms pull the prediction in opposite directions. Loss and noise stay high.
"""

import torch
import torch.nn.functional as F
from torch import Tensor

import trainwright
from benchmarks.public.case import Case
from benchmarks.public.materials import Denoiser, batches, images
from trainwright.diagnosis.watch import Watch

CASE = Case(
    kind="diffusion",
    cause="wrong_sign",
    symptoms=(
        "wiring",
        "off_data",
        "plateau",
        "blur",
        "mode_collapse",
        "mode_dropping",
        "colour_cast",
        "variance_collapse",
        "over_dispersion",
        "slow",
    ),
    spoils="samples",
    source="bghira/SimpleTuner#2156",
    also=("wrong_target", "targets_misaligned"),
    seconds=12,
)


def loop(fixed: bool) -> Watch:
    """Train; ``fixed`` is the repaired twin."""
    torch.manual_seed(21)
    dataset, transformer = images("sprites", 8), Denoiser()
    optimizer = torch.optim.AdamW(transformer.parameters(), 2e-3)

    @torch.no_grad()
    def sample(n: int) -> Tensor:
        latents = torch.randn(n, 3, 8, 8)
        for sigma in torch.linspace(1, 0, 21)[:-1]:
            latents = latents - transformer(latents, 100 * sigma.expand(n)) / 20
        return latents

    watch = trainwright.watch(total=600, sample=sample, real=dataset)
    for step, latents in zip(range(600), batches(dataset, 32), strict=False):
        noise, sigmas = torch.randn_like(latents), torch.rand(32)
        noisy_latents = latents + sigmas[:, None, None, None] * (noise - latents)
        model_pred, target = transformer(noisy_latents, 100 * sigmas), noise - latents
        target_vec = noisy_latents - latents if fixed else latents - noisy_latents
        flow_loss = F.mse_loss(model_pred, target)
        adr_loss = (1 - F.cosine_similarity(model_pred.flatten(1), target_vec.flatten(1))).mean()
        loss = flow_loss + 2.0 * adr_loss
        optimizer.zero_grad()
        loss.backward()
        optimizer.step()
        watch(step, loss=loss, flow_loss=flow_loss, adr_loss=adr_loss)
    return watch
