"""Recurrent VAE: with the scheduler switched off, its factor is 0 instead of 1.

Source: github.com/LINCellularNeuroscience/VAME issue 26, corrected; the same in AntixK/PyTorch-VAE issue 71.
After the first fifth of the epochs the learning rate is 0 and nothing is learned any more.
"""

import torch
import torch.nn.functional as F
from torch import Tensor, nn
from torch.optim.lr_scheduler import StepLR

import trainwright
from benchmarks.public.case import Case
from benchmarks.public.materials import images, kl_nats
from trainwright.diagnosis.watch import Watch

CASE = Case(
    kind="variational",
    cause="lr_reaches_zero_early",
    symptoms=("wiring", "frozen_network", "plateau", "blur", "variance_collapse", "off_data"),
    spoils="samples",
    source="LINCellularNeuroscience/VAME#26",
    also=("lr_zero",),
)


class RNNVAE(nn.Module):
    """GRU encoder and decoder of sequences (n, T, 48)."""

    def __init__(self) -> None:
        super().__init__()
        self.encoder, self.lmbda = nn.GRU(48, 64, batch_first=True, bidirectional=True), nn.Linear(128, 32)
        self.decoder, self.out = nn.GRU(16, 96, batch_first=True), nn.Linear(96, 48)

    def decode(self, z: Tensor) -> Tensor:
        """Return sequences of 16 steps."""
        return self.out(self.decoder(z[:, None].expand(-1, 16, -1))[0]).sigmoid()

    def forward(self, x: Tensor) -> tuple[Tensor, Tensor, Tensor]:
        """Return reconstructions, means and log-variances."""
        _, h = self.encoder(x)
        mu, logvar = self.lmbda(torch.cat([h[0], h[1]], 1)).chunk(2, 1)
        return self.decode(mu + (0.5 * logvar).exp() * torch.randn_like(mu)), mu, logvar


def loop(fixed: bool, optimizer_scheduler: bool = False) -> Watch:
    """Train; ``fixed`` is the repaired twin."""
    torch.manual_seed(19)
    pictures = (images("sprites", background=255) + 1) / 2
    x, epochs = pictures.permute(0, 2, 3, 1).flatten(2), 40  # rows of pixels as time
    model = RNNVAE()
    optimizer = torch.optim.Adam(model.parameters(), 2e-3)
    if optimizer_scheduler:
        scheduler = StepLR(optimizer, step_size=8, gamma=0.2)
    else:
        scheduler = StepLR(optimizer, step_size=8, gamma=1 if fixed else 0)
    step, loader = 0, torch.utils.data.DataLoader(x, 64, shuffle=True, drop_last=True)
    watch = trainwright.watch(
        total=epochs * len(loader),
        sample=lambda n: model.decode(torch.randn(n, 16)).view(n, 16, 16, 3).permute(0, 3, 1, 2),
        real=pictures,
    )
    for epoch in range(epochs):
        kl_weight = min(1.0, epoch / 4)
        for data_item in loader:
            data_tilde, mu, logvar = model(data_item)
            rec_loss = F.mse_loss(data_tilde, data_item, reduction="sum") / len(data_item) * 10
            kl_loss = kl_nats(mu, logvar)
            loss = rec_loss + kl_weight * kl_loss
            optimizer.zero_grad()
            loss.backward()
            optimizer.step()
            watch(step, train_loss=loss, mse_loss=rec_loss, kl_loss=kl_loss, weight=kl_weight)
            step += 1
        scheduler.step()
    return watch
