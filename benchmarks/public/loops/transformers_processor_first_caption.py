"""Images from captions: the processor returns the ids of the first caption of a batch only.

Source: github.com/huggingface/transformers issue 34204.
It is one of the silent errors of TrainCheck (OSDI'25), OrderLab/TrainCheck-Evaluation-Workloads.
Ids of shape (1, L) give one image, which is broadcast against all images of the batch. The model learns the mean image.
"""

import csv

import torch
from torch import Tensor, nn

import trainwright
from benchmarks.public.case import Case
from benchmarks.public.materials import BUILTIN, batches, images, mlp
from trainwright.diagnosis.watch import Watch

CASE = Case(
    kind="supervised",
    cause="loss_shapes_broadcast",
    symptoms=(
        "wiring",
        "mean_regression",
        "mode_collapse",
        "blur",
        "off_data",
        "plateau",
        "trivial_baseline",
        "variance_collapse",
    ),
    spoils="samples",
    source="huggingface/transformers#34204",
    also=("labels_mismatched", "conditioning_ignored"),
)


def captions() -> list[str]:
    """Return the sprites' names in the order of ``images``."""
    rows = list(csv.DictReader((BUILTIN / "sprites_sheet.csv").open()))
    order = torch.randperm(len(rows), generator=torch.Generator().manual_seed(1))
    return [rows[i]["name"].lower() for i in order]


class Processor:
    """Makes ids of the last 24 letters of each text."""

    def __init__(self, letters: str, batched: bool) -> None:
        self.letters, self.batched = letters, batched

    def __call__(self, texts: list[str]) -> Tensor:
        """Return the ids (n, 24)."""
        ids = torch.tensor([[self.letters.index(c) for c in t[-24:].rjust(24)] for t in texts])
        return ids if self.batched else ids[:1]


def loop(fixed: bool) -> Watch:
    """Train; ``fixed`` is the repaired twin."""
    torch.manual_seed(34)
    x, texts = images("sprites"), captions()
    letters = "".join(sorted({" ", *"".join(texts)}))
    processor = Processor(letters, batched=fixed)
    model = nn.Sequential(
        nn.Embedding(len(letters), 16),
        nn.Flatten(),
        mlp(384, 256, 256, 768, last=nn.Tanh()),
        nn.Unflatten(1, (3, 16, 16)),
    )
    optimizer = torch.optim.Adam(model.parameters(), 1e-3)

    @torch.no_grad()
    def sample(n: int) -> Tensor:
        return torch.cat([model(processor([texts[i]])) for i in torch.randperm(len(texts))[:n]])

    watch = trainwright.watch(total=1200, sample=sample, real=x)
    for step, chosen in zip(range(1200), batches(torch.arange(len(x)), 50), strict=False):
        pixel_values, input_ids = x[chosen], processor([texts[i] for i in chosen])
        loss = (model(input_ids) - pixel_values).square().mean()
        optimizer.zero_grad()
        loss.backward()
        optimizer.step()
        watch(step, loss=loss)
    return watch
