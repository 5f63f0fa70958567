"""Recurrent network that makes names: every step of its loop gets the initial state.

Source: github.com/karpathy/makemore pull request 3, merged.
The state that a step returns goes to the output only; the next step begins with the learned start again. The network
knows no more than the last letter, is as good as a table of pairs of letters, and its names are not words.
"""

import torch
import torch.nn as nn
from torch import Tensor
from torch.nn import functional as F

import trainwright
from benchmarks.public.case import Case
from benchmarks.public.materials import batches, names
from trainwright.diagnosis.watch import Watch

CASE = Case(
    kind="autoregressive",
    cause="hidden_state_not_carried",
    symptoms=("wiring", "off_data", "plateau", "over_dispersion", "trivial_baseline"),
    spoils="samples",
    source="karpathy/makemore#3",
    also=("hidden_state_lost", "input_repeated", "network_too_small"),
    seconds=18,
)
block_size, n_embd, n_embd2, max_steps = 18, 32, 128, 800


class RNNCell(nn.Module):
    """Letter and state -> state."""

    def __init__(self) -> None:
        super().__init__()
        self.xh_to_h = nn.Linear(n_embd + n_embd2, n_embd2)

    def forward(self, xt: Tensor, hprev: Tensor) -> Tensor:
        """Return the next state."""
        return torch.tanh(self.xh_to_h(torch.cat([xt, hprev], dim=1)))


class RNN(nn.Module):
    """Letters -> scores of the next letters."""

    def __init__(self, vocab_size: int, fixed: bool) -> None:
        super().__init__()
        self.fixed = fixed
        self.start = nn.Parameter(torch.zeros(1, n_embd2))
        self.wte = nn.Embedding(vocab_size, n_embd)
        self.cell, self.lm_head = RNNCell(), nn.Linear(n_embd2, vocab_size)

    def forward(self, idx: Tensor, targets: Tensor | None = None) -> tuple[Tensor, Tensor | None]:
        """Return scores and the loss; targets of -1 are left out."""
        b, t = idx.size()
        emb = self.wte(idx)
        hprev = self.start.expand((b, -1))
        hiddens = []
        for i in range(t):
            ht = self.cell(emb[:, i, :], hprev)
            if self.fixed:
                hprev = ht
            hiddens.append(ht)
        logits = self.lm_head(torch.stack(hiddens, 1))
        if targets is None:
            return logits, None
        return logits, F.cross_entropy(logits.flatten(0, 1), targets.flatten(), ignore_index=-1)

    @torch.no_grad()
    def generate(self, n: int) -> Tensor:
        """Draw n names as rows of letters: 0 is the padding, 1 the end."""
        idx = torch.zeros(n, 1, dtype=torch.long)
        for _ in range(block_size):
            probs = F.softmax(self(idx)[0][:, -1, :], dim=-1)
            idx = torch.cat((idx, torch.multinomial(probs, num_samples=1)), dim=1)
        idx = idx[:, 1:]
        end = (idx == 1).long()
        return idx.masked_fill(end.cumsum(1) - end > 0, 0)


def loop(fixed: bool) -> Watch:
    """Train; ``fixed`` is the repaired twin."""
    torch.manual_seed(3)
    words, letters = names(block_size)
    train_words, test_words = words[:-200], words[-200:]

    def create_datasets(rows: Tensor) -> tuple[Tensor, Tensor]:
        """Return inputs that begin with 0, and targets."""
        x = torch.cat([torch.zeros(len(rows), 1, dtype=torch.long), rows[:, :-1]], 1)
        return x, rows.masked_fill(rows == 0, -1)

    model = RNN(len(letters), fixed)
    optimizer = torch.optim.AdamW(model.parameters(), lr=2e-3, weight_decay=0.01, betas=(0.9, 0.99), eps=1e-8)
    batch_loader = batches(train_words, 32)
    watch = trainwright.watch(total=max_steps, sample=model.generate, real=words)
    for step in range(max_steps):
        X, Y = create_datasets(next(batch_loader))
        _, loss = model(X, Y)
        model.zero_grad(set_to_none=True)
        loss.backward()
        optimizer.step()
        if step % 100 == 99:
            with torch.no_grad():
                test_loss = model(*create_datasets(test_words))[1]
            watch(step, train_loss=loss.item(), test_loss=test_loss.item())
        else:
            watch(step, train_loss=loss.item())
    return watch
