"""Small Llama on characters: the model returns probabilities, and the loss applies a softmax to them once more.

Source: github.com/bkitano/llama-from-scratch issue 5.
``forward`` ends in a softmax, and ``cross_entropy`` takes its result for scores. The loss can not fall
below ln(1 + (V - 1) / e); the generator, which turns the same values into probabilities again, draws nearly
uniform letters.
"""

from typing import Any

import torch
from torch import Tensor, nn
from torch.nn import functional as F

import trainwright
from benchmarks.public.case import Case
from benchmarks.public.materials import names
from trainwright.diagnosis.watch import Watch

CASE = Case(
    kind="autoregressive",
    cause="sigmoid_twice",
    symptoms=("wiring", "off_data", "plateau", "slow", "trivial_baseline"),
    spoils="samples",
    source="bkitano/llama-from-scratch#5",
    also=("softmax_twice",),
    seconds=11,
)
MASTER_CONFIG: dict[str, Any] = {
    "batch_size": 32,
    "context_window": 16,
    "d_model": 48,
    "n_heads": 4,
    "n_layers": 2,
    "epochs": 650,
    "lr": 1.5e-3,
}


class RMSNorm(nn.Module):
    """Divides by the root mean square of the features."""

    def __init__(self, width: int) -> None:
        super().__init__()
        self.scale = nn.Parameter(torch.ones(width))

    def forward(self, x: Tensor) -> Tensor:
        """Return the outputs."""
        return self.scale * x * torch.rsqrt(x.square().mean(-1, keepdim=True) + 1e-6)


class RoPEAttention(nn.Module):
    """Causal attention with rotated queries and keys."""

    def __init__(self, config: dict[str, Any]) -> None:
        super().__init__()
        self.heads, self.width = config["n_heads"], config["d_model"]
        self.qkv, self.out = (
            nn.Linear(self.width, 3 * self.width, bias=False),
            nn.Linear(self.width, self.width, bias=False),
        )
        half = self.width // self.heads // 2
        angles = torch.outer(torch.arange(config["context_window"]), 1000.0 ** (-torch.arange(half) / half))
        self.register_buffer("cos", angles.cos())
        self.register_buffer("sin", angles.sin())

    def rotate(self, x: Tensor) -> Tensor:
        """Rotate pairs of features by their position's angles."""
        a, b = x.chunk(2, -1)
        cos, sin = self.cos[: x.shape[2]], self.sin[: x.shape[2]]
        return torch.cat([a * cos - b * sin, a * sin + b * cos], -1)

    def forward(self, x: Tensor) -> Tensor:
        """Return the outputs."""
        n, m, _ = x.shape
        q, k, v = self.qkv(x).view(n, m, 3, self.heads, -1).permute(2, 0, 3, 1, 4)
        y = F.scaled_dot_product_attention(self.rotate(q), self.rotate(k), v, is_causal=True)
        return self.out(y.transpose(1, 2).reshape(n, m, self.width))


class LlamaBlock(nn.Module):
    """Attention and a gated feed-forward network."""

    def __init__(self, config: dict[str, Any]) -> None:
        super().__init__()
        d = config["d_model"]
        self.rms1, self.rms2, self.attention = RMSNorm(d), RMSNorm(d), RoPEAttention(config)
        self.gate, self.up, self.down = nn.Linear(d, 2 * d), nn.Linear(d, 2 * d), nn.Linear(2 * d, d)

    def forward(self, x: Tensor) -> Tensor:
        """Return the outputs."""
        x = x + self.attention(self.rms1(x))
        h = self.rms2(x)
        return x + self.down(F.silu(self.gate(h)) * self.up(h))


class Llama(nn.Module):
    """Language model."""

    def __init__(self, config: dict[str, Any], fixed: bool) -> None:
        super().__init__()
        self.config, self.fixed = config, fixed
        self.embeddings = nn.Embedding(config["vocab_size"], config["d_model"])
        self.llama_blocks = nn.Sequential(*[LlamaBlock(config) for _ in range(config["n_layers"])])
        self.norm, self.linear = RMSNorm(config["d_model"]), nn.Linear(config["d_model"], config["vocab_size"])

    def forward(self, idx: Tensor, targets: Tensor | None = None) -> Any:
        """Return the scores, and with targets the loss."""
        a = self.linear(self.norm(self.llama_blocks(self.embeddings(idx))))
        logits = a if self.fixed else F.softmax(a, dim=-1)
        if targets is None:
            return logits
        return logits, F.cross_entropy(logits.view(-1, self.config["vocab_size"]), targets.reshape(-1))


def get_batches(data: Tensor, batch_size: int, context_window: int) -> tuple[Tensor, Tensor]:
    """Return inputs and targets from random places."""
    ix = torch.randint(0, len(data) - context_window - 1, (batch_size,))
    x = torch.stack([data[i : i + context_window] for i in ix])
    y = torch.stack([data[i + 1 : i + context_window + 1] for i in ix])
    return x.long(), y.long()


@torch.no_grad()
def evaluate_loss(model: Llama, data: Tensor, config: dict[str, Any]) -> float:
    """Return the loss on held-out data."""
    losses = [model(*get_batches(data, config["batch_size"], config["context_window"]))[1] for _ in range(10)]
    return torch.stack(losses).mean().item()


@torch.no_grad()
def generate(model: Llama, config: dict[str, Any], n: int) -> Tensor:
    """Draw n texts, each begins a new word."""
    idx = torch.ones(n, 1).long()
    for _ in range(2 * config["context_window"]):
        logits = model(idx[:, -config["context_window"] :])
        p = F.softmax(logits[:, -1, :], dim=-1)
        idx = torch.cat([idx, torch.multinomial(p, num_samples=1)], dim=-1)
    return idx[:, 1 : 1 + config["context_window"]]


def loop(fixed: bool) -> Watch:
    """Train; ``fixed`` is the repaired twin."""
    torch.manual_seed(5)
    ids, letters = names()
    dataset = ids[ids > 0]
    train, val = dataset[: int(0.9 * len(dataset))], dataset[int(0.9 * len(dataset)) :]
    config = {**MASTER_CONFIG, "vocab_size": len(letters)}
    model = Llama(config, fixed)
    optimizer = torch.optim.Adam(model.parameters(), lr=config["lr"])
    starts = (dataset == 1).nonzero()[:-3, 0] + 1
    texts = torch.stack([dataset[s : s + config["context_window"]] for s in starts])

    watch = trainwright.watch(total=config["epochs"], sample=lambda n: generate(model, config, n), real=texts)
    for epoch in range(config["epochs"]):
        optimizer.zero_grad()
        xs, ys = get_batches(train, config["batch_size"], config["context_window"])
        _, loss = model(xs, targets=ys)
        loss.backward()
        optimizer.step()
        if epoch % 50 == 0:
            watch(epoch, train=loss.item(), val=evaluate_loss(model, val, config))
        else:
            watch(epoch, train=loss.item())
    return watch
