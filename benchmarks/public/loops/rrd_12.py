"""Reverse distillation with two optimizers: gradients should add up over two batches, but are cleared before each.

Source: github.com/tientrandinh/Revisiting-Reverse-Distillation issue 12; corrected by the author.
Every step then only holds the gradients of the last batch, and half of the data is computed for nothing.
"""

import torch
import torch.nn.functional as F
from torch import Tensor, nn

import trainwright
from benchmarks.public.case import Case
from benchmarks.public.materials import batches, images
from trainwright.diagnosis.watch import Watch

CASE = Case(
    kind="supervised",
    cause="accumulated_gradients_cleared",
    symptoms=("wiring", "slow", "oscillation"),
    spoils="nothing visible",
    source="tientrandinh/Revisiting-Reverse-Distillation#12",
    seconds=10,
)


class Encoder(nn.Module):
    """Features of two scales."""

    def __init__(self, width: int = 16) -> None:
        super().__init__()
        self.layer1 = nn.Sequential(
            nn.Conv2d(3, width, 3, 2, 1), nn.ReLU(), nn.Conv2d(width, width, 3, 1, 1), nn.ReLU()
        )
        self.layer2 = nn.Sequential(
            nn.Conv2d(width, 2 * width, 3, 2, 1), nn.ReLU(), nn.Conv2d(2 * width, 2 * width, 3, 1, 1), nn.ReLU()
        )

    def forward(self, x: Tensor) -> list[Tensor]:
        """Return the features."""
        a = self.layer1(x)
        return [a, self.layer2(a)]


class ProjectionLayer(nn.Module):
    """Takes the noise off features."""

    def __init__(self, width: int = 16) -> None:
        super().__init__()
        self.proj = nn.ModuleList([
            nn.Sequential(nn.Conv2d(c, c, 3, 1, 1), nn.LeakyReLU(0.1), nn.Conv2d(c, c, 3, 1, 1)) for c in (width, 2 * width)
        ])  # fmt: skip

    def forward(self, features: list[Tensor]) -> list[Tensor]:
        """Return projected features."""
        return [p(f) for p, f in zip(self.proj, features, strict=True)]


class Decoder(nn.Module):
    """Bottleneck and student: predicts the features of the teacher from the most compact one."""

    def __init__(self, width: int = 16) -> None:
        super().__init__()
        self.bn = nn.Sequential(nn.Conv2d(3 * width, width, 3, 2, 1), nn.ReLU())
        self.up2 = nn.Sequential(nn.Upsample(scale_factor=2), nn.Conv2d(width, 2 * width, 3, 1, 1), nn.ReLU())
        self.out2 = nn.Conv2d(2 * width, 2 * width, 3, 1, 1)
        self.up1 = nn.Sequential(nn.Upsample(scale_factor=2), nn.Conv2d(2 * width, width, 3, 1, 1), nn.ReLU())
        self.out1 = nn.Conv2d(width, width, 3, 1, 1)

    def forward(self, features: list[Tensor]) -> list[Tensor]:
        """Return predicted features."""
        joined = torch.cat([F.avg_pool2d(features[0], 2), features[1]], 1)
        b = self.up2(self.bn(joined))
        return [self.out1(self.up1(b)), self.out2(b)]


def cosine_loss(a: list[Tensor], b: list[Tensor]) -> Tensor:
    """Return one minus the cosine, over features and scales."""
    return sum(((1 - F.cosine_similarity(x, y, dim=1)).mean() for x, y in zip(a, b, strict=True)), torch.tensor(0.0))


def loop(fixed: bool) -> Watch:
    """Train; ``fixed`` is the repaired twin."""
    torch.manual_seed(12)
    data = images("emoji", 16)
    encoder = Encoder().eval().requires_grad_(False)
    proj_layer, decoder = ProjectionLayer(), Decoder()
    optimizer_proj = torch.optim.Adam(proj_layer.parameters(), lr=1e-3, betas=(0.5, 0.999))
    optimizer_distill = torch.optim.Adam(decoder.parameters(), lr=2e-3, betas=(0.5, 0.999))
    accumulation_steps, num_iter = 2, 1600

    watch = trainwright.watch(total=num_iter)
    for i, img in zip(range(num_iter), batches(data, 16), strict=False):
        inputs = encoder(img)
        inputs_noise = encoder(img + 0.3 * torch.randn_like(img))
        feature_space, feature_space_noise = proj_layer(inputs), proj_layer(inputs_noise)
        loss_proj = cosine_loss(feature_space_noise, inputs) + cosine_loss(feature_space, inputs)
        loss_distill = cosine_loss(decoder(feature_space), inputs)
        loss = loss_distill + 0.2 * loss_proj
        if not fixed:
            optimizer_proj.zero_grad()
            optimizer_distill.zero_grad()
        loss.backward()
        if (i + 1) % accumulation_steps == 0:
            optimizer_proj.step()
            optimizer_distill.step()
            if fixed:
                optimizer_proj.zero_grad()
                optimizer_distill.zero_grad()
        watch(i, {"loss": loss, "loss_distill": loss_distill, "loss_proj": loss_proj})
    return watch
