"""Recommender of the next click: the hidden states of new sessions are reset one step too late.

Source: github.com/paxcema/KerasGRU4Rec issue 1; the author agreed.
Sessions run side by side in the lanes of a batch. Where one ends and another begins, the state has to be set to
zero before the first click goes in. It is set to zero after it: the first click meets the state of a stranger, and is
forgotten at once.
"""

import numpy as np
import torch
import torch.nn.functional as F
from torch import Tensor, nn

import trainwright
from benchmarks.public.case import Case
from trainwright.diagnosis.watch import Watch

CASE = Case(
    kind="prediction",
    cause="hidden_state_reset_late",
    symptoms=("wiring", "plateau", "trivial_baseline", "mean_regression"),
    spoils="training",
    source="paxcema/KerasGRU4Rec#1",
    also=("hidden_state_carried", "batch_time_swapped", "labels_mismatched"),
    seconds=10,
)
N_TOPICS, N_PAGES, BATCH_SIZE, EPOCHS = 24, 16, 50, 2


def load_sessions(n: int, seed: int) -> list[list[int]]:
    """Return sessions: a topic is clicked first, and decides on how its few pages follow each other."""
    rng, ways = np.random.default_rng(seed), np.random.default_rng(0)
    following = np.stack([ways.permutation(N_PAGES) for _ in range(N_TOPICS)])
    sessions = []
    for _ in range(n):
        topic = int(rng.integers(N_TOPICS))
        clicks, page = [topic], int(following[topic, topic % N_PAGES])
        for _ in range(int(rng.integers(2, 5))):
            clicks.append(N_TOPICS + page)
            page = int(following[topic, page] if rng.random() < 0.95 else rng.integers(N_PAGES))
        sessions.append(clicks)
    return sessions


class SessionDataLoader:
    """Batches of clicks and next clicks from sessions in parallel lanes."""

    def __init__(self, sessions: list[list[int]], batch_size: int) -> None:
        self.sessions, self.batch_size = sessions, batch_size
        self.done_sessions = list(range(batch_size))

    def __iter__(self):  # type: ignore[no-untyped-def]
        """Yield clicks, targets, and the lanes in which a session has just begun."""
        lanes, place, maxiter = list(range(self.batch_size)), [0] * self.batch_size, self.batch_size
        mask = list(range(self.batch_size))
        while True:
            feat = torch.tensor([self.sessions[s][p] for s, p in zip(lanes, place, strict=True)])
            target = torch.tensor([self.sessions[s][p + 1] for s, p in zip(lanes, place, strict=True)])
            yield feat, target, mask
            mask = []
            for lane in range(self.batch_size):
                place[lane] += 1
                if place[lane] + 1 >= len(self.sessions[lanes[lane]]):
                    if maxiter >= len(self.sessions):
                        return
                    lanes[lane], place[lane], maxiter = maxiter, 0, maxiter + 1
                    mask.append(lane)


class GRU4Rec(nn.Module):
    """One recurrent layer on one-hot clicks, and scores of all items."""

    def __init__(self, n_items: int, hidden: int) -> None:
        super().__init__()
        self.n_items, self.hidden = n_items, hidden
        self.gru, self.dense = nn.GRUCell(n_items, hidden), nn.Linear(hidden, n_items)

    def forward(self, feat: Tensor, state: Tensor) -> tuple[Tensor, Tensor]:
        """Return scores and the next state."""
        state = self.gru(F.one_hot(feat, self.n_items).float(), state)
        return self.dense(state), state


def run(model: GRU4Rec, loader: SessionDataLoader, fixed: bool):  # type: ignore[no-untyped-def]
    """Yield the loss of every batch, with the state of its sessions."""
    state = torch.zeros(loader.batch_size, model.hidden)
    for feat, target, mask in loader:
        if fixed and mask:
            state[mask] = 0
        scores, state = model(feat, state)
        yield F.cross_entropy(scores, target)
        state = state.detach().clone()
        if mask and not fixed:
            state[mask] = 0


def loop(fixed: bool) -> Watch:
    """Train; ``fixed`` is the repaired twin."""
    torch.manual_seed(1)
    train, test = load_sessions(30000, 1), load_sessions(1500, 2)
    model = GRU4Rec(N_TOPICS + N_PAGES, 96)
    opt = torch.optim.Adam(model.parameters(), lr=3e-3)
    total = EPOCHS * sum(1 for _ in SessionDataLoader(train, BATCH_SIZE))
    watch, step = trainwright.watch(total=total), 0
    for _ in range(EPOCHS):
        for loss in run(model, SessionDataLoader(train, BATCH_SIZE), fixed):
            opt.zero_grad()
            loss.backward()
            opt.step()
            if step % 200 == 199:
                with torch.no_grad():
                    test_loss = torch.stack(list(run(model, SessionDataLoader(test, BATCH_SIZE), fixed))).mean()
                watch(step, loss=loss.item(), test_loss=test_loss.item())
            else:
                watch(step, loss=loss.item())
            step += 1
    return watch
