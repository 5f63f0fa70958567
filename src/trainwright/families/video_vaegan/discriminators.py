"""Discriminators of predicted frames: on whole clips, or on regions. Both give one logit for each clip."""

import math
from collections.abc import Callable

import torch.nn.functional as F
from torch import Tensor, nn
from torch.nn.utils.parametrizations import spectral_norm

from trainwright.families.video_vaegan.config import NetworkConfig
from trainwright.families.video_vaegan.crops import crop
from trainwright.families.video_vaegan.film import Film, embedder

CONDITION, LEAST_HIDDEN, MOST_HIDDEN = 64, 128, 512
REGION = 16


class SpatioTemporal(nn.Module):
    """3-D convolutions over (predict, S, S), mean over space, one logit."""

    def __init__(self, model: NetworkConfig, size: int, predict: int) -> None:
        super().__init__()
        norm = _norm(model)
        plain = model.disc_norm == "none"
        count = max(1, int(math.log2(size / 4)))
        widths = [3, *(min(model.disc_max_features, model.disc_features * 2**i) for i in range(count))]
        self.condition = embedder(model.region_count, CONDITION) if model.disc_film else None
        convolutions, side, depth = [], size, predict
        for i, (a, b) in enumerate(zip(widths, widths[1:], strict=False)):
            time = min(3, depth) if depth > 1 else 1
            halve = 2 if side >= 8 else 1
            faster = 2 if i == 0 and depth > 3 else 1
            layer = nn.Conv3d(a, b, (time, 4, 4), (faster, halve, halve), (time // 2, 1, 1), bias=plain)
            convolutions.append(norm(layer))
            side, depth = side // halve, (depth + 2 * (time // 2) - time) // faster + 1
        self.convolutions = nn.ModuleList(convolutions)
        self.norms = nn.ModuleList(
            nn.Identity() if plain else nn.InstanceNorm3d(b, affine=not model.disc_film) for b in widths[1:]
        )
        self.films = nn.ModuleList(Film(CONDITION, b) for b in widths[1:] if model.disc_film)
        flat = widths[-1] * depth
        hidden = min(MOST_HIDDEN, max(LEAST_HIDDEN, flat // 2))
        layers: list[nn.Module] = [norm(nn.Linear(flat, 1))]
        if flat > 1.5 * LEAST_HIDDEN:
            layers = [norm(nn.Linear(flat, hidden)), nn.LeakyReLU(0.2), norm(nn.Linear(hidden, 1))]
        self.score = nn.Sequential(*layers)

    def forward(self, clips: Tensor, boxes: Tensor, condition: Tensor) -> Tensor:
        """Compute logits (B,) of frames (B, predict, 3, S, S), boxes (B, R, 4) and condition (B, 4 R)."""
        embedded = None if self.condition is None else self.condition(condition)
        x = clips.transpose(1, 2)
        for i, (convolution, norm) in enumerate(zip(self.convolutions, self.norms, strict=True)):
            x = norm(convolution(x))
            if embedded is not None:
                x = self.films[i](x, embedded)
            x = F.leaky_relu(x, 0.2)
        return self.score(x.mean(dim=(3, 4)).flatten(1)).squeeze(1)


class Regional(nn.Module):
    """2-D convolutions over each region of the first predicted frame, mean over regions, one logit."""

    def __init__(self, model: NetworkConfig, size: int, predict: int) -> None:
        super().__init__()
        norm = _norm(model)
        plain = model.disc_norm == "none"
        widths = [3, model.disc_features, 2 * model.disc_features, 4 * model.disc_features]
        layers: list[nn.Module] = []
        for a, b in zip(widths, widths[1:], strict=False):
            layers.append(norm(nn.Conv2d(a, b, 4, 2, 1, bias=plain)))
            if not plain:
                layers.append(nn.InstanceNorm2d(b, affine=True))
            layers.append(nn.LeakyReLU(0.2))
        self.layers = nn.Sequential(*layers)
        self.score = norm(nn.Linear(widths[-1] * (REGION // 8) ** 2, 1))

    def forward(self, clips: Tensor, boxes: Tensor, condition: Tensor) -> Tensor:
        """Compute logits as :meth:`SpatioTemporal.forward` does; the condition is not used."""
        patches = crop(clips[:, 0], boxes, REGION, "resize")
        found = self.layers(patches.flatten(0, 1)).flatten(1).unflatten(0, patches.shape[:2])
        return self.score(found.mean(dim=1)).squeeze(1)


DISCRIMINATORS: dict[str, type[nn.Module]] = {"spatio_temporal": SpatioTemporal, "regional": Regional}


def _norm(model: NetworkConfig) -> Callable[[nn.Module], nn.Module]:
    return spectral_norm if model.disc_spectral_norm else _unchanged


def _unchanged(layer: nn.Module) -> nn.Module:
    return layer
