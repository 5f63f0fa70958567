"""Self-attention GAN: real images are in [0, 1], generated images in [-1, 1].

Source: github.com/voletiv/self-attention-GAN-pytorch issue 6; two users had poor images of low contrast, and normalization helped.
The loader leaves out the normalization, while the generator ends in a tanh and its images are saved as if they had the range of one.
"""

import torch
import torch.nn.functional as F
from torch import Tensor, nn
from torch.nn.utils.parametrizations import spectral_norm

import trainwright
from benchmarks.public.case import Case
from benchmarks.public.materials import batches, images
from trainwright.diagnosis.watch import Watch

CASE = Case(
    kind="adversarial",
    cause="data_range",
    symptoms=(
        "wiring",
        "colour_cast",
        "off_data",
        "critic_dominance",
        "mode_dropping",
        "mode_collapse",
        "blur",
        "plateau",
    ),
    spoils="samples",
    source="voletiv/self-attention-GAN-pytorch#6",
    also=("output_activation",),
    seconds=22,
)


def denorm(x: Tensor) -> Tensor:
    """Return images in [0, 1] to be saved."""
    return ((x + 1) / 2).clamp(0, 1)


class SelfAttn(nn.Module):
    """Attention between all positions."""

    def __init__(self, channels: int) -> None:
        super().__init__()
        self.query, self.key = nn.Conv2d(channels, channels // 4, 1), nn.Conv2d(channels, channels // 4, 1)
        self.value, self.gamma = nn.Conv2d(channels, channels, 1), nn.Parameter(torch.zeros(1))

    def forward(self, x: Tensor) -> Tensor:
        """Return the outputs."""
        q, k, v = (layer(x).flatten(2) for layer in (self.query, self.key, self.value))
        attention = (q.transpose(1, 2) @ k).softmax(-1)
        return self.gamma * (v @ attention.transpose(1, 2)).view_as(x) + x


class Trainer:
    """Trains generator and discriminator with the hinge loss."""

    def __init__(self, config: dict, data: Tensor) -> None:
        self.config, self.images = config, data
        self.data = (data - 0.5) / 0.5 if config["normalize"] else data
        self.G = nn.Sequential(
            nn.Linear(config["z_dim"], 48 * 16), nn.Unflatten(1, (48, 4, 4)), nn.BatchNorm2d(48), nn.ReLU(),
            nn.ConvTranspose2d(48, 32, 4, 2, 1), nn.BatchNorm2d(32), nn.ReLU(), SelfAttn(32),
            nn.ConvTranspose2d(32, 24, 4, 2, 1), nn.BatchNorm2d(24), nn.ReLU(), nn.Conv2d(24, 3, 3, 1, 1), nn.Tanh(),
        )  # fmt: skip
        self.D = nn.Sequential(
            spectral_norm(nn.Conv2d(3, 32, 4, 2, 1)), nn.LeakyReLU(0.1), SelfAttn(32), spectral_norm(nn.Conv2d(32, 64, 4, 2, 1)),
            nn.LeakyReLU(0.1), spectral_norm(nn.Conv2d(64, 1, 4, 1, 0)), nn.Flatten(0),
        )  # fmt: skip
        self.g_optimizer = torch.optim.Adam(self.G.parameters(), config["g_lr"], betas=(0.0, 0.9))
        self.d_optimizer = torch.optim.Adam(self.D.parameters(), config["d_lr"], betas=(0.0, 0.9))

    @torch.no_grad()
    def generate(self, n: int) -> Tensor:
        """Return images."""
        self.G.eval()
        out = self.G(torch.randn(n, self.config["z_dim"]))
        self.G.train()
        return denorm(out)

    def train(self) -> Watch:
        """Train."""
        total, size = self.config["total_step"], self.config["batch_size"]
        watch = trainwright.watch(total=total, sample=self.generate, real=self.images)
        for step, real_images in zip(range(total), batches(self.data, size), strict=False):
            fake_images = self.G(torch.randn(size, self.config["z_dim"]))
            d_loss = F.relu(1 - self.D(real_images)).mean() + F.relu(1 + self.D(fake_images.detach())).mean()
            self.d_optimizer.zero_grad()
            d_loss.backward()
            self.d_optimizer.step()

            g_loss = -self.D(fake_images).mean()
            self.g_optimizer.zero_grad()
            g_loss.backward()
            self.g_optimizer.step()
            watch(step, d_loss=d_loss.item(), g_loss=g_loss.item())
        return watch


def loop(fixed: bool) -> Watch:
    """Train; ``fixed`` is the repaired twin."""
    torch.manual_seed(6)
    data = (images("sprites", background=255) + 1) / 2
    config = {"z_dim": 64, "g_lr": 3e-4, "d_lr": 6e-4, "batch_size": 32, "total_step": 1000, "normalize": fixed}
    return Trainer(config, data).train()
