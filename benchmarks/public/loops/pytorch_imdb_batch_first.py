"""GRU classifier of text: the batch is read as time, because ``batch_first`` is missing.

Source: github.com/pytorch/pytorch issue 2674.
The data has the shape (batch, time, features) and the GRU expects (time, batch, features). Only the last letters decide, and the
state runs from one text to the next.
"""

import csv

import torch
import torch.nn.functional as F
from torch import Tensor, nn

import trainwright
from benchmarks.public.case import Case
from benchmarks.public.materials import BUILTIN, batches
from trainwright.diagnosis.watch import Watch

CASE = Case(
    kind="supervised",
    cause="batch_time_swapped",
    symptoms=("wiring", "plateau", "state_leak", "trivial_baseline"),
    spoils="training",
    source="pytorch/pytorch#2674",
    also=("data_layout",),
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


class SymbolModule(nn.Module):
    """Embedding, GRU, and a layer on the last output."""

    def __init__(self, letters: int, batch_first: bool) -> None:
        super().__init__()
        self.embedding = nn.Embedding(letters, 32)
        self.gru = nn.GRU(32, 64, batch_first=batch_first)
        self.l_out = nn.Linear(64, 2)

    def forward(self, x: Tensor) -> Tensor:
        """Return the outputs."""
        x, _ = self.gru(self.embedding(x))
        return self.l_out(x[:, -1])


def loop(fixed: bool) -> Watch:
    """Train; ``fixed`` is the repaired twin."""
    torch.manual_seed(4)
    x_train, y_train, letters = texts()
    sym = SymbolModule(letters, batch_first=fixed)
    optimizer = torch.optim.Adam(sym.parameters(), 2e-3)
    watch = trainwright.watch(total=350)
    for step, index in zip(range(350), batches(torch.arange(len(x_train)), 64), strict=False):
        data, target = x_train[index], y_train[index]
        optimizer.zero_grad()
        output = sym(data)
        loss = F.cross_entropy(output, target)
        loss.backward()
        optimizer.step()
        watch(step, loss=loss, accuracy=(output.argmax(1) == target).float().mean())
    return watch
