"""Diffusion policy: the key to be normalized is read letter by letter, so actions stay in pixels.

Source: github.com/huggingface/lerobot pull request 17, merged.
``("action")`` is a string, not a tuple. No letter of it is a key of the batch, and nothing is normalized.
Noise of unit variance hardly touches actions of hundreds of pixels, and the sampler, which clips to [-1, 1],
never leaves the corner of the image.
"""

import math

import torch
import torch.nn.functional as F
from torch import Tensor, nn

import trainwright
from benchmarks.public.case import Case
from benchmarks.public.materials import alphas, mlp
from trainwright.diagnosis.watch import Watch

CASE = Case(
    kind="diffusion",
    cause="latents_not_scaled",
    symptoms=("wiring", "off_data", "mode_collapse", "mode_dropping", "colour_cast", "latent_scale"),
    spoils="samples",
    source="huggingface/lerobot#17",
    also=("data_range", "normalization_left_out", "clipping_of_clean_estimate", "latent_not_scaled"),
    seconds=12,
)
HORIZON, TRAIN_STEPS, OFFLINE_STEPS = 16, 50, 3500


class NormalizeTransform:
    """Maps entries of a batch to [-1, 1] and back."""

    def __init__(self, stats: dict[str, tuple[Tensor, Tensor]], in_keys: tuple[str, ...] | str) -> None:
        self.stats, self.in_keys = stats, in_keys

    def __call__(self, batch: dict[str, Tensor]) -> dict[str, Tensor]:
        """Return the batch, normalized."""
        batch = dict(batch)
        for key in self.in_keys:
            if key in batch:
                low, high = self.stats[key]
                batch[key] = (batch[key] - low) / (high - low) * 2 - 1
        return batch

    def inverse(self, batch: dict[str, Tensor]) -> dict[str, Tensor]:
        """Return the batch in its own units."""
        batch = dict(batch)
        for key in self.in_keys:
            if key in batch:
                low, high = self.stats[key]
                batch[key] = (batch[key] + 1) / 2 * (high - low) + low
        return batch


class DiffusionPolicy(nn.Module):
    """Predicts the noise of HORIZON positions, given where the agent and its target are."""

    def __init__(self) -> None:
        super().__init__()
        self.unet = mlp(2 * HORIZON + 4 + 32, 256, 256, 256, 2 * HORIZON)
        self.register_buffer("alphas_cumprod", alphas(TRAIN_STEPS, "cosine"))

    def predict(self, trajectory: Tensor, timesteps: Tensor, global_cond: Tensor) -> Tensor:
        """Return the noise."""
        angles = timesteps[:, None] * torch.exp(-math.log(100) * torch.arange(16) / 16)
        x = torch.cat([trajectory.flatten(1), global_cond, angles.sin(), angles.cos()], 1)
        return self.unet(x).view_as(trajectory)

    def compute_loss(self, batch: dict[str, Tensor]) -> Tensor:
        """Return the error of the noise."""
        trajectory = batch["action"]
        noise, timesteps = torch.randn_like(trajectory), torch.randint(0, TRAIN_STEPS, (len(trajectory),))
        a = self.alphas_cumprod[timesteps].view(-1, 1, 1)
        noisy_trajectory = a.sqrt() * trajectory + (1 - a).sqrt() * noise
        return F.mse_loss(self.predict(noisy_trajectory, timesteps, batch["observation.state"]), noise)

    @torch.no_grad()
    def conditional_sample(self, global_cond: Tensor) -> Tensor:
        """Return actions for these observations."""
        x, bar = torch.randn(len(global_cond), HORIZON, 2), self.alphas_cumprod
        for t in range(TRAIN_STEPS - 1, -1, -1):
            a, before = bar[t], bar[t - 1] if t > 0 else torch.tensor(1.0)
            eps = self.predict(x, torch.full((len(x),), t), global_cond)
            pred_original = ((x - (1 - a).sqrt() * eps) / a.sqrt()).clamp(-1, 1)
            beta = 1 - a / before
            coefficient = before.sqrt() * beta / (1 - a)
            x = coefficient * pred_original + (a / before).sqrt() * (1 - before) / (1 - a) * x
            if t > 0:
                x = x + (beta * (1 - before) / (1 - a)).sqrt() * torch.randn_like(x)
        return x


def demonstrations(n: int) -> dict[str, Tensor]:
    """Return paths in pixels of 512 that go around an obstacle, on either side."""
    g = torch.Generator().manual_seed(17)
    start, goal = 60 + 120 * torch.rand(n, 1, 2, generator=g), 330 + 120 * torch.rand(n, 1, 2, generator=g)
    s = torch.linspace(0, 1, HORIZON)[None, :, None]
    sign = torch.randint(0, 2, (n, 1, 1), generator=g) * 2 - 1
    side = sign * (70 + 20 * torch.rand(n, 1, 1, generator=g)) * (math.pi * s).sin()
    across = torch.stack([start[..., 1] - goal[..., 1], goal[..., 0] - start[..., 0]], -1)
    path = start + s * (goal - start) + side * across / across.norm(dim=-1, keepdim=True)
    return {"action": path, "observation.state": torch.cat([start, goal], 1).flatten(1) / 256 - 1}


def loop(fixed: bool) -> Watch:
    """Train; ``fixed`` is the repaired twin."""
    torch.manual_seed(17)
    data = demonstrations(3000)
    stats = {"action": (data["action"].amin((0, 1)), data["action"].amax((0, 1)))}
    transform = NormalizeTransform(stats, in_keys=("action",) if fixed else ("action"))
    policy = DiffusionPolicy()
    optimizer = torch.optim.AdamW(policy.parameters(), lr=1e-3, betas=(0.95, 0.999), weight_decay=1e-6)
    lr_scheduler = torch.optim.lr_scheduler.CosineAnnealingLR(optimizer, OFFLINE_STEPS, 1e-5)

    def select_actions(n: int) -> Tensor:
        observation = data["observation.state"][torch.randint(0, 3000, (n,))]
        return transform.inverse({"action": policy.conditional_sample(observation)})["action"]

    watch = trainwright.watch(total=OFFLINE_STEPS, sample=select_actions, real=data["action"])
    for offline_step in range(OFFLINE_STEPS):
        index = torch.randint(0, 3000, (64,))
        batch = transform({key: value[index] for key, value in data.items()})
        loss = policy.compute_loss(batch)
        loss.backward()
        torch.nn.utils.clip_grad_norm_(policy.parameters(), 10.0)
        optimizer.step()
        optimizer.zero_grad()
        lr_scheduler.step()
        watch(offline_step, loss=loss)
    return watch
