"""Pretraining of an encoder and decoder: labels are aligned with the decoder's inputs, not with the next tokens.

Source: github.com/ayaka14732/bart-base-jax pull request 6, merged.
The decoder copies its input, and the loss is soon almost zero. When it has to write on its own, it repeats itself.
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
    cause="targets_misaligned",
    symptoms=("wiring", "off_data", "mode_collapse", "mode_dropping", "overfitting", "trivial_baseline"),
    spoils="samples",
    source="ayaka14732/bart-base-jax#6",
    also=("targets_in_input", "exposure_bias"),
)
LENGTH = 16


class Seq2Seq(nn.Module):
    """Transformer with one layer of each kind."""

    def __init__(self, vocab: int, d_model: int = 48) -> None:
        super().__init__()
        self.embedding, self.position = nn.Embedding(vocab, d_model), nn.Parameter(0.1 * torch.randn(LENGTH, d_model))
        self.transformer = nn.Transformer(d_model, 4, 1, 1, 96, 0.0, batch_first=True)
        self.lm_head = nn.Linear(d_model, vocab)
        self.register_buffer("mask", torch.triu(torch.full((LENGTH, LENGTH), float("-inf")), 1))

    def forward(self, src: Tensor, dst: Tensor) -> Tensor:
        """Return scores of tokens."""
        n = dst.shape[1]
        source, target = self.embedding(src) + self.position, self.embedding(dst) + self.position[:n]
        return self.lm_head(self.transformer(source, target, tgt_mask=self.mask[:n, :n]))


def loop(fixed: bool) -> Watch:
    """Train; ``fixed`` is the repaired twin."""
    torch.manual_seed(6)
    data, alphabet = levels(LENGTH)
    bos, mask = len(alphabet), len(alphabet) + 1
    model = Seq2Seq(len(alphabet) + 2)
    optimizer = torch.optim.Adam(model.parameters(), 2e-3)

    def corrupted(x: Tensor) -> Tensor:
        return x.masked_fill(torch.rand(x.shape) < 0.5, mask)

    @torch.no_grad()
    def sample(n: int) -> Tensor:
        src, dst = corrupted(data[torch.randint(len(data), (n,))]), torch.full((n, 1), bos)
        for _ in range(LENGTH):
            probabilities = model(src, dst[:, :LENGTH])[:, -1, :bos].softmax(-1)
            dst = torch.cat([dst, torch.multinomial(probabilities, 1)], 1)
        return dst[:, 1:]

    watch = trainwright.watch(total=500, sample=sample, real=data)
    for step, rows in zip(range(500), batches(data, 32), strict=False):
        shifted = torch.cat([torch.full((len(rows), 1), bos), rows[:, :-1]], 1)
        dst, labels = (shifted, rows) if fixed else (rows, rows)
        logits = model(corrupted(rows), dst)
        loss = F.cross_entropy(logits.transpose(1, 2), labels)
        optimizer.zero_grad()
        loss.backward()
        optimizer.step()
        watch(step, loss=loss, accuracy=(logits.argmax(-1) == labels).float().mean())
    return watch
