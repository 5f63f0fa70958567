"""Conditional DCGAN of digits: the last digit is never drawn as a condition.

Source: github.com/znxlwm/tensorflow-MNIST-cGAN-cDCGAN issue 1; a user confirmed the repair.
``np.random.randint`` leaves its upper end out, and the author gave the last digit as the end. The discriminator
sees real images of that digit, but the generator is never asked for one. With this condition it makes rubbish, and since
only real batches hold that label, the discriminator of this loop knows them by it: the other digits fail as well.
"""

import numpy as np
import torch
from torch import Tensor, nn

import trainwright
from benchmarks.public.case import Case
from trainwright.diagnosis.watch import Watch

CASE = Case(
    kind="adversarial",
    cause="label_never_drawn",
    symptoms=("wiring", "mode_dropping", "off_data", "over_dispersion", "critic_dominance", "vanishing_losses",
              "mode_collapse"),
    spoils="samples",
    source="znxlwm/tensorflow-MNIST-cGAN-cDCGAN#1",
    also=("labels_mismatched", "conditioning_ignored"),
    seconds=20,
)  # fmt: skip
SEGMENTS = {0: "abcdef", 1: "bc", 2: "abdeg", 3: "abcdg"}
BOXES = {"a": (0, 1, 0, 5), "g": (5, 6, 0, 5), "d": (10, 11, 0, 5), "f": (0, 6, 0, 1), "b": (0, 6, 4, 5),
         "e": (5, 11, 0, 1), "c": (5, 11, 4, 5)}  # fmt: skip
n_class, z_dim, batch_size, train_step = 4, 32, 64, 420


def load_digits(n: int = 3000) -> tuple[Tensor, Tensor]:
    """Return digits (n, 1, 16, 16) in [-1, 1] of a seven-segment display at random places, and their labels."""
    rng = np.random.default_rng(1)
    y, x = rng.integers(0, n_class, n), -np.ones((n, 1, 16, 16), dtype=np.float32)
    for i in range(n):
        top, left = rng.integers(1, 4), rng.integers(2, 8)
        for s in SEGMENTS[int(y[i])]:
            r0, r1, c0, c1 = BOXES[s]
            x[i, 0, top + r0 : top + r1 + 1, left + c0 : left + c1 + 1] = rng.uniform(0.6, 1.0)
    return torch.tensor(x), torch.tensor(y)


class G(nn.Module):
    """Noise and one-hot label -> digit."""

    def __init__(self) -> None:
        super().__init__()
        self.deconv = nn.Sequential(
            nn.Linear(z_dim + n_class, 64 * 4 * 4), nn.Unflatten(1, (64, 4, 4)), nn.BatchNorm2d(64), nn.LeakyReLU(0.2),
            nn.ConvTranspose2d(64, 32, 4, 2, 1), nn.BatchNorm2d(32), nn.LeakyReLU(0.2),
            nn.ConvTranspose2d(32, 1, 4, 2, 1), nn.Tanh(),
        )  # fmt: skip

    def forward(self, z: Tensor, y_label: Tensor) -> Tensor:
        """Return digits."""
        return self.deconv(torch.cat([z, y_label], 1))


class D(nn.Module):
    """Digit, and label as planes -> score."""

    def __init__(self) -> None:
        super().__init__()
        self.conv = nn.Sequential(
            nn.Conv2d(1 + n_class, 32, 4, 2, 1), nn.LeakyReLU(0.2),
            nn.Conv2d(32, 64, 4, 2, 1), nn.BatchNorm2d(64), nn.LeakyReLU(0.2),
            nn.Conv2d(64, 1, 4, 1, 0), nn.Flatten(0),
        )  # fmt: skip

    def forward(self, x: Tensor, y_fill: Tensor) -> Tensor:
        """Return scores."""
        return self.conv(torch.cat([x, y_fill[:, :, None, None].expand(-1, -1, 16, 16)], 1))


def loop(fixed: bool) -> Watch:
    """Train; ``fixed`` is the repaired twin."""
    torch.manual_seed(1)
    np.random.seed(1)
    train_set, train_label = load_digits()
    onehot, netG, netD = torch.eye(n_class), G(), D()
    G_optim = torch.optim.Adam(netG.parameters(), lr=1e-3, betas=(0.5, 0.999))
    D_optim = torch.optim.Adam(netD.parameters(), lr=5e-4, betas=(0.5, 0.999))
    bce = nn.BCEWithLogitsLoss()

    def show_result(n: int) -> Tensor:
        """Return digits of all classes in turn."""
        netG.eval()
        with torch.no_grad():
            test_images = netG(torch.randn(n, z_dim), onehot[torch.arange(n) % n_class])
        netG.train()
        return test_images

    watch = trainwright.watch(total=train_step, sample=show_result, real=train_set)
    for step in range(train_step):
        index = np.random.randint(0, len(train_set), batch_size)
        x_, y_ = train_set[index], onehot[train_label[index]]
        fake_label = onehot[np.random.randint(0, n_class if fixed else n_class - 1, batch_size)]
        G_z = netG(torch.randn(batch_size, z_dim), fake_label)
        D_real, D_fake = netD(x_, y_), netD(G_z.detach(), fake_label)
        D_loss = bce(D_real, torch.ones_like(D_real)) + bce(D_fake, torch.zeros_like(D_fake))
        D_optim.zero_grad()
        D_loss.backward()
        D_optim.step()

        y_label = onehot[np.random.randint(0, n_class if fixed else n_class - 1, batch_size)]
        D_fake = netD(netG(torch.randn(batch_size, z_dim), y_label), y_label)
        G_loss = bce(D_fake, torch.ones_like(D_fake))
        G_optim.zero_grad()
        G_loss.backward()
        G_optim.step()
        watch(step, loss_d=D_loss.item(), loss_g=G_loss.item())
    return watch
