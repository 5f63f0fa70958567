"""Language model with linear attention: keys and values are mixed over the whole sequence before the causal mask.

Source: github.com/tatp22/linformer-pytorch issue 25; the owner says in issue 16 that the mask does not hold here.
Each of the projected keys holds all positions, also later ones. The loss goes to zero within an epoch, and generation fails.
"""

import torch
import torch.nn.functional as F
from torch import Tensor, nn

import trainwright
from benchmarks.public.case import Case
from benchmarks.public.materials import batches, levels
from trainwright.diagnosis.watch import Watch

CASE = Case(
    kind="autoregressive",
    cause="targets_in_input",
    symptoms=("wiring", "off_data", "overfitting", "mode_collapse", "mode_dropping"),
    spoils="samples",
    source="tatp22/linformer-pytorch#25",
    also=("exposure_bias", "batch_time_swapped"),
)
INPUT_SIZE = 16


class Attention(nn.Module):
    """Self-attention of one head, with projected or full keys."""

    def __init__(self, channels: int, dim_k: int, full: bool) -> None:
        super().__init__()
        self.to_qkv, self.out = nn.Linear(channels, 3 * channels), nn.Linear(channels, channels)
        self.E, self.full = None if full else nn.Linear(INPUT_SIZE, dim_k, bias=False), full
        size = INPUT_SIZE if full else dim_k
        self.register_buffer("causal_mask", torch.ones(INPUT_SIZE, size).tril() == 1)

    def forward(self, x: Tensor) -> Tensor:
        """Return the outputs."""
        q, k, v = self.to_qkv(x).chunk(3, -1)
        if self.E is not None:
            k, v = self.E(k.transpose(1, 2)).transpose(1, 2), self.E(v.transpose(1, 2)).transpose(1, 2)
        P_bar = (q @ k.transpose(1, 2) / q.shape[-1] ** 0.5).masked_fill(~self.causal_mask, -1e10).softmax(-1)
        return self.out(P_bar @ v)


class LinformerLM(nn.Module):
    """Two layers of attention and perceptrons."""

    def __init__(self, num_tokens: int, channels: int, full: bool) -> None:
        super().__init__()
        self.emb, self.pos = (
            nn.Embedding(num_tokens + 1, channels),
            nn.Parameter(0.1 * torch.randn(INPUT_SIZE, channels)),
        )
        self.attention = nn.ModuleList(Attention(channels, 8, full) for _ in range(2))
        self.ff = nn.ModuleList(
            nn.Sequential(nn.LayerNorm(channels), nn.Linear(channels, 96), nn.GELU(), nn.Linear(96, channels))
            for _ in range(2)
        )
        self.to_logits = nn.Linear(channels, num_tokens)

    def forward(self, x: Tensor) -> Tensor:
        """Return scores."""
        h = self.emb(x) + self.pos
        for attention, ff in zip(self.attention, self.ff, strict=True):
            h = h + attention(F.layer_norm(h, h.shape[-1:]))
            h = h + ff(h)
        return self.to_logits(h)


def loop(fixed: bool) -> Watch:
    """Train; ``fixed`` is the repaired twin."""
    torch.manual_seed(25)
    data, alphabet = levels(INPUT_SIZE)
    ntoken = len(alphabet)
    model = LinformerLM(ntoken, 48, full=fixed)
    optimizer = torch.optim.Adam(model.parameters(), 2e-3)

    @torch.no_grad()
    def sample(n: int) -> Tensor:
        x = torch.full((n, INPUT_SIZE + 1), ntoken)
        for i in range(INPUT_SIZE):
            x[:, i + 1] = torch.multinomial(model(x[:, :-1])[:, i].softmax(-1), 1)[:, 0]
        return x[:, 1:]

    watch = trainwright.watch(total=900, sample=sample, real=data)
    for step, batch in zip(range(900), batches(data, 32), strict=False):
        inputs = torch.cat([torch.full((len(batch), 1), ntoken), batch[:, :-1]], 1)
        loss = F.cross_entropy(model(inputs).transpose(1, 2), batch)
        optimizer.zero_grad()
        loss.backward()
        optimizer.step()
        watch(step, loss=loss)
    return watch
