"""A DDPM in plain functions, the same in a wrapper class whose forward() returns the loss, and flow matching."""

import math
from copy import deepcopy
from typing import Any

import torch
import torch.nn.functional as F
from torch import Tensor, nn

import trainwright
from benchmarks.public.materials import Denoiser, batches, images
from trainwright.diagnosis.watch import Watch

T = 100
DDPM: dict[str, tuple[str, ...]] = {
    "no_noise_when_sampling": ("sampler_step_mismatch", "sampler_schedule"),
    "noise_too_large": ("sampler_step_mismatch", "sampler_schedule", "temperature"),
    "steps_forward": ("sampler_step_mismatch", "sampler_schedule"),
    "time_not_given": ("conditioning_ignored",),
    "time_constant_when_sampling": ("sampler_step_mismatch", "conditioning_ignored", "sampler_schedule"),
    "alphas_for_products": ("sampler_step_mismatch", "sampler_schedule", "schedule_leaves_signal"),
    "root_left_out": ("noise_level_formula", "sampler_step_mismatch", "sampler_schedule", "schedule_leaves_signal"),
    "clean_taken_for_noise": ("prediction_type_mismatch",),
    "target_is_noisy": ("targets_in_input", "wrong_target"),
    "target_is_other_noise": ("wrong_target", "labels_mismatched", "targets_misaligned"),
    "data_0_255": ("data_range", "latents_not_scaled"),
    "data_small": ("latents_not_scaled",),
    "betas_small": ("schedule_leaves_signal",),
    "betas_large": ("schedule_too_steep", "schedule_without_signal", "noise_schedule"),
    "ema_slow": ("ema_too_slow",),
    "ema_never_updated": ("ema_too_slow", "parameters_not_optimized", "not_trained"),
    "noise_drawn_once": ("noise_drawn_once",),
    "noise_uniform": ("noise_distribution_mismatch",),
    "time_half": ("times_not_trained", "sampler_schedule", "sampler_step_mismatch"),
    "sampler_clamps_0_1": ("clipping_of_clean_estimate", "data_range", "sampler_step_mismatch"),
    "strided_by_one": ("sampler_step_mismatch", "sampler_schedule"),
    "other_schedule": ("sampler_schedule", "sampler_step_mismatch"),
    "start_uniform": ("noise_distribution_mismatch",),
    "start_small": ("noise_distribution_mismatch", "temperature", "sampler_step_mismatch"),
    "time_scaled_when_sampling": ("sampler_step_mismatch", "sampler_schedule", "conditioning_differs"),
    "lr_high": ("lr_too_high",),
    "lr_low": ("lr_too_low",),
    "tanh_output": ("output_activation",),
    "never_cleared": ("gradients_not_cleared",),
    "same_batch": ("same_batch_every_step",),
    "dropout_when_sampling": ("batch_statistics_when_sampling", "dropout_when_sampling"),
    "loss_broadcast": ("loss_shapes_broadcast",),
    "cosine_unclipped": ("division_by_zero", "sampler_step_mismatch", "sampler_schedule"),
}


class DropNet(nn.Module):
    """A denoiser behind dropout, if there is any, and behind an activation."""

    def __init__(self, fault: str) -> None:
        """Make the layers."""
        super().__init__()
        self.fault, self.net = fault, Denoiser(total=T)
        self.drop = nn.Dropout(0.4 if fault == "dropout_when_sampling" else 0.0)

    def forward(self, x: Tensor, t: Tensor) -> Tensor:
        """Return the prediction for images and times."""
        if self.fault == "time_not_given":
            t = torch.zeros_like(t)
        h = self.net(self.drop(x), t)
        return torch.tanh(h) if self.fault == "tanh_output" else h


def ddpm(fault: str) -> Watch:
    """Train a DDPM on sprites of 8 pixels."""
    torch.manual_seed(0)
    data = images("sprites", side=8)
    if fault == "data_0_255":
        data = (data + 1) * 127.5
    if fault == "data_small":
        data = data * 0.05
    low, high = {"betas_small": (1e-5, 2e-3), "betas_large": (0.3, 0.9)}.get(fault, (1e-3, 0.1))
    beta = torch.linspace(low, high, T)
    if fault == "cosine_unclipped":
        f = torch.cos((torch.arange(T + 1) / T + 0.008) / 1.008 * math.pi / 2) ** 2
        beta = (1 - f[1:] / f[:-1]).clamp(max=1.0)
    alpha = 1 - beta
    alpha_bar = torch.cumprod(alpha, 0)
    net = DropNet(fault)
    ema = deepcopy(net)
    optim = torch.optim.Adam(net.parameters(), lr={"lr_high": 0.3, "lr_low": 1e-7}.get(fault, 2e-3))
    steps = 400
    fixed = torch.randn(64, 3, 8, 8)
    held = data[:64]

    def noisy(x0: Tensor, t: Tensor, eps: Tensor) -> Tensor:
        a = (alpha if fault == "alphas_for_products" else alpha_bar)[t].view(-1, 1, 1, 1)
        if fault == "root_left_out":
            return a.sqrt() * x0 + (1 - a) * eps
        return a.sqrt() * x0 + (1 - a).sqrt() * eps

    @torch.no_grad()
    def p_sample(n: int) -> Tensor:
        used = ema if fault.startswith("ema") else net
        if fault != "dropout_when_sampling":
            used.eval()
        x = torch.randn(n, 3, 8, 8)
        if fault == "start_uniform":
            x = torch.rand(n, 3, 8, 8)
        if fault == "start_small":
            x = x * 0.3
        b, a, ab = beta, alpha, alpha_bar
        if fault == "other_schedule":
            b = torch.linspace(1e-4, 0.02, T)
            a = 1 - b
            ab = torch.cumprod(a, 0)
        order = range(T) if fault == "steps_forward" else reversed(range(T))
        if fault == "strided_by_one":
            order = range(T - 1, -1, -5)
        for i in order:
            t = torch.full((n,), i)
            if fault == "time_constant_when_sampling":
                t = torch.zeros_like(t)
            if fault == "time_scaled_when_sampling":
                t = t / T
            eps = used(x, t)
            mean = (x - b[i] / (1 - ab[i]).sqrt() * eps) / a[i].sqrt()
            z = torch.randn_like(x) if i > 0 else torch.zeros_like(x)
            scale = b[i].sqrt()
            if fault == "no_noise_when_sampling":
                scale = 0 * scale
            if fault == "noise_too_large":
                scale = scale * 3
            x = mean + scale * z
            if fault == "sampler_clamps_0_1":
                x = x.clamp(0, 1)
        used.train()
        return x

    watch = trainwright.watch(total=steps, sample=p_sample, real=data)
    for step, x0 in zip(range(steps), batches(data, 64), strict=False):
        if fault == "same_batch":
            x0 = held
        t = torch.randint(0, T // 2 if fault == "time_half" else T, (len(x0),))
        eps = torch.randn_like(x0)
        if fault == "noise_drawn_once":
            eps = fixed
        if fault == "noise_uniform":
            eps = torch.rand_like(x0)
        xt = noisy(x0, t, eps)
        out = net(xt, t)
        goal = eps
        if fault == "clean_taken_for_noise":
            goal = x0
        if fault == "target_is_noisy":
            goal = xt
        if fault == "target_is_other_noise":
            goal = torch.randn_like(eps)
        if fault == "loss_broadcast":
            loss = F.mse_loss(out.mean((1, 2, 3), keepdim=True).flatten(1), goal.mean((1, 2, 3)))
        else:
            loss = F.mse_loss(out, goal)
        if fault != "never_cleared":
            optim.zero_grad()
        loss.backward()
        optim.step()
        decay = {"ema_slow": 0.9999, "ema_never_updated": 1.0}.get(fault, 0.99)
        with torch.no_grad():
            for p, q in zip(ema.parameters(), net.parameters(), strict=True):
                p.mul_(decay).add_(q, alpha=1 - decay)
        watch(step, loss=loss.item())
    return watch


WRAPPED: dict[str, tuple[str, ...]] = {
    "unnormalized_when_returned": ("data_range", "output_not_unscaled", "sampler_step_mismatch"),
    "not_normalized": ("data_range", "latents_not_scaled"),
    "objective_of_sampler": ("prediction_type_mismatch",),
    "ddim_eta_two": ("sampler_step_mismatch",),
    "ddim_time_off": ("sampler_step_mismatch", "sampler_schedule"),
    "ema_slow": ("ema_too_slow",),
    "loss_weight_inverted": ("loss_weight_inverted", "loss_weight_of_other_noise"),
    "condition_dropped": ("conditioning_ignored",),
    "self_condition_leak": ("targets_in_input",),
    "gradients_accumulated": ("gradients_not_cleared", "lr_too_high"),
    "step_in_wrong_place": ("accumulated_gradients_cleared", "optimizer_never_steps"),
    "clip_tiny": ("clipping_too_tight",),
}


class GaussianDiffusion(nn.Module):
    """Model and schedule; forward() returns the loss of a batch of images in 0..1."""

    def __init__(
        self, model: nn.Module, image_size: int, fault: str, objective: str = "pred_v", timesteps: int = 200
    ) -> None:
        """Make the schedule."""
        super().__init__()
        self.model, self.image_size, self.fault, self.objective, self.num_timesteps = (
            model,
            image_size,
            fault,
            objective,
            timesteps,
        )
        s = torch.linspace(0, timesteps, timesteps + 1) / timesteps
        products = torch.cos((s + 0.008) / 1.008 * math.pi * 0.5) ** 2
        betas = (1 - products[1:] / products[:-1]).clamp(0, 0.999)
        self.register_buffer("alphas_cumprod", torch.cumprod(1 - betas, 0))

    def _at(self, t: Tensor) -> tuple[Tensor, Tensor]:
        a = self.alphas_cumprod[t].view(-1, 1, 1, 1)  # type: ignore[index]
        return a.sqrt(), (1 - a).sqrt()

    @torch.inference_mode()
    def sample(self, batch_size: int = 16, steps: int = 40) -> Tensor:
        """Return images in 0..1 by DDIM."""
        times = torch.linspace(-1, self.num_timesteps - 1, steps + 1).int().tolist()[::-1]
        img = torch.randn(batch_size, 3, self.image_size, self.image_size)
        for now, after in zip(times[:-1], times[1:], strict=True):
            t = torch.full((batch_size,), now, dtype=torch.long)
            a, s = self._at(t)
            out = self.model(img, t)
            if self.fault == "objective_of_sampler":
                eps = out
                x0 = (img - s * eps) / a.clamp(min=0.02)
            else:
                x0, eps = a * img - s * out, s * img + a * out
            x0 = x0.clamp(-1, 1)
            if after < 0:
                img = x0
                continue
            to = t * 0 + (max(after - 30, 0) if self.fault == "ddim_time_off" else after)
            a2, s2 = self._at(to)
            eta = 2.0 if self.fault == "ddim_eta_two" else 0.0
            sigma = eta * s2 * 0.6
            c = (s2**2 - sigma**2).clamp(min=0).sqrt()
            img = x0 * a2 + c * eps + sigma * torch.randn_like(img)
        return img if self.fault == "unnormalized_when_returned" else (img + 1) * 0.5

    def forward(self, img: Tensor) -> Tensor:
        """Return the loss."""
        t = torch.randint(0, self.num_timesteps, (len(img),))
        x_start = img if self.fault == "not_normalized" else img * 2 - 1
        if self.fault == "not_normalized":
            x_start = img * 255
        noise = torch.randn_like(x_start)
        a, s = self._at(t)
        x = a * x_start + s * noise
        out = self.model(x, t)
        target = a * noise - s * x_start
        if self.fault == "self_condition_leak":
            out = self.model(0.5 * x + 0.5 * target, t)
        loss = F.mse_loss(out, target, reduction="none").flatten(1).mean(1)
        if self.fault == "loss_weight_inverted":
            loss = loss / (s.flatten() ** 4 + 1e-6)
        return loss.mean()


class Trainer:
    """Trains a wrapper and keeps an average."""

    def __init__(self, diffusion: GaussianDiffusion, data: Tensor, fault: str, train_num_steps: int = 250) -> None:
        """Make the optimizer."""
        self.model, self.data, self.fault, self.train_num_steps = diffusion, data, fault, train_num_steps
        self.opt = torch.optim.Adam(diffusion.parameters(), lr=2e-3, betas=(0.9, 0.99))
        self.ema_model = deepcopy(diffusion).eval()
        self.ema_decay = 0.9995 if fault == "ema_slow" else 0.98

    @torch.no_grad()
    def _update_ema(self) -> None:
        for p, q in zip(self.ema_model.parameters(), self.model.parameters(), strict=True):
            p.lerp_(q, 1 - self.ema_decay)

    def train(self) -> Watch:
        """Train."""
        watch = trainwright.watch(total=self.train_num_steps, sample=lambda n: self.ema_model.sample(n), real=self.data)
        stream: Any = batches(self.data, 32)
        accumulate = 2
        for step in range(self.train_num_steps):
            total = 0.0
            for _ in range(accumulate):
                if self.fault == "step_in_wrong_place":
                    self.opt.zero_grad()
                loss = self.model(next(stream)) / accumulate
                total += loss.item()
                loss.backward()
            if self.fault == "step_in_wrong_place":
                self.opt.zero_grad()
            if self.fault == "clip_tiny":
                nn.utils.clip_grad_norm_(self.model.parameters(), 1e-10)
            self.opt.step()
            if self.fault != "gradients_accumulated":
                self.opt.zero_grad()
            self._update_ema()
            watch(step, loss=total)
        return watch


class Conditional(nn.Module):
    """Gives the denoiser what a user's class would."""

    def __init__(self, fault: str) -> None:
        """Make the network."""
        super().__init__()
        self.fault, self.net = fault, Denoiser(total=200)

    def forward(self, x: Tensor, time: Tensor) -> Tensor:
        """Return the prediction."""
        return self.net(x, time * 0 if self.fault == "condition_dropped" else time)


def wrapped(fault: str) -> Watch:
    """Train by a trainer."""
    torch.manual_seed(0)
    data = (images("emoji", side=8) + 1) / 2
    return Trainer(GaussianDiffusion(Conditional(fault), 8, fault), data, fault).train()


FLOW: dict[str, tuple[str, ...]] = {
    "sign_of_velocity": ("prediction_type_mismatch", "sampler_step_mismatch", "wrong_sign"),
    "direction_of_time": ("sampler_step_mismatch", "sampler_schedule"),
    "step_twice": ("sampler_step_mismatch", "sampler_schedule"),
    "half_of_the_way": ("sampler_step_mismatch", "sampler_schedule"),
    "start_uniform": ("noise_distribution_mismatch",),
    "time_not_given": ("conditioning_ignored",),
    "time_near_zero_only": ("times_not_trained", "sampler_step_mismatch"),
    "target_without_noise": ("prediction_type_mismatch", "wrong_target"),
    "times_of_other_rows": ("conditioning_ignored", "labels_mismatched", "times_mismatched"),
    "data_unscaled": ("data_range", "latents_not_scaled"),
    "label_not_given_when_sampling": ("conditioning_ignored", "conditioning_differs"),
    "noise_drawn_once": ("noise_drawn_once",),
    "time_in_thousands": ("sampler_step_mismatch", "conditioning_differs"),
}


class Velocity(nn.Module):
    """Velocity of points (n, 2) at times (n, 1)."""

    def __init__(self, h: int = 96) -> None:
        """Make the layers."""
        super().__init__()
        self.net = nn.Sequential(
            nn.Linear(3, h), nn.ELU(), nn.Linear(h, h), nn.ELU(), nn.Linear(h, h), nn.ELU(), nn.Linear(h, 2)
        )

    def forward(self, x_t: Tensor, t: Tensor) -> Tensor:
        """Return velocities."""
        return self.net(torch.cat((t, x_t), -1))


def flow(fault: str) -> Watch:
    """Train flow matching of two moons."""
    torch.manual_seed(0)
    angle = math.pi * torch.rand(2000)
    side = (torch.rand(2000) > 0.5).float()
    moons = torch.stack(
        [torch.cos(angle) * (1 - 2 * side) + side - 0.5, torch.sin(angle) * (1 - 2 * side) + 0.5 * side - 0.25], 1
    )
    data = moons * 1.5 + 0.05 * torch.randn(2000, 2)
    if fault == "data_unscaled":
        data = data * 200
    model = Velocity()
    optimizer = torch.optim.Adam(model.parameters(), 3e-3)
    iterations = 800
    fixed = torch.randn(256, 2)

    @torch.no_grad()
    def sample(n: int) -> Tensor:
        x = torch.rand(n, 2) if fault == "start_uniform" else torch.randn(n, 2)
        grid = torch.linspace(0, 1, 21)
        if fault == "direction_of_time":
            grid = grid.flip(0)
        for a, b in zip(grid[:-1], grid[1:], strict=True):
            t = a.expand(n, 1)
            if fault == "time_not_given":
                t = torch.zeros_like(t)
            if fault == "time_in_thousands":
                t = t * 1000
            dt = (b - a).abs()
            if fault == "step_twice":
                dt = 2 * dt
            if fault == "half_of_the_way":
                dt = dt / 2
            x = x + model(x, t) * dt
        return x

    watch = trainwright.watch(total=iterations, sample=sample, real=data)
    for it in range(iterations):
        x_1 = data[torch.randint(len(data), (256,))]
        x_0 = fixed if fault == "noise_drawn_once" else torch.randn_like(x_1)
        t = torch.rand(len(x_1), 1)
        if fault == "time_near_zero_only":
            t = t * 0.3
        x_t = (1 - t) * x_0 + t * x_1
        dx_t = x_1 - x_0
        if fault == "sign_of_velocity":
            dx_t = x_0 - x_1
        if fault == "target_without_noise":
            dx_t = x_1
        given = t.flip(0) if fault == "times_of_other_rows" else t
        if fault == "time_not_given":
            given = torch.zeros_like(t)
        optimizer.zero_grad()
        loss = F.mse_loss(model(x_t, given), dx_t)
        loss.backward()
        optimizer.step()
        watch(it, loss=float(loss))
    return watch


del FLOW["label_not_given_when_sampling"]
LOOPS = {"ddpm": (ddpm, DDPM), "wrapped": (wrapped, WRAPPED), "flow": (flow, FLOW)}
