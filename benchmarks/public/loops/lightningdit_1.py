"""KL autoencoder: the learning rate is multiplied by the batch size, number of devices and accumulation.

Source: github.com/hustvl/LightningDiT issue 1; with ``--scale_lr false`` the training became stable.
The configured rate of 1e-3 becomes 0.064. The KL loss is huge from the first steps on, and images end as nearly
one colour.
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
    cause="lr_too_high",
    symptoms=(
        "exploding",
        "plateau",
        "spike",
        "posterior_collapse",
        "variance_collapse",
        "mean_regression",
        "blur",
        "mode_collapse",
        "oscillation",
        "colour_cast",
        "off_data",
        "diverging",
        "trivial_baseline",
    ),
    spoils="samples",
    source="hustvl/LightningDiT#1",
    seconds=16,
)


class AutoencoderKL(nn.Module):
    """Convolutional autoencoder with a vector of codes."""

    def __init__(self, z: int = 24, ch: int = 24) -> None:
        super().__init__()
        self.encoder = nn.Sequential(
            nn.Conv2d(3, ch, 4, 2, 1),
            nn.SiLU(),
            nn.Conv2d(ch, 2 * ch, 4, 2, 1),
            nn.SiLU(),
            nn.Flatten(),
            nn.Linear(32 * ch, 2 * z),
        )
        self.decoder = nn.Sequential(
            nn.Linear(z, 32 * ch),
            nn.SiLU(),
            nn.Unflatten(1, (2 * ch, 4, 4)),
            nn.Upsample(scale_factor=2),
            nn.Conv2d(2 * ch, ch, 3, 1, 1),
            nn.SiLU(),
            nn.Upsample(scale_factor=2),
            nn.Conv2d(ch, ch, 3, 1, 1),
            nn.SiLU(),
            nn.Conv2d(ch, 3, 3, 1, 1),
            nn.Tanh(),
        )

    def forward(self, x: Tensor) -> tuple[Tensor, Tensor]:
        """Return the reconstruction and the KL divergence in nats."""
        mean, logvar = self.encoder(x).chunk(2, 1)
        logvar = logvar.clamp(-30, 20)
        z = mean + torch.exp(0.5 * logvar) * torch.randn_like(mean)
        return self.decoder(z), 0.5 * (mean**2 + logvar.exp() - 1 - logvar).sum(1).mean()


def loop(fixed: bool) -> Watch:
    """Train; ``fixed`` is the repaired twin."""
    torch.manual_seed(1)
    data = images("sprites", 16)
    bs, base_lr, ngpu, accumulate_grad_batches, scale_lr = 32, 1e-3, 1, 2, not fixed
    model = AutoencoderKL()
    learning_rate = accumulate_grad_batches * ngpu * bs * base_lr if scale_lr else base_lr
    opt_ae = optim.Adam(model.parameters(), lr=learning_rate, betas=(0.5, 0.9))
    loader, steps, kl_weight = batches(data, bs), 1000, 1.0

    @torch.no_grad()
    def sample(n: int) -> Tensor:
        return model.decoder(torch.randn(n, 24))

    watch = trainwright.watch(total=steps, sample=sample, real=data)
    for step in range(steps):
        inputs = next(loader)
        reconstructions, kl_loss = model(inputs)
        rec_loss = F.mse_loss(reconstructions, inputs, reduction="none").flatten(1).sum(1).mean()
        opt_ae.zero_grad()
        (rec_loss + kl_weight * kl_loss).backward()
        opt_ae.step()
        watch(step, rec_loss=rec_loss.item(), kl_loss=kl_loss.item())
    return watch
