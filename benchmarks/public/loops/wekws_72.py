"""Recurrent classifier: gradients are clipped and applied, and never set to zero.

Source: github.com/wenet-e2e/wekws issue 72, corrected in pull request 73.
Every step follows the sum of all gradients so far.
"""

import csv

import torch
import torch.nn.functional as F
from torch import Tensor, nn
from torch.nn.utils import clip_grad_norm_

import trainwright
from benchmarks.public.case import Case
from benchmarks.public.materials import BUILTIN, batches
from trainwright.diagnosis.watch import Watch

CASE = Case(
    kind="supervised",
    cause="gradients_not_cleared",
    symptoms=("wiring", "plateau", "oscillation", "exploding", "spike", "trivial_baseline", "slow"),
    spoils="training",
    source="wenet-e2e/wekws#72",
    also=("gradients_of_other_loss",),
)


def texts(length: int = 16) -> tuple[Tensor, Tensor, int]:
    """Return names of emoji (0) and sprites (1), padded on the left with 0, their labels, and the number of letters."""
    rows = []
    for label, sheet in enumerate(("emoji", "sprites")):
        found = {r["name"].rsplit("/", 1)[-1].lower() for r in csv.DictReader((BUILTIN / f"{sheet}_sheet.csv").open())}
        rows += [(n, label) for n in sorted(found) if 3 <= len(n) <= length]
    letters = sorted({c for n, _ in rows for c in n})
    ids = torch.tensor([[0] * (length - len(n)) + [letters.index(c) + 1 for c in n] for n, _ in rows])
    return ids, torch.tensor([label for _, label in rows]), len(letters) + 1


class KWSModel(nn.Module):
    """Embedding, GRU, and a layer on the last output."""

    def __init__(self, letters: int) -> None:
        super().__init__()
        self.preprocessing, self.backbone = nn.Embedding(letters, 32), nn.GRU(32, 64, batch_first=True)
        self.classifier = nn.Linear(64, 2)

    def forward(self, feats: Tensor) -> Tensor:
        """Return the outputs."""
        return self.classifier(self.backbone(self.preprocessing(feats))[0][:, -1])


def loop(fixed: bool) -> Watch:
    """Train; ``fixed`` is the repaired twin."""
    torch.manual_seed(72)
    feats, target, letters = texts()
    model = KWSModel(letters)
    optimizer = torch.optim.Adam(model.parameters(), 6e-3)
    watch = trainwright.watch(total=450)
    for step, index in zip(range(450), batches(torch.arange(len(feats)), 64), strict=False):
        logits = model(feats[index])
        loss = F.cross_entropy(logits, target[index])
        if fixed:
            optimizer.zero_grad()
        loss.backward()
        clip_grad_norm_(model.parameters(), 5.0)
        optimizer.step()
        watch(step, loss=loss, acc=(logits.argmax(1) == target[index]).float().mean())
    return watch
