"""Super-resolution GAN: the schedulers of the learning rates step once a batch instead of once an epoch.

Source: github.com/leftthomas/SRGAN issue 94; the reporter says that it began to train with the call after the epoch.
The rates are meant to fall to a tenth after half of the epochs. They fall to a tenth every few batches, and are
nothing long before the first epochs are over: both networks stay what they were at the beginning.
"""

import torch
import torch.optim as optim
from torch import Tensor, nn
from torch.optim.lr_scheduler import StepLR
from torch.utils.data import DataLoader, TensorDataset

import trainwright
from benchmarks.public.case import Case
from benchmarks.public.materials import images
from trainwright.diagnosis.watch import Watch

CASE = Case(
    kind="adversarial",
    cause="lr_reaches_zero_early",
    symptoms=("wiring", "frozen_network", "stalled", "slow", "plateau", "off_data", "blur", "variance_collapse",
              "discriminator_guessing", "mean_regression"),
    spoils="samples",
    source="leftthomas/SRGAN#94",
    also=("lr_too_low", "lr_zero"),
    seconds=18,
)  # fmt: skip
UPSCALE_FACTOR, NUM_EPOCHS, CROP_SIZE = 2, 12, 16


class ResidualBlock(nn.Module):
    """Two convolutions and a skip."""

    def __init__(self, channels: int) -> None:
        super().__init__()
        self.conv1, self.conv2 = nn.Conv2d(channels, channels, 3, 1, 1), nn.Conv2d(channels, channels, 3, 1, 1)
        self.bn1, self.bn2, self.prelu = nn.BatchNorm2d(channels), nn.BatchNorm2d(channels), nn.PReLU()

    def forward(self, x: Tensor) -> Tensor:
        """Return x and what is added."""
        return x + self.bn2(self.conv2(self.prelu(self.bn1(self.conv1(x)))))


class Generator(nn.Module):
    """Low resolution -> high resolution, both in [0, 1]."""

    def __init__(self) -> None:
        super().__init__()
        self.block1 = nn.Sequential(nn.Conv2d(3, 24, 5, 1, 2), nn.PReLU())
        self.blocks = nn.Sequential(ResidualBlock(24), ResidualBlock(24))
        self.block8 = nn.Sequential(
            nn.Conv2d(24, 96, 3, 1, 1), nn.PixelShuffle(2), nn.PReLU(), nn.Conv2d(24, 3, 5, 1, 2)
        )

    def forward(self, x: Tensor) -> Tensor:
        """Return images."""
        block1 = self.block1(x)
        return (torch.tanh(self.block8(block1 + self.blocks(block1))) + 1) / 2


def discriminator() -> nn.Sequential:
    """Return images -> probability."""
    return nn.Sequential(
        nn.Conv2d(3, 24, 3, 2, 1), nn.LeakyReLU(0.2),
        nn.Conv2d(24, 48, 3, 2, 1), nn.BatchNorm2d(48), nn.LeakyReLU(0.2),
        nn.AdaptiveAvgPool2d(1), nn.Conv2d(48, 64, 1), nn.LeakyReLU(0.2), nn.Conv2d(64, 1, 1), nn.Flatten(0),
        nn.Sigmoid(),
    )  # fmt: skip


def loop(fixed: bool) -> Watch:
    """Train; ``fixed`` is the repaired twin."""
    torch.manual_seed(94)
    hr = (images("sprites", CROP_SIZE) + 1) / 2
    lr = nn.functional.avg_pool2d(hr, UPSCALE_FACTOR)
    train_loader = DataLoader(TensorDataset(lr, hr), batch_size=32, shuffle=True, drop_last=True)
    netG, netD, mse = Generator(), discriminator(), nn.MSELoss()
    optimizerG, optimizerD = optim.Adam(netG.parameters(), lr=1e-3), optim.Adam(netD.parameters(), lr=1e-3)
    schedulerG = StepLR(optimizerG, step_size=NUM_EPOCHS // 2, gamma=0.1)
    schedulerD = StepLR(optimizerD, step_size=NUM_EPOCHS // 2, gamma=0.1)

    @torch.no_grad()
    def validate(n: int) -> Tensor:
        """Enlarge images."""
        netG.eval()
        sr = netG(lr[torch.randint(len(lr), (n,))])
        netG.train()
        return sr

    watch, step = trainwright.watch(total=NUM_EPOCHS * len(train_loader), sample=validate, real=hr), 0
    for _ in range(NUM_EPOCHS):
        for data, target in train_loader:
            fake_img = netG(data)
            netD.zero_grad()
            d_loss = 1 - netD(target).mean() + netD(fake_img.detach()).mean()
            d_loss.backward()
            optimizerD.step()

            netG.zero_grad()
            adversarial_loss = 1 - netD(fake_img).mean()
            g_loss = mse(fake_img, target) + 0.001 * adversarial_loss
            g_loss.backward()
            optimizerG.step()
            if not fixed:
                schedulerD.step()
                schedulerG.step()
            watch(step, d_loss=d_loss.item(), g_loss=g_loss.item())
            step += 1
        if fixed:
            schedulerD.step()
            schedulerG.step()
    return watch
