"""Photo to cartoon, L1 and adversarial: the colours of results are swapped once too often when they are saved.

Source: github.com/bryandlee/animegan2-pytorch issue 32; the author called it a mistake and removed the conversion.
Images are read as BGR and converted to RGB for the network. Results are RGB, and the same conversion is applied to
them again: red and blue change places. Training is sound.
"""

import torch
import torch.nn.functional as F
from torch import Tensor, nn, optim

import trainwright
from benchmarks.public.case import Case
from benchmarks.public.materials import batches, discriminator, images
from trainwright.diagnosis.watch import Watch

CASE = Case(
    kind="adversarial",
    cause="channels_swapped",
    symptoms=("wiring", "colour_cast", "off_data"),
    spoils="samples",
    source="bryandlee/animegan2-pytorch#32",
    also=("data_layout", "condition_differs_when_sampling", "data_differs"),
    seconds=10,
)


def cartoon(x: Tensor) -> Tensor:
    """Return warm colours of four levels."""
    warm = torch.cat([(x[:, :1] * 1.0 + 0.6 * (x[:, :1] + 1)), x[:, 1:2], 0.5 * x[:, 2:] - 0.5], 1).clamp(-1, 1)
    return ((warm + 1) * 1.5).round() / 1.5 - 1


class Generator(nn.Module):
    """Residual network."""

    def __init__(self, width: int = 24) -> None:
        super().__init__()
        self.net = nn.Sequential(
            nn.Conv2d(3, width, 3, 1, 1),
            nn.GroupNorm(4, width),
            nn.LeakyReLU(0.2),
            nn.Conv2d(width, 2 * width, 4, 2, 1),
            nn.GroupNorm(4, 2 * width),
            nn.LeakyReLU(0.2),
            nn.Conv2d(2 * width, 2 * width, 3, 1, 1),
            nn.GroupNorm(4, 2 * width),
            nn.LeakyReLU(0.2),
            nn.Conv2d(2 * width, 4 * width, 3, 1, 1),
            nn.PixelShuffle(2),
            nn.LeakyReLU(0.2),
        )
        self.last = nn.Conv2d(width + 3, 3, 1)

    def forward(self, x: Tensor) -> Tensor:
        """Return cartoons in [-1, 1]."""
        return torch.tanh(self.last(torch.cat([self.net(x), x], 1)))


def loop(fixed: bool) -> Watch:
    """Train; ``fixed`` is the repaired twin."""
    torch.manual_seed(32)
    photos = images("emoji", 16)
    anime = cartoon(photos)
    pairs, test = torch.cat([photos, anime], 1)[:-64], photos[-64:]
    net, D = Generator(), discriminator(width=16, norm=False)
    optimizer_G = optim.Adam(net.parameters(), lr=1e-3, betas=(0.5, 0.999))
    optimizer_D = optim.Adam(D.parameters(), lr=2e-4, betas=(0.5, 0.999))
    loader, steps = batches(pairs, 24), 500

    @torch.no_grad()
    def test_images(n: int) -> Tensor:
        out = net(test[:n])
        return out if fixed else out.flip(1)  # cv2.cvtColor(img, cv2.COLOR_BGR2RGB)

    watch = trainwright.watch(total=steps, sample=test_images, real=anime)
    for step in range(steps):
        photo, target = next(loader).chunk(2, 1)
        fake = net(photo)
        loss_D = ((D(target) - 1) ** 2 + D(fake.detach()) ** 2).mean()
        optimizer_D.zero_grad()
        loss_D.backward()
        optimizer_D.step()
        loss_color = F.l1_loss(fake, target)
        loss_adv = ((D(fake) - 1) ** 2).mean()
        optimizer_G.zero_grad()
        (10 * loss_color + 0.1 * loss_adv).backward()
        optimizer_G.step()
        watch(step, loss_D=loss_D.item(), loss_color=loss_color.item(), loss_adv=loss_adv.item())
    return watch
