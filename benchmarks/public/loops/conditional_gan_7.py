"""Conditional GAN of digits: pictures are drawn with numbers instead of one-hot vectors as condition.

Source: github.com/Lornatang/conditional_gan pull request 7: the saved pictures had no shape.
The network is trained with one-hot vectors. The fixed conditions for the saved pictures are random class
numbers in each place, so the generator is asked for several classes at once, each up to nine times.
"""

import torch
import torch.nn.functional as F
from torch import Tensor, nn

import trainwright
from benchmarks.public.case import Case
from trainwright.diagnosis.watch import Watch

CASE = Case(
    kind="adversarial",
    cause="condition_differs_when_sampling",
    symptoms=(
        "wiring",
        "off_data",
        "mode_dropping",
        "mode_collapse",
        "blur",
        "colour_cast",
        "over_dispersion",
    ),
    spoils="samples",
    source="Lornatang/conditional_gan#7",
    also=("condition_encoding_mismatch", "condition_not_one_hot", "noise_distribution_mismatch"),
    seconds=22,
)
GLYPHS = (
    "01110 10001 10001 10001 10001 10001 01110",
    "00100 01100 00100 00100 00100 00100 01110",
    "01110 10001 00001 00110 01000 10000 11111",
    "11110 00001 00001 01110 00001 00001 11110",
    "00010 00110 01010 10010 11111 00010 00010",
    "11111 10000 11110 00001 00001 10001 01110",
    "00110 01000 10000 11110 10001 10001 01110",
    "11111 00001 00010 00100 01000 01000 01000",
    "01110 10001 10001 01110 10001 10001 01110",
    "01110 10001 10001 01111 00001 00010 01100",
)


def draw_digits(n: int, seed: int = 0) -> tuple[Tensor, Tensor]:
    """Return digits (n, 1, 16, 16) in [-1, 1], each turned, scaled and moved a little, and their classes."""
    g = torch.Generator().manual_seed(seed)
    glyphs = torch.tensor([[[float(c) for c in row] for row in d.split()] for d in GLYPHS])[:, None]
    glyphs = F.pad(F.interpolate(glyphs, scale_factor=3, mode="bilinear"), (8, 9, 5, 6))
    y = torch.randint(10, (n,), generator=g)
    angle, scale = 0.15 * torch.randn(n, generator=g), 1.05 + 0.1 * torch.randn(n, generator=g)
    shift = 0.1 * torch.randn(n, 2, generator=g)
    theta = torch.stack(
        [
            scale * angle.cos(),
            -scale * angle.sin(),
            shift[:, 0],
            scale * angle.sin(),
            scale * angle.cos(),
            shift[:, 1],
        ],
        1,
    )
    grid = F.affine_grid(theta.view(n, 2, 3), [n, 1, 16, 16], align_corners=False)
    x = F.grid_sample(glyphs[y], grid, align_corners=False)
    return (1.5 * x).clamp(0, 1) * 2 - 1, y


class ConditionalGenerator(nn.Module):
    """Noise and condition -> digits."""

    def __init__(self, latent: int = 32, classes: int = 10) -> None:
        super().__init__()
        self.label = nn.Sequential(nn.Linear(classes, 32), nn.LeakyReLU(0.2))
        self.main = nn.Sequential(
            nn.Linear(latent + 32, 64 * 16),
            nn.Unflatten(1, (64, 4, 4)),
            nn.BatchNorm2d(64),
            nn.ReLU(True),
            nn.ConvTranspose2d(64, 32, 4, 2, 1),
            nn.BatchNorm2d(32),
            nn.ReLU(True),
            nn.ConvTranspose2d(32, 1, 4, 2, 1),
            nn.Tanh(),
        )

    def forward(self, inputs: Tensor, conditional: Tensor) -> Tensor:
        """Return the digits."""
        return self.main(torch.cat([inputs, self.label(conditional)], 1))


class ConditionalDiscriminator(nn.Module):
    """Digits and condition -> scores."""

    def __init__(self, classes: int = 10) -> None:
        super().__init__()
        self.features = nn.Sequential(
            nn.Conv2d(1 + classes, 32, 4, 2, 1),
            nn.LeakyReLU(0.2, True),
            nn.Conv2d(32, 64, 4, 2, 1),
            nn.LeakyReLU(0.2, True),
            nn.Flatten(),
            nn.Linear(64 * 16, 1),
        )

    def forward(self, inputs: Tensor, conditional: Tensor) -> Tensor:
        """Return the scores."""
        planes = conditional[:, :, None, None].expand(-1, -1, 16, 16)
        return self.features(torch.cat([inputs, planes], 1))


class Trainer:
    """Trains on digits."""

    def __init__(self, batch_size: int, iters: int, one_hot: bool) -> None:
        self.batch_size, self.iters, self.num_classes = batch_size, iters, 10
        self.images, self.labels = draw_digits(4000)
        self.generator, self.discriminator = ConditionalGenerator(), ConditionalDiscriminator()
        self.adversarial_criterion = nn.BCEWithLogitsLoss()
        self.optim_d = torch.optim.Adam(self.discriminator.parameters(), 5e-4, (0.5, 0.999))
        self.optim_g = torch.optim.Adam(self.generator.parameters(), 5e-4, (0.5, 0.999))
        digits = torch.randint(0, self.num_classes, (512,))
        if one_hot:
            self.fixed_conditional = F.one_hot(digits, self.num_classes).float()
        else:
            self.fixed_conditional = torch.randint(0, self.num_classes, (512, self.num_classes)).float()
        self.fixed_noise = torch.randn(512, 32)

    @torch.no_grad()
    def visual(self, n: int) -> Tensor:
        """Return n of the pictures that are saved after each epoch."""
        self.generator.eval()
        index = torch.randperm(len(self.fixed_noise))[:n]
        out = self.generator(self.fixed_noise[index], self.fixed_conditional[index])
        self.generator.train()
        return out

    def train(self) -> Watch:
        """Train both networks."""
        watch = trainwright.watch(total=self.iters, sample=self.visual, real=self.images)
        real_label, fake_label = torch.ones(self.batch_size, 1), torch.zeros(self.batch_size, 1)
        for i in range(self.iters):
            index = torch.randint(len(self.images), (self.batch_size,))
            real, conditional = self.images[index], F.one_hot(self.labels[index], self.num_classes).float()
            noise = torch.randn(self.batch_size, 32)
            sr = self.generator(noise, conditional)
            d_loss_real = self.adversarial_criterion(self.discriminator(real, conditional), real_label)
            d_loss_fake = self.adversarial_criterion(self.discriminator(sr.detach(), conditional), fake_label)
            d_loss = d_loss_real + d_loss_fake
            self.optim_d.zero_grad()
            d_loss.backward()
            self.optim_d.step()

            g_loss = self.adversarial_criterion(self.discriminator(sr, conditional), real_label)
            self.optim_g.zero_grad()
            g_loss.backward()
            self.optim_g.step()
            watch(i, d_loss=d_loss.item(), g_loss=g_loss.item())
        return watch


def loop(fixed: bool) -> Watch:
    """Train; ``fixed`` is the repaired twin."""
    torch.manual_seed(7)
    return Trainer(batch_size=32, iters=1200, one_hot=fixed).train()
