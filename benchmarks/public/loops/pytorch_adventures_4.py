"""Latent diffusion: the scaling of latents is undone after the decoder instead of before it.

Source: github.com/priyammaz/PyTorch-Adventures issue 4, confirmed by the author.
The encoder's latents are multiplied by a scale before diffusion. The decoder gets latents that are still
scaled, and its images are divided by the scale.
"""

import torch
import torch.nn.functional as F
from torch import Tensor, nn

import trainwright
from benchmarks.public.case import Case
from benchmarks.public.materials import alphas, batches, images, mlp
from trainwright.diagnosis.watch import Watch

CASE = Case(
    kind="diffusion",
    cause="latents_scaled_when_decoded",
    symptoms=(
        "wiring",
        "off_data",
        "mode_collapse",
        "mode_dropping",
        "blur",
        "colour_cast",
        "over_dispersion",
        "latent_scale",
    ),
    spoils="samples",
    source="priyammaz/PyTorch-Adventures#4",
    also=("latent_not_scaled", "normalization_left_out_when_sampling", "scaling_not_undone"),
    seconds=20,
)


class VAE(nn.Module):
    """Autoencoder with unit noise on its latents (n, 24), whose means spread as far as they need."""

    def __init__(self, scale_first: bool, latent: int = 24) -> None:
        super().__init__()
        self.scale_first, self.scale = scale_first, 1.0
        self.encoder = mlp(192, 256, latent)
        self.decoder = mlp(latent, 256, 256, 192, last=nn.Tanh())

    def encode(self, x: Tensor) -> Tensor:
        """Return means."""
        return self.encoder(x.flatten(1))

    def forward(self, x: Tensor) -> Tensor:
        """Return the loss."""
        mean = self.encode(x)
        z = mean + torch.randn_like(mean)
        kl = 0.5 * mean.square().sum(1).mean()
        return (self.decoder(z) - x.flatten(1)).square().sum(1).mean() + 1e-3 * kl

    def encode_scaled(self, x: Tensor) -> Tensor:
        """Return latents of unit variance."""
        return self.encode(x) * self.scale

    def scale_decode(self, z: Tensor) -> Tensor:
        """Return images of latents of unit variance."""
        if self.scale_first:
            out = self.decoder(z / self.scale)
        else:
            out = self.decoder(z) / self.scale
        return out.view(-1, 3, 8, 8).clamp(-1, 1)


class Diffuser(nn.Module):
    """Predicts the noise of latents."""

    def __init__(self, latent: int = 24, steps: int = 60) -> None:
        super().__init__()
        self.steps, self.latent, self.bar = steps, latent, alphas(steps)
        self.time, self.inp = nn.Embedding(steps, 256), nn.Linear(latent, 256)
        self.blocks = nn.ModuleList([mlp(256, 256, 256) for _ in range(3)])
        self.out = nn.Linear(256, latent)

    def forward(self, x: Tensor, t: Tensor) -> Tensor:
        """Return the noise."""
        h, e = self.inp(x), self.time(t)
        for block in self.blocks:
            h = h + block(F.layer_norm(h + e, (256,)))
        return self.out(h)

    @torch.no_grad()
    def generate(self, n: int) -> Tensor:
        """Return latents."""
        x = torch.randn(n, self.latent)
        for i in range(self.steps - 1, -1, -1):
            before = self.bar[i - 1] if i else torch.tensor(1.0)
            alpha, rest = self.bar[i] / before, 1 - self.bar[i]
            x = (x - (1 - alpha) / rest.sqrt() * self(x, torch.full((n,), i))) / alpha.sqrt()
            if i:
                x = x + ((1 - alpha) * (1 - before) / rest).sqrt() * torch.randn_like(x)
        return x


def loop(fixed: bool) -> Watch:
    """Train; ``fixed`` is the repaired twin."""
    torch.manual_seed(4)
    data, vae, model = images("sprites", 8), VAE(scale_first=fixed), Diffuser()
    first = torch.optim.Adam(vae.parameters(), 2e-3)
    for _, x in zip(range(1200), batches(data, 64), strict=False):
        first.zero_grad()
        vae(x).backward()
        first.step()
    vae.requires_grad_(False)
    vae.scale = 1 / vae.encode(data).std().item()

    optimizer = torch.optim.AdamW(model.parameters(), 1e-3)
    scheduler = torch.optim.lr_scheduler.CosineAnnealingLR(optimizer, 2200)
    watch = trainwright.watch(total=2200, sample=lambda n: vae.scale_decode(model.generate(n)), real=data)
    for step, x in zip(range(2200), batches(data, 64), strict=False):
        latents = vae.encode_scaled(x)
        t, noise = torch.randint(0, model.steps, (64,)), torch.randn_like(latents)
        a = model.bar[t, None]
        loss = F.mse_loss(model(a.sqrt() * latents + (1 - a).sqrt() * noise, t), noise)
        optimizer.zero_grad()
        loss.backward()
        optimizer.step()
        scheduler.step()
        watch(step, diffusion_loss=loss)
    return watch
