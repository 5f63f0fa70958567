"""Fine-tuning with LoRA and gradient checkpoints: the adapters get no gradients.

Source: github.com/cloneofsimo/lora issue 26; the owner agreed that checkpoints do not work there.
The frozen embedding's output requires no gradient, so a reentrant checkpoint records none. Only the head is trained.
"""

import csv
import warnings

import torch
import torch.nn.functional as F
from torch import Tensor, nn
from torch.utils.checkpoint import checkpoint

import trainwright
from benchmarks.public.case import Case
from benchmarks.public.materials import BUILTIN, batches
from trainwright.diagnosis.watch import Watch

CASE = Case(
    kind="supervised",
    cause="not_trained",
    symptoms=("wiring", "frozen_network", "plateau", "slow"),
    spoils="nothing visible",
    source="cloneofsimo/lora#26",
    also=("parameters_not_optimized",),
)


def texts(length: int = 16) -> tuple[Tensor, Tensor, int]:
    """Return names of emoji (0) and sprites (1), padded with 0, their labels, and the number of tokens."""
    rows = []
    for label, sheet in enumerate(("emoji", "sprites")):
        found = {r["name"].rsplit("/", 1)[-1].lower() for r in csv.DictReader((BUILTIN / f"{sheet}_sheet.csv").open())}
        rows += [(n, label) for n in sorted(found) if 3 <= len(n) <= length]
    letters = sorted({c for n, _ in rows for c in n})
    ids = torch.tensor([[letters.index(c) + 2 for c in n] + [0] * (length - len(n)) for n, _ in rows])
    return ids, torch.tensor([label for _, label in rows]), len(letters) + 2


class LoraLinear(nn.Linear):
    """Linear layer with an adapter of rank 4."""

    def __init__(self, a: int, b: int) -> None:
        super().__init__(a, b)
        self.lora_down, self.lora_up = nn.Parameter(torch.randn(4, a) / a**0.5), nn.Parameter(torch.zeros(b, 4))

    def forward(self, input: Tensor) -> Tensor:
        """Return the outputs."""
        return super().forward(input) + F.linear(F.linear(input, self.lora_down), self.lora_up)


class Block(nn.Module):
    """Attention and perceptron."""

    def __init__(self, width: int) -> None:
        super().__init__()
        self.qkv, self.out = LoraLinear(width, 3 * width), LoraLinear(width, width)
        self.up, self.down = LoraLinear(width, 2 * width), LoraLinear(2 * width, width)

    def forward(self, h: Tensor) -> Tensor:
        """Return the outputs."""
        q, k, v = self.qkv(F.layer_norm(h, h.shape[-1:])).chunk(3, -1)
        h = h + self.out(F.scaled_dot_product_attention(q, k, v))
        return h + self.down(F.gelu(self.up(F.layer_norm(h, h.shape[-1:]))))


class TextEncoder(nn.Module):
    """Embedding and two blocks."""

    def __init__(self, vocab: int, width: int = 48) -> None:
        super().__init__()
        self.embed, self.position = nn.Embedding(vocab, width), nn.Parameter(0.1 * torch.randn(16, width))
        self.blocks = nn.ModuleList(Block(width) for _ in range(2))
        self.gradient_checkpointing, self.use_reentrant = False, True

    def forward(self, x: Tensor) -> Tensor:
        """Return the hidden states."""
        h = self.embed(x) + self.position
        for block in self.blocks:
            h = checkpoint(block, h, use_reentrant=self.use_reentrant) if self.gradient_checkpointing else block(h)
        return h


def loop(fixed: bool) -> Watch:
    """Train; ``fixed`` is the repaired twin."""
    warnings.filterwarnings("ignore", message="None of the inputs have requires_grad")
    torch.manual_seed(26)
    ids, labels, vocab = texts()
    text_encoder, unmask, head = TextEncoder(vocab), nn.Linear(48, vocab), nn.Linear(48, 2)
    optimizer = torch.optim.AdamW([*text_encoder.parameters(), *unmask.parameters()], 2e-3)
    for _, x in zip(range(150), batches(ids, 32), strict=False):  # stands for the public checkpoint
        hidden = (torch.rand(x.shape) < 0.2) & (x > 1)
        scores = unmask(text_encoder(x.masked_fill(hidden, 1)))
        F.cross_entropy(scores[hidden], x[hidden]).backward()
        optimizer.step()
        optimizer.zero_grad()
    for name, p in text_encoder.named_parameters():
        p.requires_grad_("lora" in name)
    text_encoder.gradient_checkpointing, text_encoder.use_reentrant = True, not fixed
    trained = [*(p for p in text_encoder.parameters() if p.requires_grad), *head.parameters()]
    optimizer = torch.optim.AdamW(trained, 3e-3)
    watch = trainwright.watch(total=500)
    for step, index in zip(range(500), batches(torch.arange(len(ids)), 32), strict=False):
        output = head(text_encoder(ids[index]).mean(1))
        loss = F.cross_entropy(output, labels[index])
        loss.backward()
        optimizer.step()
        optimizer.zero_grad()
        watch(step, loss=loss, accuracy=(output.argmax(1) == labels[index]).float().mean())
    return watch
