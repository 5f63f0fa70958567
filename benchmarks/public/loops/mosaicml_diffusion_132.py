"""Latent diffusion: the deviation of the latents is set to its inverse.

Source: github.com/mosaicml/diffusion pull request 132 (found in review and repaired before the merge).
The scale factor of the autoencoder multiplies latents. With the new options they are divided by ``latent_std``, but its
value is still that of the factor. The latents get many times the spread that the noise can cover.
"""

import torch
from torch import Tensor, nn, optim

import trainwright
from benchmarks.public.case import Case
from benchmarks.public.materials import Denoiser, alphas, batches, images
from trainwright.diagnosis.watch import Watch

CASE = Case(
    kind="diffusion",
    cause="latent_not_scaled",
    symptoms=("wiring", "off_data", "latent_scale", "schedule_mismatch", "mode_dropping", "variance_collapse",
              "colour_cast", "over_dispersion", "mode_collapse"),
    spoils="samples",
    source="mosaicml/diffusion#132",
    also=("latents_not_scaled", "data_range", "schedule_leaves_signal", "scale_inverted"),
    seconds=20,
)  # fmt: skip
timesteps = 100


def autoencoder(x: Tensor) -> tuple[nn.Module, nn.Module]:
    """Return a trained encoder (n, 3, 16, 16) -> (n, 4, 8, 8), and its decoder."""
    encoder = nn.Sequential(nn.Conv2d(3, 32, 4, 2, 1), nn.SiLU(), nn.Conv2d(32, 4, 3, 1, 1))
    decoder = nn.Sequential(nn.Conv2d(4, 32, 3, 1, 1), nn.SiLU(), nn.ConvTranspose2d(32, 3, 4, 2, 1))
    opt = optim.Adam([*encoder.parameters(), *decoder.parameters()], lr=3e-3)
    loader = batches(x, 64)
    for _ in range(300):
        batch = next(loader)
        opt.zero_grad()
        (decoder(encoder(batch)) - batch).square().mean().backward()
        opt.step()
    with torch.no_grad():  # latents of a spread of about 8, as those of Stable Diffusion
        factor = 8 / encoder(x[:256]).std()
        encoder[2].weight.mul_(factor)
        encoder[2].bias.mul_(factor)
        decoder[0].weight.div_(factor)
    return encoder.requires_grad_(False), decoder.requires_grad_(False)


def loop(fixed: bool) -> Watch:
    """Train; ``fixed`` is the repaired twin."""
    torch.manual_seed(132)
    data = images("emoji", 16)
    vae_encode, vae_decode = autoencoder(data)
    latents = torch.cat([vae_encode(data[i : i + 256]) for i in range(0, len(data), 256)])
    latent_mean, scaling_factor = latents.mean(), 1 / latents.std()
    latent_std = 1 / scaling_factor if fixed else scaling_factor
    unet, alphas_cumprod = Denoiser(channels=4, width=24, total=timesteps), alphas(timesteps)
    optimizer = optim.AdamW(unet.parameters(), lr=2e-3)
    scheduler = optim.lr_scheduler.CosineAnnealingLR(optimizer, 900)

    @torch.no_grad()
    def generate(n: int) -> Tensor:
        x, times = torch.randn(n, 4, 8, 8), list(range(timesteps - 1, -1, -4))
        for i, t in enumerate(times):
            a = alphas_cumprod[t]
            before = alphas_cumprod[times[i + 1]] if i + 1 < len(times) else torch.tensor(1.0)
            eps = unet(x, torch.full((n,), t))
            x = before.sqrt() * (x - (1 - a).sqrt() * eps) / a.sqrt() + (1 - before).sqrt() * eps
        return vae_decode(x * latent_std + latent_mean).clamp(-1, 1)

    loader, total = batches(latents, 40), 900
    watch = trainwright.watch(total=total, sample=generate, real=data)
    for step in range(total):
        z = (next(loader) - latent_mean) / latent_std
        t, noise = torch.randint(timesteps, (len(z),)), torch.randn_like(z)
        a = alphas_cumprod[t][:, None, None, None]
        loss = nn.functional.mse_loss(unet(a.sqrt() * z + (1 - a).sqrt() * noise, t), noise)
        optimizer.zero_grad()
        loss.backward()
        nn.utils.clip_grad_norm_(unet.parameters(), 1.0)
        optimizer.step()
        scheduler.step()
        watch(step, loss=loss.item())
    return watch
