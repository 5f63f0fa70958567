"""DALL-E 2 decoder on images from 0 to 1: everything that it draws is too bright.

Source: github.com/lucidrains/DALLE2-pytorch issue 96 (repaired: normalization is now part of the decoder).
Sampling ends with the map from [-1, 1] to [0, 1]. The loader gives images in [0, 1], and nothing brings them to
[-1, 1] before noise is added, so that samples lie between a half and one.
"""

import torch
from torch import Tensor, nn, optim

import trainwright
from benchmarks.public.case import Case
from benchmarks.public.materials import Denoiser, alphas, batches, ddim, images
from trainwright.diagnosis.watch import Watch

CASE = Case(
    kind="diffusion",
    cause="data_range",
    symptoms=("wiring", "off_data", "colour_cast", "mode_dropping", "variance_collapse", "latent_scale"),
    spoils="samples",
    source="lucidrains/DALLE2-pytorch#96",
    also=("latents_not_scaled", "representation", "data_differs"),
    seconds=16,
)
TIMESTEPS = 100


class Decoder(nn.Module):
    """Diffusion decoder."""

    def __init__(self, unet: nn.Module, normalizes: bool) -> None:
        super().__init__()
        self.unet, self.normalizes, self.alphas_cumprod = unet, normalizes, alphas(TIMESTEPS)

    def forward(self, image: Tensor) -> Tensor:
        """Return the loss."""
        x_start = image * 2 - 1 if self.normalizes else image
        times, noise = torch.randint(TIMESTEPS, (len(image),)), torch.randn_like(image)
        a = self.alphas_cumprod[times][:, None, None, None]
        pred = self.unet(a.sqrt() * x_start + (1 - a).sqrt() * noise, times)
        return nn.functional.mse_loss(pred, noise)

    def sample(self, n: int) -> Tensor:
        """Draw images in [0, 1]."""
        img = ddim(self.unet, n, self.alphas_cumprod, steps=25)
        return (img + 1) * 0.5


def loop(fixed: bool) -> Watch:
    """Train; ``fixed`` is the repaired twin."""
    torch.manual_seed(96)
    dataset = (images("emoji", 8) + 1) / 2
    decoder = Decoder(Denoiser(total=TIMESTEPS), fixed)
    opt = optim.AdamW(decoder.parameters(), lr=1e-3)
    loader, steps = batches(dataset, 64), 900
    watch = trainwright.watch(total=steps, sample=decoder.sample, real=dataset)
    for step in range(steps):
        loss = decoder(next(loader))
        opt.zero_grad()
        loss.backward()
        opt.step()
        watch(step, training_loss=loss.item())
    return watch
