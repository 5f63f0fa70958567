"""DDPM with fewer steps: beta keeps the values that are meant for 1,000 steps.

Source: github.com/zoubohao/DenoisingDiffusionProbabilityModel-ddpm- issue 14.
With T of 100 or fewer, much of the image is left at the last step, but the sampler starts from a standard normal there.
"""

import torch
import torch.nn.functional as F
from torch import Tensor, nn

import trainwright
from benchmarks.public.case import Case
from benchmarks.public.materials import Denoiser, batches, images
from trainwright.diagnosis.watch import Watch

CASE = Case(
    kind="diffusion",
    cause="schedule_leaves_signal",
    symptoms=(
        "wiring",
        "off_data",
        "colour_cast",
        "mode_collapse",
        "mode_dropping",
        "blur",
        "over_dispersion",
        "schedule_mismatch",
    ),
    spoils="samples",
    source="zoubohao/DenoisingDiffusionProbabilityModel-ddpm-#14",
    also=("sampler_schedule_mismatch", "temperature"),
    seconds=13,
)


def extract(v: Tensor, t: Tensor) -> Tensor:
    """Return v at t, to be multiplied with images."""
    return v.gather(0, t)[:, None, None, None]


class GaussianDiffusionTrainer(nn.Module):
    """Returns the loss."""

    def __init__(self, model: nn.Module, beta_1: float, beta_T: float, T: int) -> None:
        super().__init__()
        self.model, self.T = model, T
        alphas_bar = (1 - torch.linspace(beta_1, beta_T, T)).cumprod(0)
        self.register_buffer("sqrt_alphas_bar", alphas_bar.sqrt())
        self.register_buffer("sqrt_one_minus_alphas_bar", (1 - alphas_bar).sqrt())

    def forward(self, x_0: Tensor) -> Tensor:
        """Return the loss of each value."""
        t = torch.randint(self.T, size=(x_0.shape[0],))
        noise = torch.randn_like(x_0)
        x_t = extract(self.sqrt_alphas_bar, t) * x_0 + extract(self.sqrt_one_minus_alphas_bar, t) * noise
        return F.mse_loss(self.model(x_t, t), noise, reduction="none")


class GaussianDiffusionSampler(nn.Module):
    """Turns noise into images."""

    def __init__(self, model: nn.Module, beta_1: float, beta_T: float, T: int) -> None:
        super().__init__()
        self.model, self.T = model, T
        betas = torch.linspace(beta_1, beta_T, T)
        alphas = 1 - betas
        alphas_bar = alphas.cumprod(0)
        self.register_buffer("coeff1", (1 / alphas).sqrt())
        self.register_buffer("coeff2", self.coeff1 * (1 - alphas) / (1 - alphas_bar).sqrt())
        before = F.pad(alphas_bar, [1, 0], value=1)[:T]
        self.register_buffer("var", betas * (1 - before) / (1 - alphas_bar))

    def forward(self, x_T: Tensor) -> Tensor:
        """Return images."""
        x_t = x_T
        for time_step in reversed(range(self.T)):
            t = x_t.new_ones([x_T.shape[0]], dtype=torch.long) * time_step
            mean = extract(self.coeff1, t) * x_t - extract(self.coeff2, t) * self.model(x_t, t)
            noise = torch.randn_like(x_t) if time_step > 0 else 0
            x_t = mean + extract(self.var, t).sqrt() * noise
        return x_t.clip(-1, 1)


def loop(fixed: bool) -> Watch:
    """Train; ``fixed`` is the repaired twin."""
    torch.manual_seed(14)
    T = 100
    scale = 1000 / T if fixed else 1.0
    beta_1, beta_T = scale * 1e-4, scale * 0.02
    dataset, net_model = images("sprites", 8), Denoiser(total=T)
    trainer = GaussianDiffusionTrainer(net_model, beta_1, beta_T, T)
    sampler = GaussianDiffusionSampler(net_model, beta_1, beta_T, T)
    optimizer = torch.optim.AdamW(net_model.parameters(), lr=2e-3, weight_decay=1e-4)
    cosine_scheduler = torch.optim.lr_scheduler.CosineAnnealingLR(optimizer, 1600, eta_min=2e-5)

    def sample(n: int) -> Tensor:
        net_model.eval()
        with torch.no_grad():
            sampled = sampler(torch.randn(n, 3, 8, 8))
        net_model.train()
        return sampled

    watch = trainwright.watch(total=1600, sample=sample, real=dataset)
    for step, x_0 in zip(range(1600), batches(dataset, 32), strict=False):
        optimizer.zero_grad()
        loss = trainer(x_0).mean()
        loss.backward()
        torch.nn.utils.clip_grad_norm_(net_model.parameters(), 1.0)
        optimizer.step()
        cosine_scheduler.step()
        watch(step, loss=loss.item())
    return watch
