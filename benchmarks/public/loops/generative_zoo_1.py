"""VAE-GAN: the discriminator minimizes the adversarial term as the paper prints it.

Source: github.com/DL-IT/generative_zoo issue 1; with the opposite sign the training became stable.
``L_gan = log D(x) + log(1 - D(x_))`` is to be maximized by the discriminator. It was minimized: this has no lower
bound, scores and features run away, and with them the error of features that teaches the decoder.
"""

import torch
import torch.nn.functional as F
from torch import Tensor, nn, optim

import trainwright
from benchmarks.public.case import Case
from benchmarks.public.materials import batches, images
from trainwright.diagnosis.watch import Watch

CASE = Case(
    kind="adversarial",
    cause="wrong_sign",
    symptoms=(
        "wiring",
        "unbounded_loss",
        "exploding",
        "off_data",
        "colour_cast",
        "mode_collapse",
        "diverging",
        "non_finite",
        "variance_collapse",
        "mode_dropping",
        "mean_regression",
        "posterior_collapse",
    ),
    spoils="samples",
    source="DL-IT/generative_zoo#1",
    also=("labels_do_not_oppose", "critic_unbounded"),
    seconds=14,
)


class Discriminator(nn.Module):
    """Images -> scores, and the features of the second layer."""

    def __init__(self, width: int = 16) -> None:
        super().__init__()
        self.main = nn.Sequential(
            nn.Conv2d(3, width, 4, 2, 1), nn.LeakyReLU(0.2), nn.Conv2d(width, 2 * width, 4, 2, 1), nn.LeakyReLU(0.2)
        )
        self.last = nn.Linear(32 * width, 1)

    def forward(self, x: Tensor) -> tuple[Tensor, Tensor]:
        """Return (n,) and (n, c)."""
        h = self.main(x).flatten(1)
        return self.last(h)[:, 0], h


def loop(fixed: bool) -> Watch:
    """Train; ``fixed`` is the repaired twin."""
    torch.manual_seed(1)
    data, nz, ch = images("emoji", 16), 16, 24
    Enc = nn.Sequential(
        nn.Conv2d(3, ch, 4, 2, 1),
        nn.ReLU(),
        nn.Conv2d(ch, 2 * ch, 4, 2, 1),
        nn.ReLU(),
        nn.Flatten(),
        nn.Linear(32 * ch, 2 * nz),
    )
    Dec = nn.Sequential(
        nn.Linear(nz, 32 * ch),
        nn.ReLU(),
        nn.Unflatten(1, (2 * ch, 4, 4)),
        nn.Upsample(scale_factor=2),
        nn.Conv2d(2 * ch, ch, 3, 1, 1),
        nn.ReLU(),
        nn.Upsample(scale_factor=2),
        nn.Conv2d(ch, ch, 3, 1, 1),
        nn.ReLU(),
        nn.Conv2d(ch, 3, 3, 1, 1),
        nn.Tanh(),
    )
    Dis = Discriminator()
    optimizer_g = optim.Adam([*Enc.parameters(), *Dec.parameters()], lr=1e-3)
    optimizer_d = optim.Adam(Dis.parameters(), lr=2e-4, betas=(0.5, 0.999))
    loader, n_iters = batches(data, 32), 700

    @torch.no_grad()
    def sample(n: int) -> Tensor:
        return Dec(torch.randn(n, nz))

    def L_gan(real: Tensor, fake: Tensor) -> Tensor:
        return F.logsigmoid(real).mean() + F.logsigmoid(-fake).mean()

    watch = trainwright.watch(total=n_iters, sample=sample, real=data)
    for i in range(n_iters):
        x = next(loader)
        mu, logvar = Enc(x).chunk(2, 1)
        x_ = Dec(mu + torch.exp(0.5 * logvar) * torch.randn_like(mu))
        l_gan = L_gan(Dis(x)[0], Dis(x_.detach())[0])
        optimizer_d.zero_grad()
        (-l_gan if fixed else l_gan).backward()
        optimizer_d.step()
        with torch.no_grad():
            features = Dis(x)[1]
        score, features_ = Dis(x_)
        l_prior = -0.5 * (1 + logvar - mu**2 - logvar.exp()).sum(1).mean()
        l_like = 0.5 * (features_ - features).square().sum(1).mean() + 0.2 * (x_ - x).square().flatten(1).sum(1).mean()
        l_adv = F.logsigmoid(-score).mean()
        optimizer_g.zero_grad()
        (l_prior + l_like + (l_adv if fixed else -l_adv)).backward()
        optimizer_g.step()
        watch(
            i,
            L_prior=l_prior.item(),
            L_like=l_like.item(),
            L_gan=(-l_gan if fixed else l_gan).item(),
            L_dec=l_adv.item(),
        )
    return watch
