"""EfficientNet-Lite0 (Tan & Le 2019, without squeeze-excite) for the packaged ImageNet weights.

BatchNorm epsilon 1e-3, ReLU6, TensorFlow's asymmetric "same" padding; attribute names are the checkpoint's.
"""

import math
from collections.abc import Iterator

import torch.nn.functional as F
from torch import Tensor, nn

# repeats, kernel, stride of the first, expansion, channels in, channels out
STAGES = (
    (1, 3, 1, 1, 32, 16),
    (2, 3, 2, 6, 16, 24),
    (2, 5, 2, 6, 24, 40),
    (3, 3, 2, 6, 40, 80),
    (3, 5, 1, 6, 80, 112),
    (4, 5, 2, 6, 112, 192),
    (1, 3, 1, 6, 192, 320),
)
WIDTH = 1280


class SameConv(nn.Conv2d):
    """A convolution whose output side is ceil(input / stride), padded more on the right and below."""

    def forward(self, x: Tensor) -> Tensor:
        """(B, in, H, W) -> (B, out, ceil(H/s), ceil(W/s))."""
        kernel, stride = self.kernel_size[0], self.stride[0]
        across, down = (max((math.ceil(n / stride) - 1) * stride + kernel - n, 0) for n in (x.shape[3], x.shape[2]))
        x = F.pad(x, (across // 2, across - across // 2, down // 2, down - down // 2))
        return F.conv2d(x, self.weight, self.bias, self.stride, 0, 1, self.groups)


def _norm(channels: int) -> nn.BatchNorm2d:
    return nn.BatchNorm2d(channels, eps=1e-3)


class Block(nn.Module):
    """Inverted bottleneck: expand, depthwise, project; a shortcut where shapes allow."""

    def __init__(self, narrow: int, wide: int, kernel: int, stride: int, expansion: int) -> None:
        super().__init__()
        inner = narrow * expansion
        self.expands = expansion != 1
        self.shortcut = stride == 1 and narrow == wide
        if self.expands:
            self._expand_conv, self._bn0 = SameConv(narrow, inner, 1, bias=False), _norm(inner)
        self._depthwise_conv = SameConv(inner, inner, kernel, stride, groups=inner, bias=False)
        self._bn1 = _norm(inner)
        self._project_conv, self._bn2 = SameConv(inner, wide, 1, bias=False), _norm(wide)

    def forward(self, x: Tensor) -> Tensor:
        """(B, narrow, H, W) -> (B, wide, H/s, W/s)."""
        y = F.relu6(self._bn0(self._expand_conv(x))) if self.expands else x
        y = self._bn2(self._project_conv(F.relu6(self._bn1(self._depthwise_conv(y)))))
        return x + y if self.shortcut else y


class Lite0(nn.Module):
    """The whole network; :meth:`forward` stops at the pooled features, and only the checkpoint needs the classifier."""

    def __init__(self) -> None:
        super().__init__()
        self._conv_stem, self._bn0 = SameConv(3, 32, 3, 2, bias=False), _norm(32)
        self._blocks = nn.ModuleList(
            Block(narrow if i == 0 else wide, wide, kernel, stride if i == 0 else 1, expansion)
            for repeats, kernel, stride, expansion, narrow, wide in STAGES
            for i in range(repeats)
        )
        self._conv_head, self._bn1, self._fc = SameConv(320, WIDTH, 1, bias=False), _norm(WIDTH), nn.Linear(WIDTH, 1000)

    def forward(self, x: Tensor) -> Tensor:
        """(B, 3, H, W), preprocessed -> (B, 1280)."""
        *_, last = self.maps(x)
        return F.relu6(self._bn1(self._conv_head(last))).mean((2, 3))

    def maps(self, x: Tensor) -> Iterator[Tensor]:
        """Return the feature map after each block, from fine to coarse: (B, C, H', W')."""
        x = F.relu6(self._bn0(self._conv_stem(x)))
        for block in self._blocks:
            x = block(x)
            yield x
