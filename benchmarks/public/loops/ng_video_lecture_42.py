"""Small language model of characters: the softmax of its attention runs over the queries.

Source: github.com/karpathy/ng-video-lecture issue 42; with ``dim=-1`` again, text and loss are right.
The weight of an earlier character is divided by the scores that later places give it. Later characters leak into the
prediction, the loss gets lower than it should be, and while text is generated there are no later places.
"""

import torch
import torch.nn as nn
from torch import Tensor
from torch.nn import functional as F

import trainwright
from benchmarks.public.case import Case
from benchmarks.public.materials import names
from trainwright.diagnosis.watch import Watch

CASE = Case(
    kind="autoregressive",
    cause="targets_in_input",
    symptoms=("wiring", "off_data", "mode_collapse", "mode_dropping", "over_dispersion", "overfitting"),
    spoils="samples",
    source="karpathy/ng-video-lecture#42",
    also=("batch_time_swapped", "data_layout"),
    seconds=22,
)
batch_size, block_size, max_iters, n_embd, n_head, n_layer = 32, 32, 500, 64, 4, 2


class Head(nn.Module):
    """One head of self-attention."""

    def __init__(self, head_size: int, axis: int) -> None:
        super().__init__()
        self.axis = axis
        self.key, self.query, self.value = (nn.Linear(n_embd, head_size, bias=False) for _ in range(3))
        self.register_buffer("tril", torch.tril(torch.ones(block_size, block_size)))

    def forward(self, x: Tensor) -> Tensor:
        """Return weighted values."""
        t = x.shape[1]
        k, q = self.key(x), self.query(x)
        wei = q @ k.transpose(-2, -1) * k.shape[-1] ** -0.5
        wei = wei.masked_fill(self.tril[:t, :t] == 0, float("-inf"))
        wei = F.softmax(wei, dim=self.axis)
        return wei @ self.value(x)


class Block(nn.Module):
    """Attention and a perceptron."""

    def __init__(self, axis: int) -> None:
        super().__init__()
        self.heads = nn.ModuleList([Head(n_embd // n_head, axis) for _ in range(n_head)])
        self.proj = nn.Linear(n_embd, n_embd)
        self.ffwd = nn.Sequential(nn.Linear(n_embd, 4 * n_embd), nn.ReLU(), nn.Linear(4 * n_embd, n_embd))
        self.ln1, self.ln2 = nn.LayerNorm(n_embd), nn.LayerNorm(n_embd)

    def forward(self, x: Tensor) -> Tensor:
        """Return x and what is added."""
        y = self.ln1(x)
        x = x + self.proj(torch.cat([h(y) for h in self.heads], dim=-1))
        return x + self.ffwd(self.ln2(x))


class GPTLanguageModel(nn.Module):
    """Decoder on characters."""

    def __init__(self, vocab_size: int, axis: int) -> None:
        super().__init__()
        self.token_embedding_table = nn.Embedding(vocab_size, n_embd)
        self.position_embedding_table = nn.Embedding(block_size, n_embd)
        self.blocks = nn.Sequential(*[Block(axis) for _ in range(n_layer)])
        self.ln_f, self.lm_head = nn.LayerNorm(n_embd), nn.Linear(n_embd, vocab_size)

    def forward(self, idx: Tensor, targets: Tensor | None = None) -> tuple[Tensor, Tensor | None]:
        """Return scores and the loss."""
        x = self.token_embedding_table(idx) + self.position_embedding_table(torch.arange(idx.shape[1]))
        logits = self.lm_head(self.ln_f(self.blocks(x)))
        return logits, None if targets is None else F.cross_entropy(logits.transpose(1, 2), targets)

    @torch.no_grad()
    def generate(self, idx: Tensor, max_new_tokens: int) -> Tensor:
        """Draw more characters."""
        for _ in range(max_new_tokens):
            logits, _ = self(idx[:, -block_size:])
            idx = torch.cat((idx, torch.multinomial(F.softmax(logits[:, -1], dim=-1), num_samples=1)), dim=1)
        return idx


def loop(fixed: bool) -> Watch:
    """Train; ``fixed`` is the repaired twin."""
    torch.manual_seed(1337)
    ids, letters = names(20)
    text = "\n".join("".join(letters[i] for i in row.tolist() if i > 1) for row in ids)
    stoi = {c: i for i, c in enumerate(sorted(set(text)))}
    data = torch.tensor([stoi[c] for c in text])
    train_data, val_data = data[: int(0.9 * len(data))], data[int(0.9 * len(data)) :]

    def get_batch(source: Tensor, size: int) -> tuple[Tensor, Tensor]:
        """Return inputs and targets."""
        ix = torch.randint(len(source) - block_size, (size,))
        return (torch.stack([source[i + s : i + s + block_size] for i in ix.tolist()]) for s in (0, 1))

    model = GPTLanguageModel(len(stoi), axis=-1 if fixed else -2)
    optimizer = torch.optim.AdamW(model.parameters(), lr=2e-3)
    starts = [i + 1 for i, c in enumerate(text[: -block_size - 1]) if c == "\n"]
    pieces = torch.stack([data[i : i + block_size] for i in starts])
    newline = stoi["\n"]
    watch = trainwright.watch(
        total=max_iters, real=pieces,
        sample=lambda n: model.generate(torch.full((n, 1), newline), block_size)[:, 1:],
    )  # fmt: skip
    for step in range(max_iters):
        _, loss = model(*get_batch(train_data, batch_size))
        optimizer.zero_grad(set_to_none=True)
        loss.backward()
        optimizer.step()
        if step % 50 == 49:
            with torch.no_grad():
                val_loss = model(*get_batch(val_data, 64))[1]
            watch(step, train_loss=loss.item(), val_loss=val_loss.item())
        else:
            watch(step, train_loss=loss.item())
    return watch
