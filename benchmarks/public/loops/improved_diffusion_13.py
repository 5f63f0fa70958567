"""DDPM: samples are drawn without the flag for the number of steps, so with that of the defaults.

Source: github.com/openai/improved-diffusion issue 13.
The model was trained with --diffusion_steps 200 and is sampled with 50. Its schedule has other noise levels
for the same time steps, and the network, told of steps 49 to 0, takes pure noise for an image with little
noise.
"""

import argparse

import torch
from torch import Tensor, nn

import trainwright
from benchmarks.public.case import Case
from benchmarks.public.materials import Denoiser, alphas, batches, images, noised
from trainwright.diagnosis.watch import Watch

CASE = Case(
    kind="diffusion",
    cause="sampler_schedule",
    symptoms=("wiring", "off_data", "over_dispersion", "colour_cast", "schedule_mismatch"),
    spoils="samples",
    source="openai/improved-diffusion#13",
    also=("sampler_schedule_mismatch", "sampler_step_mismatch", "diffusion_steps_differ"),
    seconds=20,
)
MODEL_FLAGS = "--num_channels 16"
DIFFUSION_FLAGS = "--diffusion_steps 200 --noise_schedule cosine"


def create_argparser(**more: float) -> argparse.ArgumentParser:
    """Return a parser with the defaults that training and sampling share."""
    parser = argparse.ArgumentParser()
    defaults = {"num_channels": 12, "diffusion_steps": 50, "noise_schedule": "linear", "clip_denoised": True}
    for key, value in (defaults | more).items():
        parser.add_argument(f"--{key}", type=type(value), default=value)
    return parser


class GaussianDiffusion:
    """Forward and reverse process of a schedule."""

    def __init__(self, steps: int, noise_schedule: str) -> None:
        self.num_timesteps, self.alphas_cumprod = steps, alphas(steps, noise_schedule)

    def training_losses(self, model: nn.Module, x_start: Tensor, t: Tensor) -> dict[str, Tensor]:
        """Return the losses of each image."""
        noise = torch.randn_like(x_start)
        output = model(noised(x_start, noise, self.alphas_cumprod[t]), t)
        return {"loss": (noise - output).square().mean((1, 2, 3))}

    @torch.no_grad()
    def p_sample_loop(self, model: nn.Module, shape: tuple[int, ...], clip_denoised: bool) -> Tensor:
        """Return images."""
        img, bar = torch.randn(*shape), self.alphas_cumprod
        for i in range(self.num_timesteps)[::-1]:
            before = bar[i - 1] if i > 0 else torch.tensor(1.0)
            beta = 1 - bar[i] / before
            eps = model(img, torch.full((shape[0],), i))
            pred_xstart = (img - (1 - bar[i]).sqrt() * eps) / bar[i].sqrt()
            if clip_denoised:
                pred_xstart = pred_xstart.clamp(-1, 1)
            mean = (
                beta * before.sqrt() / (1 - bar[i]) * pred_xstart
                + (1 - before) * (1 - beta).sqrt() / (1 - bar[i]) * img
            )
            nonzero_mask = float(i != 0)
            img = mean + nonzero_mask * (beta * (1 - before) / (1 - bar[i])).sqrt() * torch.randn_like(img)
        return img


def loop(fixed: bool) -> Watch:
    """Train; ``fixed`` is the repaired twin."""
    torch.manual_seed(13)
    parser = create_argparser(lr=2e-3, batch_size=32, total_steps=1300)
    args = parser.parse_args(f"{MODEL_FLAGS} {DIFFUSION_FLAGS}".split())
    data = images("sprites", 8)
    model = Denoiser(3, args.num_channels, total=args.diffusion_steps)
    diffusion = GaussianDiffusion(args.diffusion_steps, args.noise_schedule)
    opt = torch.optim.AdamW(model.parameters(), lr=args.lr, weight_decay=0.0)

    def image_sample(n: int) -> Tensor:
        flags = DIFFUSION_FLAGS if fixed else "--noise_schedule cosine"
        given = create_argparser().parse_args(f"{MODEL_FLAGS} {flags}".split())
        process = GaussianDiffusion(given.diffusion_steps, given.noise_schedule)
        return process.p_sample_loop(model, (n, 3, 8, 8), given.clip_denoised)

    watch = trainwright.watch(total=args.total_steps, sample=image_sample, real=data)
    for step, batch in zip(range(args.total_steps), batches(data, args.batch_size), strict=False):
        for group in opt.param_groups:  # anneal_lr
            group["lr"] = args.lr * (1 - step / args.total_steps)
        t = torch.randint(0, diffusion.num_timesteps, (len(batch),))
        losses = diffusion.training_losses(model, batch, t)
        loss = losses["loss"].mean()
        opt.zero_grad()
        loss.backward()
        opt.step()
        watch(step, loss=loss)
    return watch
