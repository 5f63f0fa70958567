"""A minimal hand-written loop of the same latent diffusion: no logs, checks or files; PyTorch's AdamW with its defaults.

It keeps all of the mathematics: times stratified over the batch, clipping, and the average of the weights.
"""

import torch
from torch import Tensor, nn
from torch.nn.utils import clip_grad_norm_


class BareDiffusion:
    """Noise predictor, AdamW, averaged weights, and :meth:`step`."""

    def __init__(self, unet: nn.Module, alpha: Tensor, sigma: Tensor, lr: float, decay: float, average: float) -> None:
        self.unet, self.alpha, self.sigma = unet, alpha, sigma
        wide = [p for p in unet.parameters() if p.ndim > 1]
        flat = [p for p in unet.parameters() if p.ndim <= 1]
        groups = [{"params": wide, "weight_decay": decay}, {"params": flat, "weight_decay": 0.0}]
        self.adam = torch.optim.AdamW(groups, lr=lr)
        self.average, self.kept = average, [p.detach().clone() for p in unet.parameters()]

    def step(self, index: int, z: Tensor) -> tuple[Tensor, None]:
        """Take one update on the squared error of the noise; return the error."""
        count = len(z)
        times = ((torch.arange(count) + torch.rand(count)) / count * 1000).long().clamp_max(999)
        noise = torch.randn(z.shape)
        alpha, sigma = (x[times].view(-1, 1, 1, 1) for x in (self.alpha, self.sigma))
        loss = ((self.unet(alpha * z + sigma * noise, times).sample - noise) ** 2).mean((1, 2, 3)).mean()
        self.adam.zero_grad()
        loss.backward()
        clip_grad_norm_(self.unet.parameters(), 1.0)
        self.adam.step()
        decay = min(self.average, (2 + index) / (11 + index))
        with torch.no_grad():
            torch._foreach_lerp_(self.kept, list(self.unet.parameters()), 1 - decay)
        return loss.detach(), None
