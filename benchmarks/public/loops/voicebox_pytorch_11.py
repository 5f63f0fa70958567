"""Flow matching that fills gaps: the condition still contains the frames that are to be filled.

Source: github.com/lucidrains/voicebox-pytorch pull request 11, merged.
The mask restricts the loss to the masked frames, but was not applied to the condition. The network reads the answer there. When a gap
is to be filled, the condition is empty in it.
"""

import torch
from torch import Tensor, nn

import trainwright
from benchmarks.public.case import Case
from benchmarks.public.materials import Denoiser, batches, images
from trainwright.diagnosis.watch import Watch

CASE = Case(
    kind="diffusion",
    cause="targets_in_input",
    symptoms=("wiring", "off_data", "colour_cast", "blur", "trivial_baseline", "mode_collapse", "mode_dropping"),
    spoils="samples",
    source="lucidrains/voicebox-pytorch#11",
    also=("conditioning_differs",),
    seconds=14,
)
FRAMES = 8


def mask_from_frac_lengths(n: int, low: float = 0.4, high: float = 1.0) -> Tensor:
    """Return masks (n, 1, 1, FRAMES): True in one span of frames."""
    length = ((low + (high - low) * torch.rand(n, 1)) * FRAMES).long()
    start = (torch.rand(n, 1) * (FRAMES - length + 1)).long()
    position = torch.arange(FRAMES)
    return ((position >= start) & (position < start + length))[:, None, None]


class ConditionalFlowMatcherWrapper(nn.Module):
    """Loss and sampler of a network that sees noised frames and a condition."""

    def __init__(self, voicebox: nn.Module, fixed: bool, sigma: float = 1e-4, steps: int = 16) -> None:
        super().__init__()
        self.voicebox, self.fixed, self.sigma, self.steps = voicebox, fixed, sigma, steps

    def forward(self, x1: Tensor) -> Tensor:
        """Return the loss."""
        n = len(x1)
        x0, times = torch.randn_like(x1), torch.rand(n)
        t = times[:, None, None, None]
        w = (1 - (1 - self.sigma) * t) * x0 + t * x1
        flow = x1 - (1 - self.sigma) * x0
        cond_mask, cond = mask_from_frac_lengths(n), x1
        if self.fixed:
            cond = cond * ~cond_mask
        prediction = self.voicebox(torch.cat([w, cond], 1), 100 * times)
        loss = (prediction - flow).square().masked_fill(~cond_mask, 0.0)
        return loss.sum() / (cond_mask.sum() * x1.shape[1] * x1.shape[2])

    @torch.inference_mode()
    def sample(self, cond: Tensor, cond_mask: Tensor) -> Tensor:
        """Fill the masked frames."""
        known = cond * ~cond_mask
        y = torch.randn_like(cond)
        for i in range(self.steps):
            times = torch.full((len(cond),), 100 * i / self.steps)
            y = y + self.voicebox(torch.cat([y, known], 1), times) / self.steps
        return torch.where(cond_mask, y, cond)


def loop(fixed: bool) -> Watch:
    """Train; ``fixed`` is the repaired twin."""
    torch.manual_seed(11)
    data = images("sprites", FRAMES)
    wrapper = ConditionalFlowMatcherWrapper(Denoiser(channels=6, out=3), fixed)
    optim = torch.optim.Adam(wrapper.parameters(), lr=3e-3)
    scheduler = torch.optim.lr_scheduler.CosineAnnealingLR(optim, 1600)

    def fill(n: int) -> Tensor:
        return wrapper.sample(data[torch.randint(len(data), (n,))], mask_from_frac_lengths(n, 0.7, 1.0)).clone()

    watch = trainwright.watch(total=1600, sample=fill, real=data)
    for step, mel in zip(range(1600), batches(data, 32), strict=False):
        loss = wrapper(mel)
        loss.backward()
        torch.nn.utils.clip_grad_norm_(wrapper.parameters(), 0.5)
        optim.step()
        scheduler.step()
        optim.zero_grad()
        watch(step, {"train_loss": loss})
    return watch
