"""Variational autoencoder whose log-sigma goes through a softplus.

Source: github.com/RasmussenLab/vamb pull requests 181 and 182: the maintainer found that sigma was in effect fixed.
Log-sigma cannot be negative, but the best values are: no code is ever known better than the prior knows it. Codes are
mostly noise, the encoder has to shout, and decoded draws from the prior are blurs.
"""

import torch
import torch.nn.functional as F
from torch import Tensor, nn, optim

import trainwright
from benchmarks.public.case import Case
from benchmarks.public.materials import batches, images
from trainwright.diagnosis.watch import Watch

CASE = Case(
    kind="variational",
    cause="latent_activation",
    symptoms=(
        "wiring",
        "blur",
        "mean_regression",
        "posterior_collapse",
        "prior_hole",
        "variance_collapse",
        "latent_scale",
        "off_data",
        "mode_dropping",
        "plateau",
    ),
    spoils="samples",
    source="RasmussenLab/vamb#182",
    also=("deviation_formula",),
    seconds=6,
)


class VAE(nn.Module):
    """Perceptrons with batch normalization."""

    def __init__(self, ntargets: int, nhiddens: int, nlatent: int, softplus: bool) -> None:
        super().__init__()
        self.softplus = softplus
        self.encoder = nn.Sequential(
            nn.Linear(ntargets, nhiddens),
            nn.LeakyReLU(),
            nn.BatchNorm1d(nhiddens),
            nn.Linear(nhiddens, nhiddens),
            nn.LeakyReLU(),
            nn.BatchNorm1d(nhiddens),
        )
        self.mu, self.sigma = nn.Linear(nhiddens, nlatent), nn.Linear(nhiddens, nlatent)
        self.decoder = nn.Sequential(
            nn.Linear(nlatent, nhiddens),
            nn.LeakyReLU(),
            nn.BatchNorm1d(nhiddens),
            nn.Linear(nhiddens, nhiddens),
            nn.LeakyReLU(),
            nn.Linear(nhiddens, ntargets),
        )

    def forward(self, x: Tensor) -> tuple[Tensor, Tensor, Tensor]:
        """Return reconstruction, mean and log of the variance."""
        h = self.encoder(x.flatten(1))
        mu, logsigma = self.mu(h), self.sigma(h)
        if self.softplus:
            logsigma = F.softplus(logsigma)
        latent = mu + torch.randn_like(mu) * torch.exp(logsigma / 2)
        return self.decoder(latent).view_as(x), mu, logsigma


def loop(fixed: bool) -> Watch:
    """Train; ``fixed`` is the repaired twin."""
    torch.manual_seed(182)
    data = images("emoji", 12)
    vae = VAE(432, 256, 24, softplus=not fixed)
    optimizer = optim.Adam(vae.parameters(), lr=1e-3)
    dataloader, nsteps = batches(data, 64), 1200

    @torch.no_grad()
    def sample(n: int) -> Tensor:
        vae.eval()
        out = vae.decoder(torch.randn(n, 24)).view(n, 3, 12, 12).clamp(-1, 1)
        vae.train()
        return out

    watch = trainwright.watch(total=nsteps, sample=sample, real=data)
    for step in range(nsteps):
        x = next(dataloader)
        out, mu, logsigma = vae(x)
        sse = (out - x).square().flatten(1).sum(1).mean()
        kld = -0.5 * (1 + logsigma - mu.square() - logsigma.exp()).sum(1).mean()
        optimizer.zero_grad()
        (sse + kld).backward()
        optimizer.step()
        watch(step, sse=sse.item(), kld=kld.item())
    return watch
