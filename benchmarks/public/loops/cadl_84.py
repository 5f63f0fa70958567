"""VAE-GAN of emoji: mean and log-sigma of the codes go through tanh.

Source: github.com/pkmital/CADL issue 84; the author called it a mistake.
Means lie between -1 and 1, and sigma cannot fall below 0.6: neighbouring codes overlap whatever the encoder does. Few
things can be told apart, and the decoder gives averages.
"""

import torch
import torch.nn.functional as F
from torch import Tensor, nn, optim

import trainwright
from benchmarks.public.case import Case
from benchmarks.public.materials import batches, discriminator, images
from trainwright.diagnosis.watch import Watch

CASE = Case(
    kind="variational",
    cause="latent_activation",
    symptoms=(
        "wiring",
        "blur",
        "mean_regression",
        "posterior_collapse",
        "variance_collapse",
        "mode_collapse",
        "mode_dropping",
        "plateau",
        "off_data",
        "latent_scale",
        "prior_hole",
        "colour_cast",
    ),
    spoils="samples",
    source="pkmital/CADL#84",
    also=("latent_too_small", "beta_above_threshold"),
    seconds=19,
)


class VAEGAN(nn.Module):
    """Encoder and decoder."""

    def __init__(self, n_code: int, tanh: bool, ch: int = 24) -> None:
        super().__init__()
        self.tanh = tanh
        self.encoder = nn.Sequential(
            nn.Conv2d(3, ch, 4, 2, 1),
            nn.ELU(),
            nn.Conv2d(ch, 2 * ch, 4, 2, 1),
            nn.ELU(),
            nn.Flatten(),
            nn.Linear(32 * ch, 128),
            nn.ELU(),
        )
        self.mu, self.log_sigma = nn.Linear(128, n_code), nn.Linear(128, n_code)
        self.decoder = nn.Sequential(
            nn.Linear(n_code, 128),
            nn.ELU(),
            nn.Linear(128, 32 * ch),
            nn.ELU(),
            nn.Unflatten(1, (2 * ch, 4, 4)),
            nn.Upsample(scale_factor=2),
            nn.Conv2d(2 * ch, ch, 3, 1, 1),
            nn.ELU(),
            nn.Upsample(scale_factor=2),
            nn.Conv2d(ch, ch, 3, 1, 1),
            nn.ELU(),
            nn.Conv2d(ch, 3, 3, 1, 1),
            nn.Tanh(),
        )

    def forward(self, x: Tensor) -> tuple[Tensor, Tensor]:
        """Return reconstruction and the KL divergence in nats."""
        h = self.encoder(x)
        z_mu, z_log_sigma = self.mu(h), self.log_sigma(h)
        if self.tanh:
            z_mu, z_log_sigma = torch.tanh(z_mu), 0.5 * torch.tanh(z_log_sigma)
        z = z_mu + torch.exp(z_log_sigma) * torch.randn_like(z_mu)
        kl = -0.5 * (1 + 2 * z_log_sigma - z_mu**2 - torch.exp(2 * z_log_sigma)).sum(1).mean()
        return self.decoder(z), kl


def loop(fixed: bool) -> Watch:
    """Train; ``fixed`` is the repaired twin."""
    torch.manual_seed(84)
    data, n_code = images("emoji", 16), 8
    vae, D = VAEGAN(n_code, tanh=not fixed), discriminator(width=16, norm=False)
    opt_g = optim.Adam(vae.parameters(), lr=1e-3)
    opt_d = optim.Adam(D.parameters(), lr=2e-4, betas=(0.5, 0.999))
    loader, n_steps = batches(data, 32), 900

    @torch.no_grad()
    def sample(n: int) -> Tensor:
        return vae.decoder(torch.randn(n, n_code))

    def bce(logits: Tensor, target: float) -> Tensor:
        return F.binary_cross_entropy_with_logits(logits, torch.full_like(logits, target))

    watch = trainwright.watch(total=n_steps, sample=sample, real=data)
    for step in range(n_steps):
        x = next(loader)
        x_tilde, loss_kl = vae(x)
        loss_D = bce(D(x), 1.0) + bce(D(x_tilde.detach()), 0.0)
        opt_d.zero_grad()
        loss_D.backward()
        opt_d.step()
        loss_like = (x_tilde - x).square().flatten(1).sum(1).mean()
        loss_gen = bce(D(x_tilde), 1.0)
        opt_g.zero_grad()
        (0.5 * loss_like + loss_kl + loss_gen).backward()
        opt_g.step()
        watch(step, loss_kl=loss_kl.item(), loss_like=loss_like.item(), loss_gen=loss_gen.item(), loss_D=loss_D.item())
    return watch
