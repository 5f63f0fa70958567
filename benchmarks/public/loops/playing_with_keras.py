"""Keras LSTM on text: the output repeats the same words over and over.

Source: github.com/AlexGascon/playing-with-keras (notebook, "Solving the repetition bug").
After every window the most probable character is taken. Soon the window is one that has been seen before, and the text
goes round in a circle. With characters drawn by their probabilities the same network writes well.
"""

import torch
from torch import Tensor, nn, optim

import trainwright
from benchmarks.public.case import Case
from benchmarks.public.materials import batches, names
from trainwright.diagnosis.watch import Watch

CASE = Case(
    kind="autoregressive",
    cause="sampling_without_noise",
    symptoms=("mode_collapse", "mode_dropping", "variance_collapse", "off_data", "wiring"),
    spoils="samples",
    source="AlexGascon/playing-with-keras",
    also=("sampling_filter_wrong", "temperature"),
    seconds=14,
)
seq_length, written = 10, 24


class Model(nn.Module):
    """Embedding, LSTM, Dense."""

    def __init__(self, n_vocab: int) -> None:
        super().__init__()
        self.embedding, self.lstm = nn.Embedding(n_vocab, 32), nn.LSTM(32, 128, batch_first=True)
        self.dense = nn.Linear(128, n_vocab)

    def forward(self, x: Tensor) -> Tensor:
        """Return logits of the character after windows (n, seq_length)."""
        return self.dense(self.lstm(self.embedding(x))[0][:, -1])


def loop(fixed: bool) -> Watch:
    """Train; ``fixed`` is the repaired twin."""
    torch.manual_seed(35)
    ids, letters = names(16)
    book = ids[ids != 0]
    windows = book.unfold(0, seq_length + 1, 1)
    model = Model(len(letters))
    criterion, optimizer = nn.CrossEntropyLoss(), optim.Adam(model.parameters(), lr=3e-3)

    @torch.no_grad()
    def generate(n: int) -> Tensor:
        pattern = windows[torch.randint(len(windows), (n,)), :seq_length]
        for _ in range(4 * written):
            prediction = model(pattern[:, -seq_length:]).softmax(1)
            index = torch.multinomial(prediction, 1) if fixed else prediction.argmax(1, keepdim=True)
            pattern = torch.cat([pattern, index], 1)
        return pattern[:, -written:]

    loader, total = batches(windows, 128), 1200
    watch = trainwright.watch(total=total, sample=generate, real=book.unfold(0, written, 3))
    for step in range(total):
        batch = next(loader)
        loss = criterion(model(batch[:, :-1]), batch[:, -1])
        optimizer.zero_grad()
        loss.backward()
        optimizer.step()
        watch(step, loss=loss.item())
    return watch
