"""Transformer language model: no causal mask, so every position sees the letters that it has to predict.

Source: github.com/alex-matton/causal-transformer-decoder issue 1; the owner then added the mask for training.
The loss falls towards zero because the network copies the next letter from its input. Generation has no next letter to copy.
"""

import torch
import torch.nn.functional as F
from torch import Tensor, nn

import trainwright
from benchmarks.public.case import Case
from benchmarks.public.materials import batches, names
from trainwright.diagnosis.watch import Watch

CASE = Case(
    kind="autoregressive",
    cause="targets_in_input",
    symptoms=("wiring", "off_data", "vanishing_losses", "state_leak"),
    spoils="samples",
    source="alex-matton/causal-transformer-decoder#1",
    also=("exposure_bias",),
)


class Decoder(nn.Module):
    """Two layers of self-attention over letters."""

    def __init__(self, vocab: int, length: int, causal: bool) -> None:
        super().__init__()
        self.causal = causal
        self.embed, self.position = nn.Embedding(vocab, 64), nn.Embedding(length, 64)
        layer = nn.TransformerEncoderLayer(64, 4, 128, dropout=0.0, batch_first=True)
        self.layers, self.out = nn.TransformerEncoder(layer, 2, enable_nested_tensor=False), nn.Linear(64, vocab)

    def forward(self, x: Tensor) -> Tensor:
        """Return the outputs."""
        h = self.embed(x) + self.position(torch.arange(x.shape[1]))
        mask = nn.Transformer.generate_square_subsequent_mask(x.shape[1]) if self.causal else None
        return self.out(self.layers(h, mask=mask))


def loop(fixed: bool) -> Watch:
    """Train; ``fixed`` is the repaired twin."""
    torch.manual_seed(0)
    data, letters = names()
    vocab, length = len(letters) + 1, data.shape[1]
    model = Decoder(vocab, length, causal=fixed)
    optimizer = torch.optim.Adam(model.parameters(), 2e-3)

    def generate(n: int) -> Tensor:
        x = torch.full((n, 1), vocab - 1)
        for _ in range(length):
            logits = model(x)[:, -1]
            x = torch.cat([x, torch.multinomial(logits.softmax(-1), 1)], 1)
        x, end = x[:, 1:], x[:, 1:] == 1
        return x.masked_fill(end.cumsum(1) - end.long() > 0, 0)

    watch = trainwright.watch(total=550, sample=generate, real=data)
    for step, target in zip(range(550), batches(data, 32), strict=False):
        start = torch.full((len(target), 1), vocab - 1)
        output = model(torch.cat([start, target[:, :-1]], 1))
        loss = F.cross_entropy(output.transpose(1, 2), target, ignore_index=0)
        optimizer.zero_grad()
        loss.backward()
        optimizer.step()
        watch(step, loss=loss)
    return watch
