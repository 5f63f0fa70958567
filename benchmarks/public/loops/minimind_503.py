"""Fine-tuning of a small language model on a file of several sources: the loader does not shuffle it.

Source: github.com/jingyaogong/minimind pull request 503, merged.
The file has one source after another, and batches are taken in its order. The loss jumps wherever the
source changes, and the model has forgotten the first sources when it has read the last one.
"""

import math
import random

import torch
from torch import Tensor, nn
from torch.utils.data import DataLoader, Dataset

import trainwright
from benchmarks.public.case import Case
from benchmarks.public.materials import levels, names
from trainwright.diagnosis.watch import Watch

CASE = Case(
    kind="autoregressive",
    cause="data_not_shuffled",
    symptoms=("wiring", "spike", "oscillation", "mode_dropping", "mode_collapse", "off_data", "exploding"),
    spoils="samples",
    source="jingyaogong/minimind#503",
    seconds=18,
)
MAX_SEQ_LEN, BATCH_SIZE, EPOCHS, LEARNING_RATE = 16, 32, 3, 2e-3


def load_lines() -> list[str]:
    """Return the lines of the data file: words, sums, rows of levels, clock times."""
    rng = random.Random(0)
    ids, letters = names(MAX_SEQ_LEN)
    words = ["".join(letters[i] for i in row.tolist() if i > 1) for row in ids]
    rows, alphabet = levels(12)
    walls = ["".join(alphabet[i] for i in row.tolist()) for row in rows[:4000]]
    sums = [f"{a}+{b}={a + b}" for a, b in ((rng.randint(0, 99), rng.randint(0, 99)) for _ in range(4000))]
    times = [
        f"{h}:{m:02d} {'am' if h < 12 else 'pm'}"
        for h, m in ((rng.randint(0, 23), rng.randint(0, 59)) for _ in range(4000))
    ]
    return [rng.choice(words) for _ in range(4000)] + sums + walls + times


class SFTDataset(Dataset):
    """Lines as ids: 1 begins a line, 2 ends it, 0 is the padding."""

    def __init__(self, lines: list[str]) -> None:
        self.chars = sorted(set("".join(lines)))
        index = {c: i + 3 for i, c in enumerate(self.chars)}
        self.samples = [[1, *(index[c] for c in line), 2] for line in lines]

    def __len__(self) -> int:
        """Return the number of lines."""
        return len(self.samples)

    def __getitem__(self, i: int) -> tuple[Tensor, Tensor, Tensor]:
        """Return input, target and mask of the loss."""
        ids = self.samples[i][: MAX_SEQ_LEN + 1]
        ids = torch.tensor(ids + [0] * (MAX_SEQ_LEN + 1 - len(ids)))
        return ids[:-1], ids[1:], (ids[1:] != 0).float()


class MiniMindLM(nn.Module):
    """Decoder of two layers."""

    def __init__(self, vocab_size: int, dim: int = 64) -> None:
        super().__init__()
        self.tok_embeddings, self.pos = nn.Embedding(vocab_size, dim), nn.Embedding(MAX_SEQ_LEN, dim)
        layer = nn.TransformerEncoderLayer(dim, 4, 2 * dim, dropout=0.0, batch_first=True, norm_first=True)
        self.layers, self.norm = nn.TransformerEncoder(layer, 2, enable_nested_tensor=False), nn.LayerNorm(dim)
        self.output = nn.Linear(dim, vocab_size)

    def forward(self, tokens: Tensor) -> Tensor:
        """Return scores."""
        t = tokens.shape[1]
        mask = torch.full((t, t), float("-inf")).triu(1)
        h = self.tok_embeddings(tokens) + self.pos(torch.arange(t))
        return self.output(self.norm(self.layers(h, mask=mask)))

    @torch.no_grad()
    def generate(self, n: int) -> Tensor:
        """Draw n lines."""
        self.eval()
        x = torch.ones(n, 1, dtype=torch.long)
        for _ in range(MAX_SEQ_LEN):
            p = self(x)[:, -1].softmax(-1)
            x = torch.cat([x, torch.multinomial(p, 1)], 1)
        self.train()
        x = x[:, 1:]
        end = (x == 2).long()
        return x.masked_fill(end.cumsum(1) - end > 0, 0)


def get_lr(current_step: int, total_steps: int, lr: float) -> float:
    """Return the learning rate of a step."""
    return lr / 10 + 0.5 * lr * (1 + math.cos(math.pi * current_step / total_steps))


def loop(fixed: bool) -> Watch:
    """Train; ``fixed`` is the repaired twin."""
    torch.manual_seed(1337)
    train_ds = SFTDataset(load_lines())
    train_loader = DataLoader(train_ds, batch_size=BATCH_SIZE, drop_last=False, shuffle=fixed)
    model = MiniMindLM(len(train_ds.chars) + 3)
    optimizer = torch.optim.AdamW(model.parameters(), lr=LEARNING_RATE)
    loss_fct = nn.CrossEntropyLoss(reduction="none")
    iter_per_epoch = len(train_loader)

    texts = torch.stack([train_ds[i][1] for i in range(0, len(train_ds), 4)])
    watch = trainwright.watch(total=EPOCHS * iter_per_epoch, sample=model.generate, real=texts)
    for epoch in range(EPOCHS):
        for step, (x, y, loss_mask) in enumerate(train_loader):
            current = epoch * iter_per_epoch + step
            for param_group in optimizer.param_groups:
                param_group["lr"] = get_lr(current, EPOCHS * iter_per_epoch, LEARNING_RATE)
            loss = loss_fct(model(x).view(-1, len(train_ds.chars) + 3), y.view(-1)).view(y.size())
            loss = (loss * loss_mask).sum() / loss_mask.sum()
            loss.backward()
            torch.nn.utils.clip_grad_norm_(model.parameters(), 1.0)
            optimizer.step()
            optimizer.zero_grad(set_to_none=True)
            watch(current, loss=loss.item())
    return watch
