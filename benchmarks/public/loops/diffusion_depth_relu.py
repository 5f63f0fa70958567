"""Diffusion of depth maps: the network that predicts the noise ends with a ReLU.

Source: github.com/duanyiqun/DiffusionDepth issue 15.
Noise has both signs and the prediction can't be negative. Half of the noise is never predicted.
"""

import torch
import torch.nn.functional as F
from torch import Tensor, nn

import trainwright
from benchmarks.public.case import Case
from benchmarks.public.materials import Denoiser, alphas, batches, images, noised
from trainwright.diagnosis.watch import Watch

CASE = Case(
    kind="diffusion",
    cause="output_activation",
    symptoms=("wiring", "off_data", "plateau", "mode_collapse"),
    spoils="samples",
    source="duanyiqun/DiffusionDepth#15",
)


class ScheduledCNNRefine(nn.Module):
    """Predicts the noise of a depth map from the map and its image."""

    def __init__(self, relu: bool) -> None:
        super().__init__()
        self.noise_pred = Denoiser(channels=4, out=1)
        self.pred = nn.ReLU() if relu else nn.Identity()

    def forward(self, noisy_image: Tensor, t: Tensor, feat: Tensor) -> Tensor:
        """Return the noise."""
        return self.pred(self.noise_pred(torch.cat([feat, noisy_image], 1), t))


def loop(fixed: bool) -> Watch:
    """Train; ``fixed`` is the repaired twin."""
    torch.manual_seed(9)
    # Images and maps that can be told from them: light is near, dark is far.
    rgb = images("sprites", 8)
    pairs = torch.cat([rgb, -rgb.mean(1, keepdim=True)], 1)
    model, alphas_cumprod = ScheduledCNNRefine(relu=not fixed), alphas()
    optimizer = torch.optim.AdamW(model.parameters(), 2e-3)

    @torch.no_grad()
    def sample(n: int) -> Tensor:
        feat, depth = rgb[torch.randint(len(rgb), (n,))], torch.randn(n, 1, 8, 8)
        for t in range(99, -1, -5):
            a, before = alphas_cumprod[t], alphas_cumprod[t - 5] if t >= 5 else torch.tensor(1.0)
            noise = model(depth, torch.full((n,), t), feat)
            original = ((depth - (1 - a).sqrt() * noise) / a.sqrt()).clamp(-1, 1)
            noise = (depth - a.sqrt() * original) / (1 - a).sqrt()
            depth = before.sqrt() * original + (1 - before).sqrt() * noise
        return depth

    watch = trainwright.watch(total=600, sample=sample, real=pairs[:, 3:])
    for step, batch in zip(range(600), batches(pairs, 32), strict=False):
        image, gt_depth = batch[:, :3], batch[:, 3:]
        noise, timesteps = torch.randn_like(gt_depth), torch.randint(0, 100, (32,))
        noise_pred = model(noised(gt_depth, noise, alphas_cumprod[timesteps]), timesteps, image)
        ddim_loss = F.mse_loss(noise_pred, noise)
        optimizer.zero_grad()
        ddim_loss.backward()
        optimizer.step()
        watch(step, ddim_loss=ddim_loss)
    return watch
