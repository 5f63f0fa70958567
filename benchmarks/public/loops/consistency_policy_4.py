"""Consistency policy, distilled from a diffusion policy: both sides of the consistency loss are computed without gradients.

Source: github.com/Aaditya-Prasad/consistency-policy issue 4.
Student and target are taken back to time 0 by the averaged student within one no_grad block, so the consistency term has no graph.
Only denoising score matching trains the student, and one step from noise gives the mean of the demonstrations.
"""

import copy
import math

import torch
from torch import Tensor, nn

import trainwright
from benchmarks.public.case import Case
from benchmarks.public.materials import batches, mlp
from trainwright.diagnosis.watch import Watch

CASE = Case(
    kind="diffusion",
    cause="term_without_gradient",
    symptoms=(
        "wiring",
        "mean_regression",
        "variance_collapse",
        "off_data",
        "blur",
        "mode_collapse",
        "mode_dropping",
        "plateau",
    ),
    spoils="samples",
    source="Aaditya-Prasad/consistency-policy#4",
    also=("term_left_out",),
    seconds=17,
)
HORIZON, BINS, SIGMA_DATA = 16, 24, 0.5


def demonstrations(n: int) -> Tensor:
    """Return action chunks (n, HORIZON): a push around an obstacle, on its left or on its right."""
    t = torch.linspace(0, math.pi, HORIZON // 2)
    side = torch.randint(0, 2, (n, 1)) * 2.0 - 1
    along = torch.linspace(-0.8, 0.8, HORIZON // 2) + 0.1 * torch.randn(n, 1)
    across = side * (0.7 + 0.1 * torch.randn(n, 1)) * t.sin()
    return torch.cat([along, across], 1)


def features(t: Tensor) -> Tensor:
    """Return features of noise levels (n,)."""
    angles = t.log()[:, None] * torch.tensor([0.25, 0.5, 1.0, 2.0])
    return torch.cat([t.log()[:, None] / 4, angles.sin(), angles.cos()], 1)


def huber(a: Tensor, b: Tensor) -> Tensor:
    """Return the pseudo-Huber distance."""
    c = 0.03
    return (((a - b).square().mean(1) + c**2).sqrt() - c).mean()


class Teacher(nn.Module):
    """Denoiser with the preconditioning of EDM."""

    def __init__(self) -> None:
        super().__init__()
        self.net = mlp(HORIZON + 9, 128, 128, 128, HORIZON)

    def forward(self, x: Tensor, t: Tensor) -> Tensor:
        """Return denoised actions."""
        s = t[:, None]
        total = (s.square() + SIGMA_DATA**2).sqrt()
        f = self.net(torch.cat([x / total, features(t)], 1))
        return SIGMA_DATA**2 / total.square() * x + s * SIGMA_DATA / total * f


class Student(nn.Module):
    """Jump from time t to time s."""

    def __init__(self) -> None:
        super().__init__()
        self.net = mlp(HORIZON + 18, 128, 128, 128, HORIZON)

    def forward(self, x: Tensor, t: Tensor, s: Tensor) -> Tensor:
        """Return actions at time s."""
        a = t[:, None]
        total = (a.square() + SIGMA_DATA**2).sqrt()
        f = self.net(torch.cat([x / total, features(t), features(s)], 1))
        g = SIGMA_DATA**2 / total.square() * x + a * SIGMA_DATA / total * f
        ratio = s[:, None] / a
        return ratio * x + (1 - ratio) * g


def loop(fixed: bool) -> Watch:
    """Train; ``fixed`` is the repaired twin."""
    torch.manual_seed(4)
    actions = demonstrations(3000)
    ramp = torch.linspace(0, 1, BINS)
    times = (10.0 ** (1 / 7) + ramp * (0.02 ** (1 / 7) - 10.0 ** (1 / 7))) ** 7  # from noise to data

    teacher = Teacher()
    adam = torch.optim.Adam(teacher.parameters(), 1e-3)
    for _, x in zip(range(2000), batches(actions, 128, seed=1), strict=False):
        t = (1.2 * torch.randn(len(x)) - 0.8).exp()
        weight = (t.square() + SIGMA_DATA**2) / (t * SIGMA_DATA).square()
        loss = (weight[:, None] * (teacher(x + t[:, None] * torch.randn_like(x), t) - x).square()).mean()
        adam.zero_grad()
        loss.backward()
        adam.step()
    teacher.eval().requires_grad_(False)

    model = Student()
    model_ema = copy.deepcopy(model).requires_grad_(False)
    optimizer = torch.optim.AdamW(model.parameters(), lr=1e-3, weight_decay=1e-6)
    lr_scheduler = torch.optim.lr_scheduler.CosineAnnealingLR(optimizer, 5000, eta_min=1e-5)
    losses = {"ctm": 1.0, "dsm": 0.05}

    @torch.no_grad()
    def predict_action(n: int) -> Tensor:
        start, stop = times[:1].expand(n), times[-1:].expand(n)
        return model(times[0] * torch.randn(n, HORIZON), start, stop)

    num_steps = 5000
    watch = trainwright.watch(total=num_steps, sample=predict_action, real=actions)
    for global_step, trajectory in zip(range(num_steps), batches(actions, 128), strict=False):
        n = len(trajectory)
        t = torch.randint(0, BINS - 1, (n,))
        u = t + 1
        s = u + (torch.rand(n) * (BINS - u)).long()
        noise_traj = trajectory + times[t][:, None] * torch.randn_like(trajectory)
        with torch.no_grad():
            d = (noise_traj - teacher(noise_traj, times[t])) / times[t][:, None]
            u_noise_traj = noise_traj + (times[u] - times[t])[:, None] * d

        pred = model(noise_traj, times[t], times[s])
        with torch.no_grad():
            target = model_ema(u_noise_traj, times[u], times[s])
        # now take both back to 0
        start = times[-1:].expand(n)
        if fixed:
            pred = model_ema(pred, times[s], start)
            with torch.no_grad():
                target = model_ema(target, times[s], start)
        else:
            with torch.no_grad():
                pred = model_ema(pred, times[s], start)
                target = model_ema(target, times[s], start)
        total_loss = {"ctm": losses["ctm"] * huber(pred, target)}

        level = (1.2 * torch.randn(n) - 1.2).exp().clamp(0.02, 10.0)
        noisy = trajectory + level[:, None] * torch.randn_like(trajectory)
        total_loss["dsm"] = losses["dsm"] * huber(model(noisy, level.clamp(min=0.021), start), trajectory)

        loss = sum(total_loss.values())
        optimizer.zero_grad()
        loss.backward()
        optimizer.step()
        lr_scheduler.step()
        with torch.no_grad():
            for p, q in zip(model_ema.parameters(), model.parameters(), strict=True):
                p.lerp_(q, 0.05)
        watch(global_step, {"train_loss": loss, "ctm": total_loss["ctm"], "dsm": total_loss["dsm"]})
    return watch
