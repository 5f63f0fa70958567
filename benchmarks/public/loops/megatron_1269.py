"""Language model: the dataset caches the loss mask and then writes each sample's padding into the cached one.

Source: github.com/NVIDIA/Megatron-LM issue 1269; a clone of the mask is the correction, also in issue 1298.
Zeros pile up, until only the positions that no sample pads are left in the loss. Everything after them is never learned.
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
    cause="loss_mask_modified",
    symptoms=("wiring", "off_data", "mode_dropping", "overfitting"),
    spoils="samples",
    source="NVIDIA/Megatron-LM#1269",
    also=("padding_in_loss", "loss_mask_wrong"),
)


class GPTDataset:
    """Tokens, labels and masks of names."""

    def __init__(self, document: Tensor, fixed: bool) -> None:
        self.document, self.fixed, self.cached_loss_mask = document, fixed, None

    def __getitem__(self, i: int) -> tuple[Tensor, Tensor, Tensor]:
        labels = self.document[i]
        tokens = torch.cat([torch.ones(1, dtype=torch.long), labels[:-1]])
        if self.cached_loss_mask is None:
            self.cached_loss_mask = torch.ones(len(labels))
        loss_mask = self.cached_loss_mask.clone() if self.fixed else self.cached_loss_mask
        loss_mask[labels == 0] = 0.0
        return tokens, labels, loss_mask.clone()


class GPT(nn.Module):
    """Recurrent stand-in for a transformer."""

    def __init__(self, vocab: int) -> None:
        super().__init__()
        self.embedding, self.rnn, self.head = (
            nn.Embedding(vocab, 32),
            nn.GRU(32, 96, batch_first=True),
            nn.Linear(96, vocab),
        )

    def forward(self, tokens: Tensor) -> Tensor:
        """Return scores."""
        return self.head(self.rnn(self.embedding(tokens))[0])


def loop(fixed: bool) -> Watch:
    """Train; ``fixed`` is the repaired twin."""
    torch.manual_seed(1269)
    ids, letters = names()
    dataset, model = GPTDataset(ids, fixed), GPT(len(letters))
    optimizer = torch.optim.Adam(model.parameters(), 3e-3)

    @torch.no_grad()
    def sample(n: int) -> Tensor:
        tokens = torch.ones(n, 1, dtype=torch.long)
        for _ in range(ids.shape[1]):
            tokens = torch.cat([tokens, torch.multinomial(model(tokens)[:, -1].softmax(-1), 1)], 1)
        out = tokens[:, 1:]
        end = out == 1
        return out.masked_fill(end.cumsum(1) - end.long() > 0, 0)

    watch = trainwright.watch(total=500, sample=sample, real=ids)
    for step, index in zip(range(500), batches(torch.arange(len(ids)), 32), strict=False):
        tokens, labels, loss_mask = (torch.stack(part) for part in zip(*(dataset[int(i)] for i in index), strict=True))
        losses = F.cross_entropy(model(tokens).transpose(1, 2), labels, reduction="none")
        lm_loss = (losses * loss_mask).sum() / loss_mask.sum().clamp(min=1)
        optimizer.zero_grad()
        lm_loss.backward()
        optimizer.step()
        watch(step, lm_loss=lm_loss)
    return watch
