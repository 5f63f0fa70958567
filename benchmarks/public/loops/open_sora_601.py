"""Rectified flow of short clips: frames are counted in units of 17, so every time step becomes 0.

Source: github.com/hpcaitech/Open-Sora issue 601, confirmed by the maintainers.
Time steps are shifted by the length of the clip, which is counted in units of 17 frames. Shorter clips count
as nothing, the factor is 0, and so is every time step. The network sees only clean clips and must guess the
noise; sampled clips stay noise.
"""

import torch
from torch import Tensor, nn

import trainwright
from benchmarks.public.case import Case
from benchmarks.public.materials import Denoiser, batches, images
from trainwright.diagnosis.watch import Watch

CASE = Case(
    kind="diffusion",
    cause="time_steps_all_zero",
    symptoms=(
        "wiring",
        "off_data",
        "over_dispersion",
        "colour_cast",
        "plateau",
        "trivial_baseline",
        "schedule_mismatch",
    ),
    spoils="samples",
    source="hpcaitech/Open-Sora#601",
    also=("noise_levels_not_trained", "noise_level_never_varies", "integer_division"),
    seconds=25,
)
NUM_FRAMES, SIDE, STEPS, BATCH = 4, 8, 800, 32


def timestep_transform(t: Tensor, model_kwargs: dict[str, Tensor], unit: int, num_timesteps: int) -> Tensor:
    """Shift time steps towards noise for larger and longer clips."""
    t = t / num_timesteps
    resolution = model_kwargs["height"] * model_kwargs["width"]
    ratio_space = (resolution / SIDE**2).sqrt()
    if model_kwargs["num_frames"][0] == 1:
        num_frames = torch.ones_like(model_kwargs["num_frames"])
    else:
        num_frames = model_kwargs["num_frames"] // unit * 2
    ratio = ratio_space * num_frames.sqrt()
    new_t = ratio * t / (1 + (ratio - 1) * t)
    return new_t * num_timesteps


class RFLOW:
    """Scheduler of a rectified flow: 0 is a clip, ``num_timesteps`` is noise."""

    def __init__(self, unit: int, num_timesteps: int = 1000, num_sampling_steps: int = 30) -> None:
        self.unit, self.num_timesteps, self.num_sampling_steps = unit, num_timesteps, num_sampling_steps

    def add_noise(self, original_samples: Tensor, noise: Tensor, timesteps: Tensor) -> Tensor:
        """Return the points between clips and noise."""
        timepoints = 1 - timesteps.view(-1, 1, 1, 1, 1) / self.num_timesteps
        return timepoints * original_samples + (1 - timepoints) * noise

    def training_losses(self, model: nn.Module, x_start: Tensor, kwargs: dict[str, Tensor]) -> Tensor:
        """Return the loss."""
        t = torch.rand(len(x_start)) * self.num_timesteps
        t = timestep_transform(t, kwargs, self.unit, self.num_timesteps)
        noise = torch.randn_like(x_start)
        velocity_pred = model(self.add_noise(x_start, noise, t), t)
        return (velocity_pred - (x_start - noise)).pow(2).mean()

    @torch.no_grad()
    def sample(self, model: nn.Module, z: Tensor) -> Tensor:
        """Return the clips to which noise z flows."""
        n = self.num_sampling_steps
        timesteps = [(1 - i / n) * self.num_timesteps for i in range(n)]
        for i, t in enumerate(timesteps):
            dt = timesteps[i] - timesteps[i + 1] if i < n - 1 else timesteps[i]
            z = z + model(z, torch.full((len(z),), t)) * dt / self.num_timesteps
        return z


class STDiT(nn.Module):
    """Velocity of clips (n, 3, T, H, W)."""

    def __init__(self) -> None:
        super().__init__()
        self.blocks = Denoiser(3 * NUM_FRAMES, 24, total=1000)

    def forward(self, x: Tensor, timestep: Tensor) -> Tensor:
        """Return the velocity."""
        return self.blocks(x.flatten(1, 2), timestep).unflatten(1, (3, NUM_FRAMES))


def get_args(n: int) -> dict[str, Tensor]:
    """Return what the batch tells about itself."""
    return {
        "height": torch.full((n,), float(SIDE)),
        "width": torch.full((n,), float(SIDE)),
        "num_frames": torch.full((n,), float(NUM_FRAMES)),
    }


def get_videos() -> Tensor:
    """Return clips (n, 3, T, H, W) in [-1, 1]: sprites that move sideways, around the edge."""
    sprites = images("sprites", SIDE)
    speed = torch.randint(-1, 2, (len(sprites),), generator=torch.Generator().manual_seed(601)).tolist()
    clips = []
    for x, v in zip(sprites, speed, strict=True):
        clips.append(torch.stack([x.roll(v * t, -1) for t in range(NUM_FRAMES)], 1))
    return torch.stack(clips)


def loop(fixed: bool) -> Watch:
    """Train; ``fixed`` is the repaired twin."""
    torch.manual_seed(601)
    videos = get_videos()
    model, scheduler = STDiT(), RFLOW(unit=4 if fixed else 17)
    optimizer = torch.optim.AdamW(model.parameters(), lr=2e-3, weight_decay=0)
    lr_scheduler = torch.optim.lr_scheduler.CosineAnnealingLR(optimizer, STEPS, 1e-4)

    def sample(n: int) -> Tensor:
        return scheduler.sample(model, torch.randn(n, 3, NUM_FRAMES, SIDE, SIDE))

    watch = trainwright.watch(total=STEPS, sample=sample, real=videos)
    for step, x in zip(range(STEPS), batches(videos, BATCH), strict=False):
        loss = scheduler.training_losses(model, x, get_args(len(x)))
        optimizer.zero_grad()
        loss.backward()
        nn.utils.clip_grad_norm_(model.parameters(), 1.0)
        optimizer.step()
        lr_scheduler.step()
        watch(step, loss=loss.item())
    return watch
