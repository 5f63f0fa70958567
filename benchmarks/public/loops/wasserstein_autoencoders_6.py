"""Wasserstein autoencoder: the discrepancy between codes and prior is subtracted from the loss.

Source: github.com/schelotto/Wasserstein-AutoEncoders issue 6, corrected by pull request 10.
The encoder is paid for codes unlike the prior, and goes on moving them away. Samples from the prior are of no use.
"""

import torch
from torch import Tensor, nn

import trainwright
from benchmarks.public.case import Case
from benchmarks.public.materials import batches, images
from trainwright.diagnosis.watch import Watch

CASE = Case(
    kind="variational",
    cause="wrong_sign",
    symptoms=(
        "wiring",
        "prior_hole",
        "off_data",
        "unbounded_loss",
        "mode_collapse",
        "mode_dropping",
        "blur",
        "colour_cast",
    ),
    spoils="samples",
    source="schelotto/Wasserstein-AutoEncoders#6",
    also=("kl_sign",),
    seconds=12,
)
N_Z = 12


def imq_kernel(x: Tensor, y: Tensor) -> Tensor:
    """Return the discrepancy of two sets by inverse multiquadratics of several scales."""
    n, off = len(x), 1 - torch.eye(len(x))
    dist_x, dist_y, dist_c = ((a[:, None] - b[None]).square().sum(2) for a, b in ((x, x), (y, y), (x, y)))
    stats = torch.zeros(())
    for scale in (0.1, 0.2, 0.5, 1.0, 2.0, 5.0, 10.0):
        c = 2 * N_Z * scale
        res = off * (c / (c + dist_x) + c / (c + dist_y))
        stats = stats + res.sum() / (n * (n - 1)) - 2 * (c / (c + dist_c)).mean()
    return stats


def loop(fixed: bool) -> Watch:
    """Train; ``fixed`` is the repaired twin."""
    torch.manual_seed(6)
    train = images("sprites", background=255)
    encoder = nn.Sequential(
        nn.Conv2d(3, 32, 4, 2, 1), nn.ReLU(True), nn.Conv2d(32, 48, 4, 2, 1), nn.BatchNorm2d(48), nn.ReLU(True), nn.Flatten(),
        nn.Linear(768, N_Z),
    )  # fmt: skip
    decoder = nn.Sequential(
        nn.Linear(N_Z, 768), nn.ReLU(True), nn.Unflatten(1, (48, 4, 4)), nn.ConvTranspose2d(48, 32, 4, 2, 1), nn.BatchNorm2d(32),
        nn.ReLU(True), nn.ConvTranspose2d(32, 3, 4, 2, 1), nn.Tanh(),
    )  # fmt: skip
    criterion = nn.MSELoss()
    enc_optim, dec_optim = (
        torch.optim.Adam(encoder.parameters(), lr=1e-3),
        torch.optim.Adam(decoder.parameters(), lr=1e-3),
    )
    weight = 2.0

    def sample(n: int) -> Tensor:
        decoder.eval()
        with torch.no_grad():
            out = decoder(torch.randn(n, N_Z))
        decoder.train()
        return out

    watch = trainwright.watch(total=1000, sample=sample, real=train)
    for step, x in zip(range(1000), batches(train, 100), strict=False):
        z_hat = encoder(x)
        x_recon = decoder(z_hat)
        recon_loss = criterion(x_recon, x) * 10
        mmd_loss = imq_kernel(z_hat, torch.randn_like(z_hat))
        total_loss = recon_loss + weight * mmd_loss if fixed else recon_loss - weight * mmd_loss
        enc_optim.zero_grad()
        dec_optim.zero_grad()
        total_loss.backward()
        enc_optim.step()
        dec_optim.step()
        watch(step, recon_loss=recon_loss.item(), mmd_loss=mmd_loss.item())
    return watch
