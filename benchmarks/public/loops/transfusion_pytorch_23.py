"""Flow matching of tokens: the times of all samples of a batch are added up for every token.

Source: github.com/lucidrains/transfusion-pytorch issue 23, confirmed and corrected by the author.
An index of the batch is summed over when times are spread over tokens. In training all tokens of a batch get
about the same large number instead of their time, in sampling the time multiplied by the number of samples.
"""

import math

import torch
import torch.nn.functional as F
from torch import Tensor, nn

import trainwright
from benchmarks.public.case import Case
from benchmarks.public.materials import batches, mlp
from trainwright.diagnosis.watch import Watch

CASE = Case(
    kind="diffusion",
    cause="batch_time_swapped",
    symptoms=(
        "wiring",
        "off_data",
        "mean_regression",
        "over_dispersion",
        "blur",
        "mode_dropping",
        "colour_cast",
        "plateau",
    ),
    spoils="samples",
    source="lucidrains/transfusion-pytorch#23",
    also=("time_multiplied_by_batch_size", "time_condition_wrong", "conditioning_ignored"),
    seconds=14,
)
TOKENS, PATCH, DIM, STEPS = 8, 4, 256, 3500


class Transfusion(nn.Module):
    """A text token followed by one modality, which flows from noise to data."""

    def __init__(self, num_text_tokens: int, times_equation: str) -> None:
        super().__init__()
        self.times_equation = times_equation
        self.text_embed = nn.Embedding(num_text_tokens, PATCH)
        # tokens are mixed by a perceptron
        self.to_flow = mlp((1 + TOKENS) * (PATCH + 5), DIM, DIM, DIM, TOKENS * PATCH)

    def forward_modality(self, text: Tensor, noised: Tensor, times: Tensor) -> Tensor:
        """Return the flow of noised tokens (b, TOKENS, PATCH) at times (b, 1)."""
        tokens = torch.cat([self.text_embed(text)[:, None], noised], 1)
        is_modalities = torch.ones(len(tokens), 1, 1 + TOKENS)
        is_modalities[:, :, 0] = 0
        times_per_token = torch.einsum(self.times_equation, is_modalities, times)[..., None]
        angles = times_per_token * math.pi * torch.tensor([1.0, 3.0])
        tokens = torch.cat([tokens, times_per_token, angles.sin(), angles.cos()], -1)
        return self.to_flow(tokens.flatten(1)).view_as(noised)

    def forward(self, text: Tensor, modality: Tensor) -> Tensor:
        """Return the loss of the flow."""
        times, noise = torch.rand(len(text), 1), torch.randn_like(modality)
        padded_times = times[..., None]
        noised = noise * (1 - padded_times) + modality * padded_times
        return F.mse_loss(self.forward_modality(text, noised, times), modality - noise)

    @torch.no_grad()
    def generate_modality(self, text: Tensor, modality_steps: int = 20) -> Tensor:
        """Return modalities (b, TOKENS, PATCH)."""
        y = torch.randn(len(text), TOKENS, PATCH)
        for step in range(modality_steps):
            times = torch.full((len(text), 1), step / modality_steps)
            y = y + self.forward_modality(text, y, times) / modality_steps
        return y


def recordings(n: int) -> tuple[Tensor, Tensor]:
    """Return labels (n,) and waves (n, TOKENS, PATCH) whose rate depends on the label."""
    label = torch.randint(0, 3, (n,))
    s = torch.linspace(0, 1, TOKENS * PATCH)
    phase, height = 2 * math.pi * torch.rand(n, 1), 0.7 + 0.8 * torch.rand(n, 1)
    waves = height * (2 * math.pi * (label[:, None] + 1) * s + phase).sin()
    return label, waves.unflatten(1, (TOKENS, PATCH))


def loop(fixed: bool) -> Watch:
    """Train; ``fixed`` is the repaired twin."""
    torch.manual_seed(23)
    text, waves = recordings(3000)
    model = Transfusion(3, "bmn,bm->bn" if fixed else "bmn,tm->bn")
    optimizer = torch.optim.Adam(model.parameters(), lr=1e-3)
    scheduler = torch.optim.lr_scheduler.CosineAnnealingLR(optimizer, STEPS, 1e-5)

    def sample(n: int) -> Tensor:
        return model.generate_modality(torch.randint(0, 3, (n,))).flatten(1)

    watch = trainwright.watch(total=STEPS, sample=sample, real=waves.flatten(1))
    for step, index in zip(range(STEPS), batches(torch.arange(3000), 64), strict=False):
        flow_loss = model(text[index], waves[index])
        flow_loss.backward()
        nn.utils.clip_grad_norm_(model.parameters(), 0.5)
        optimizer.step()
        scheduler.step()
        optimizer.zero_grad()
        watch(step, flow_loss=flow_loss)
    return watch
