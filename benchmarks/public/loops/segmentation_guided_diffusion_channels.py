"""Diffusion of colour images with a network of one output channel: the loss repeats it over the three channels of the noise.

Source: github.com/mazurowski-lab/segmentation-guided-diffusion issue 5.
``out_channels=1`` was written for grey images. The network learns the mean of three noises, and images stay noise.
"""

import torch
import torch.nn.functional as F
from torch import Tensor

import trainwright
from benchmarks.public.case import Case
from benchmarks.public.materials import Denoiser, alphas, batches, images, noised
from trainwright.diagnosis.watch import Watch

CASE = Case(
    kind="diffusion",
    cause="loss_shapes_broadcast",
    symptoms=("wiring", "off_data", "plateau"),
    spoils="samples",
    source="mazurowski-lab/segmentation-guided-diffusion#5",
)


def loop(fixed: bool) -> Watch:
    """Train; ``fixed`` is the repaired twin."""
    torch.manual_seed(7)
    dataset, num_img_channels = images("sprites", 8), 3
    model = Denoiser(channels=num_img_channels, out=num_img_channels if fixed else 1)
    alphas_cumprod = alphas()
    optimizer = torch.optim.AdamW(model.parameters(), 2e-3)
    lr_scheduler = torch.optim.lr_scheduler.LambdaLR(optimizer, lambda s: min(1.0, (s + 1) / 50))

    @torch.no_grad()
    def evaluate(n: int) -> Tensor:
        image = torch.randn(n, num_img_channels, 8, 8)
        for t in range(99, -1, -5):
            a, before = alphas_cumprod[t], alphas_cumprod[t - 5] if t >= 5 else torch.tensor(1.0)
            noise_pred = model(image, torch.full((n,), t))
            original = ((image - (1 - a).sqrt() * noise_pred) / a.sqrt()).clamp(-1, 1)
            noise_pred = (image - a.sqrt() * original) / (1 - a).sqrt()
            image = before.sqrt() * original + (1 - before).sqrt() * noise_pred
        return image

    watch = trainwright.watch(total=600, sample=evaluate, real=dataset)
    for global_step, clean_images in zip(range(600), batches(dataset, 32), strict=False):
        noise, timesteps = torch.randn(clean_images.shape), torch.randint(0, 100, (len(clean_images),))
        noise_pred = model(noised(clean_images, noise, alphas_cumprod[timesteps]), timesteps)
        loss = F.mse_loss(noise_pred, noise)
        loss.backward()
        torch.nn.utils.clip_grad_norm_(model.parameters(), 1.0)
        optimizer.step()
        lr_scheduler.step()
        optimizer.zero_grad()
        watch(global_step, loss=loss)
    return watch
