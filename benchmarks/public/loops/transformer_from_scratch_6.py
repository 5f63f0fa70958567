"""Transformer from scratch on levels: the heads are joined without bringing them next to each other first.

Source: github.com/jsbaan/transformer-from-scratch pull request 6 (merged as a critical repair).
After attention the values have the axes (batch, heads, length, width). A reshape to (batch, length, heads * width)
without a permutation puts values of several places into one token, later ones too: every token gets what belongs
to others, and in a decoder also what it must predict.
"""

import torch
from torch import Tensor, nn, optim

import trainwright
from benchmarks.public.case import Case
from benchmarks.public.materials import batches, levels
from trainwright.diagnosis.watch import Watch

CASE = Case(
    kind="autoregressive",
    cause="data_layout",
    symptoms=("wiring", "off_data", "over_dispersion", "mode_dropping", "variance_collapse", "mode_collapse"),
    spoils="samples",
    source="jsbaan/transformer-from-scratch#6",
    also=("targets_in_input", "batch_time_swapped"),
    seconds=12,
)
T, hidden_dim, num_heads = 16, 64, 4


class MultiHeadAttention(nn.Module):
    """Causal attention."""

    def __init__(self, fixed: bool) -> None:
        super().__init__()
        self.fixed = fixed
        self.qkv_proj, self.o_proj = nn.Linear(hidden_dim, 3 * hidden_dim), nn.Linear(hidden_dim, hidden_dim)

    def forward(self, x: Tensor) -> Tensor:
        """Return tokens for tokens (n, length, width)."""
        batch_size, length, _ = x.shape
        qkv = self.qkv_proj(x).reshape(batch_size, length, num_heads, -1).permute(0, 2, 1, 3)
        q, k, v = qkv.chunk(3, -1)
        logits = q @ k.transpose(-1, -2) / q.shape[-1] ** 0.5
        mask = torch.ones(length, length, dtype=torch.bool).tril()
        values = logits.masked_fill(~mask, float("-inf")).softmax(-1) @ v
        if self.fixed:
            values = values.permute(0, 2, 1, 3)
        return self.o_proj(values.reshape(batch_size, length, hidden_dim))


class DecoderBlock(nn.Module):
    """Attention and a perceptron."""

    def __init__(self, fixed: bool) -> None:
        super().__init__()
        self.self_mha, self.norm1, self.norm2 = (
            MultiHeadAttention(fixed),
            nn.LayerNorm(hidden_dim),
            nn.LayerNorm(hidden_dim),
        )
        self.feed_forward = nn.Sequential(nn.Linear(hidden_dim, 128), nn.ReLU(), nn.Linear(128, hidden_dim))

    def forward(self, x: Tensor) -> Tensor:
        """Return tokens."""
        x = x + self.self_mha(self.norm1(x))
        return x + self.feed_forward(self.norm2(x))


class TransformerDecoder(nn.Module):
    """Language model."""

    def __init__(self, vocab_size: int, fixed: bool) -> None:
        super().__init__()
        self.bos_idx = vocab_size
        self.embed, self.positions = nn.Embedding(vocab_size + 1, hidden_dim), nn.Embedding(T, hidden_dim)
        self.blocks = nn.Sequential(DecoderBlock(fixed), DecoderBlock(fixed))
        self.norm, self.output = nn.LayerNorm(hidden_dim), nn.Linear(hidden_dim, vocab_size)

    def forward(self, tokens: Tensor) -> Tensor:
        """Return logits of the next tokens."""
        x = self.embed(tokens) + self.positions(torch.arange(tokens.shape[1]))
        return self.output(self.norm(self.blocks(x)))

    @torch.no_grad()
    def generate(self, n: int) -> Tensor:
        """Draw rows (n, length) token by token."""
        tokens = torch.full((n, 1), self.bos_idx)
        for _ in range(T):
            probs = self(tokens[:, -T:])[:, -1].softmax(-1)
            tokens = torch.cat([tokens, torch.multinomial(probs, 1)], 1)
        return tokens[:, 1:]


def loop(fixed: bool) -> Watch:
    """Train; ``fixed`` is the repaired twin."""
    torch.manual_seed(6)
    rows, alphabet = levels(T)
    transformer = TransformerDecoder(len(alphabet), fixed)
    optimizer, criterion = optim.Adam(transformer.parameters(), lr=2e-3), nn.CrossEntropyLoss()
    loader, steps = batches(rows, 64), 900
    watch = trainwright.watch(total=steps, sample=transformer.generate, real=rows)
    for step in range(steps):
        tgt = next(loader)
        decoder_input = torch.cat([torch.full((len(tgt), 1), transformer.bos_idx), tgt[:, :-1]], 1)
        loss = criterion(transformer(decoder_input).flatten(0, 1), tgt.flatten())
        optimizer.zero_grad()
        loss.backward()
        optimizer.step()
        watch(step, loss=loss.item())
    return watch
