"""Generator and critic of both sizes, for any power-of-two side from 16 px and any number of channels.

Shapes: z is (B, latent_dim), images are (B, C, S, S) in [-1, 1], scores are (B,).
"""

import math

from torch import Tensor, nn
from torch.nn.utils.parametrizations import spectral_norm

from trainwright.nn.attention import SelfAttention
from trainwright.nn.norm import SpatialLayerNorm


def widths(features: int, size: int) -> list[int]:
    """Channels from the widest map down to ``features``: doubling per halving of the side, capped at 8 times.

    At 64 px: [8f, 4f, 2f, f], as in the WGAN-GP guide.
    """
    stages = int(math.log2(size)) - 2
    return [features * min(8, 2**i) for i in reversed(range(stages))]


class SmallGenerator(nn.Module):
    """Transposed convolutions (DCGAN): z -> 4x4 -> ... -> S, BatchNorm and ReLU between, tanh at the end."""

    def __init__(self, latent_dim: int, features: int, size: int, channels: int) -> None:
        super().__init__()
        across = widths(features, size)
        layers: list[nn.Module] = [
            nn.ConvTranspose2d(latent_dim, across[0], 4, 1, 0, bias=False),
            *_norm_relu(across[0]),
        ]
        for wide, narrow in zip(across, across[1:], strict=False):
            layers += [nn.ConvTranspose2d(wide, narrow, 4, 2, 1, bias=False), *_norm_relu(narrow)]
        layers += [nn.ConvTranspose2d(across[-1], channels, 4, 2, 1, bias=False), nn.Tanh()]
        self.layers = nn.Sequential(*layers)
        self.apply(_initialise)

    def forward(self, z: Tensor) -> Tensor:
        """(B, latent_dim) -> (B, C, S, S)."""
        return self.layers(z[:, :, None, None])


class SmallCritic(nn.Module):
    """Strided convolutions, LayerNorm over (C, H, W) from the second on, LeakyReLU 0.2.

    There is no BatchNorm, because the penalty is per sample. With ``reference`` "none" (the network of the WGAN-GP guide)
    no layer before the first LayerNorm has a bias. So D(a·x) = D(x) for every a > 0: the critic cannot detect contrast,
    and nothing keeps a generator from grey images. "frame" pads the image with white instead of zero (mid-grey);
    "bias" gives the first convolution a bias. Either fixes it.
    """

    def __init__(self, features: int, size: int, channels: int, reference: str = "frame") -> None:
        super().__init__()
        self.frame = reference == "frame"
        across = widths(features, size)[::-1]
        first = nn.Conv2d(channels, across[0], 4, 2, padding=0 if self.frame else 1, bias=reference == "bias")
        layers: list[nn.Module] = [first, nn.LeakyReLU(0.2)]
        side = size // 2
        for narrow, wide in zip(across, across[1:], strict=False):
            side //= 2
            norm = SpatialLayerNorm([wide, side, side])
            layers += [nn.Conv2d(narrow, wide, 4, 2, 1, bias=False), norm, nn.LeakyReLU(0.2)]
        layers.append(nn.Conv2d(across[-1], 1, 4, 1, 0, bias=False))
        self.layers = nn.Sequential(*layers)
        self.apply(_initialise)

    def forward(self, images: Tensor) -> Tensor:
        """(B, C, S, S) -> (B,)."""
        if self.frame:
            images = nn.functional.pad(images, (1, 1, 1, 1), value=1.0)
        return self.layers(images).flatten()


class ResidualUp(nn.Module):
    """Nearest x2, conv-BN-ReLU, then a residual block conv-BN-ReLU-conv-BN, add, ReLU: no checkerboard by design."""

    def __init__(self, wide: int, narrow: int) -> None:
        super().__init__()
        self.up = nn.Sequential(nn.Upsample(scale_factor=2), _conv3(wide, narrow), *_norm_relu(narrow))
        self.body = nn.Sequential(
            _conv3(narrow, narrow), *_norm_relu(narrow), _conv3(narrow, narrow), nn.BatchNorm2d(narrow)
        )

    def forward(self, x: Tensor) -> Tensor:
        """(B, wide, s, s) -> (B, narrow, 2s, 2s)."""
        x = self.up(x)
        return nn.functional.relu(x + self.body(x))


class LargeGenerator(nn.Module):
    """Residual upsampling stages from 4x4 to S/2, self-attention at S/2, then nearest x2, conv and tanh."""

    def __init__(self, latent_dim: int, features: int, size: int, channels: int) -> None:
        super().__init__()
        across = widths(features, size)
        self.first = nn.Sequential(
            nn.ConvTranspose2d(latent_dim, across[0], 4, 1, 0, bias=False), *_norm_relu(across[0])
        )
        self.stages = nn.Sequential(*(ResidualUp(w, n) for w, n in zip(across, across[1:], strict=False)))
        self.attention = SelfAttention(across[-1])
        self.last = nn.Sequential(
            nn.Upsample(scale_factor=2), nn.Conv2d(across[-1], channels, 3, 1, 1, bias=False), nn.Tanh()
        )
        self.apply(_initialise)

    def forward(self, z: Tensor) -> Tensor:
        """(B, latent_dim) -> (B, C, S, S)."""
        return self.last(self.attention(self.stages(self.first(z[:, :, None, None]))))


class ResidualDown(nn.Module):
    """Spectrally normed strided conv, LayerNorm (not in the first), LeakyReLU, then a residual block."""

    def __init__(self, narrow: int, wide: int, side: int, norm: bool) -> None:
        super().__init__()
        down: list[nn.Module] = [spectral_norm(nn.Conv2d(narrow, wide, 4, 2, 1, bias=False))]
        if norm:
            down.append(SpatialLayerNorm([wide, side, side]))
        self.down = nn.Sequential(*down, nn.LeakyReLU(0.2))
        self.body = nn.Sequential(
            spectral_norm(_conv3(wide, wide)),
            SpatialLayerNorm([wide, side, side]),
            nn.LeakyReLU(0.2),
            spectral_norm(_conv3(wide, wide)),
            SpatialLayerNorm([wide, side, side]),
        )

    def forward(self, x: Tensor) -> Tensor:
        """(B, narrow, 2s, 2s) -> (B, wide, s, s)."""
        x = self.down(x)
        return nn.functional.leaky_relu(x + self.body(x), 0.2)


class LargeCritic(nn.Module):
    """Residual downsampling stages with spectral norm and LayerNorm, self-attention at S/2, one score at the end."""

    def __init__(self, features: int, size: int, channels: int, reference: str = "frame") -> None:
        super().__init__()
        across = [channels, *widths(features, size)[::-1]]
        sides = [size // 2 ** (i + 1) for i in range(len(across) - 1)]
        stages = [ResidualDown(across[i], across[i + 1], sides[i], norm=i > 0) for i in range(len(sides))]
        self.first = stages[0]
        self.attention = SelfAttention(across[1])
        self.stages = nn.Sequential(*stages[1:])
        self.last = spectral_norm(nn.Conv2d(across[-1], 1, 4, 1, 0, bias=False))
        self.apply(_initialise)

    def forward(self, images: Tensor) -> Tensor:
        """(B, C, S, S) -> (B,)."""
        return self.last(self.stages(self.attention(self.first(images)))).flatten()


GENERATORS = {"small": SmallGenerator, "large": LargeGenerator}
CRITICS = {"small": SmallCritic, "large": LargeCritic}


def _conv3(narrow: int, wide: int) -> nn.Conv2d:
    return nn.Conv2d(narrow, wide, 3, 1, 1, bias=False)


def _norm_relu(features: int) -> list[nn.Module]:
    return [nn.BatchNorm2d(features), nn.ReLU()]


def _initialise(module: nn.Module) -> None:
    """Draw weights of convolutions from N(0, 0.02) and of norms from N(1, 0.02), as DCGAN does.

    Convolutions with a spectral norm keep PyTorch's default.
    """
    if isinstance(module, nn.Conv2d | nn.ConvTranspose2d) and not hasattr(module, "parametrizations"):
        nn.init.normal_(module.weight, 0.0, 0.02)
        if module.bias is not None:
            nn.init.zeros_(module.bias)
    elif isinstance(module, nn.BatchNorm2d | nn.LayerNorm):
        nn.init.normal_(module.weight, 1.0, 0.02)
        nn.init.zeros_(module.bias)
