"""Inpainting by diffusion: the mask is negated bit by bit, so the condition shows what is to be filled in.

Source: github.com/williamberman/diffusers pull request 2.
``~mask`` of a mask of integers is -1 and -2, not 1 and 0. In training, pixels under the mask reach the
network, multiplied by -2. The pipeline blanks them with a comparison, and the network has nothing to copy
from.
"""

import torch
import torch.nn.functional as F
from torch import Tensor

import trainwright
from benchmarks.public.case import Case
from benchmarks.public.materials import Denoiser, alphas, images, noised
from trainwright.diagnosis.watch import Watch

CASE = Case(
    kind="diffusion",
    cause="targets_in_input",
    symptoms=("wiring", "off_data", "over_dispersion", "colour_cast", "blur"),
    spoils="samples",
    source="williamberman/diffusers#2",
    also=("condition_shows_target", "conditioning_differs"),
    seconds=17,
)
RESOLUTION, NUM_TRAIN_TIMESTEPS, MAX_TRAIN_STEPS, TRAIN_BATCH_SIZE = 8, 60, 800, 32


def make_mask(n: int) -> Tensor:
    """Return masks (n, 1, H, W) of integers: 1 in a rectangle that is to be painted."""
    mask = torch.zeros(n, 1, RESOLUTION, RESOLUTION, dtype=torch.int32)
    top, left = torch.randint(0, RESOLUTION // 2, (2, n)).tolist()
    height, width = torch.randint(RESOLUTION // 2, RESOLUTION - 1, (2, n)).tolist()
    for i in range(n):
        mask[i, 0, top[i] : top[i] + height[i], left[i] : left[i] + width[i]] = 1
    return mask


def main(repaired: bool) -> Watch:
    """Train an inpainting model."""
    pixel_values = images("emoji", RESOLUTION, background=255)
    # channels: noisy image, mask, masked image
    unet = Denoiser(3 + 1 + 3, 16, total=NUM_TRAIN_TIMESTEPS, out=3)
    alphas_cumprod = alphas(NUM_TRAIN_TIMESTEPS)
    optimizer = torch.optim.AdamW(unet.parameters(), lr=2e-3, weight_decay=1e-4)
    lr_scheduler = torch.optim.lr_scheduler.CosineAnnealingLR(optimizer, MAX_TRAIN_STEPS, 1e-5)

    def prepare(x: Tensor) -> dict[str, Tensor]:
        mask = make_mask(len(x))
        masked_pixel_values = x * (1 - mask) if repaired else x * ~mask
        return {"pixel_values": x, "mask": mask.float(), "masked_pixel_values": masked_pixel_values}

    @torch.no_grad()
    def pipeline(n: int) -> Tensor:
        image, mask = pixel_values[torch.randint(len(pixel_values), (n,))], make_mask(n).float()
        masked_image = image * (mask < 0.5)
        sample = torch.randn_like(image)
        timesteps = list(range(NUM_TRAIN_TIMESTEPS - 1, -1, -3))
        for i, t in enumerate(timesteps):
            a, before = (
                alphas_cumprod[t],
                alphas_cumprod[timesteps[i + 1]] if i + 1 < len(timesteps) else torch.tensor(1.0),
            )
            noise_pred = unet(torch.cat([sample, mask, masked_image], 1), torch.full((n,), t))
            pred_original = ((sample - (1 - a).sqrt() * noise_pred) / a.sqrt()).clamp(-1, 1)
            noise_pred = (sample - a.sqrt() * pred_original) / (1 - a).sqrt()
            sample = before.sqrt() * pred_original + (1 - before).sqrt() * noise_pred
        return sample * mask + masked_image

    watch = trainwright.watch(total=MAX_TRAIN_STEPS, sample=pipeline, real=pixel_values)
    for global_step in range(MAX_TRAIN_STEPS):
        batch = prepare(pixel_values[torch.randint(len(pixel_values), (TRAIN_BATCH_SIZE,))])
        noise = torch.randn_like(batch["pixel_values"])
        timesteps = torch.randint(0, NUM_TRAIN_TIMESTEPS, (TRAIN_BATCH_SIZE,))
        noisy = noised(batch["pixel_values"], noise, alphas_cumprod[timesteps])
        model_pred = unet(torch.cat([noisy, batch["mask"], batch["masked_pixel_values"]], 1), timesteps)
        loss = F.mse_loss(model_pred, noise)
        loss.backward()
        torch.nn.utils.clip_grad_norm_(unet.parameters(), 1.0)
        optimizer.step()
        lr_scheduler.step()
        optimizer.zero_grad()
        watch(global_step, step_loss=loss.item())
    return watch


def loop(fixed: bool) -> Watch:
    """Train; ``fixed`` is the repaired twin."""
    torch.manual_seed(2)
    return main(fixed)
