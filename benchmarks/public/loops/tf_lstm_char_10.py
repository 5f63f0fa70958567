"""Character model: when text is generated, the state of the LSTM is not used again.

Source: github.com/mkroutikov/tf-lstm-char-cnn issue 10, corrected in pull request 9.
Training carries the state from batch to batch. The generator feeds the last character with the state of the beginning each time, so
only one character is remembered.
"""

import torch
from torch import Tensor, nn

import trainwright
from benchmarks.public.case import Case
from benchmarks.public.materials import levels
from trainwright.diagnosis.watch import Watch

CASE = Case(
    kind="autoregressive",
    cause="state_not_carried",
    symptoms=("wiring", "off_data", "mode_collapse", "mode_dropping"),
    spoils="samples",
    source="mkroutikov/tf-lstm-char-cnn#10",
    also=("state_reset",),
    seconds=13,
)
State = tuple[Tensor, Tensor]


class LSTMCharModel(nn.Module):
    """Characters (batch, steps) and a state -> scores and the new state."""

    def __init__(self, char_vocab_size: int, rnn_size: int = 128) -> None:
        super().__init__()
        self.rnn_size = rnn_size
        self.embedding, self.rnn = nn.Embedding(char_vocab_size, 24), nn.LSTM(24, rnn_size, batch_first=True)
        self.softmax_linear = nn.Linear(rnn_size, char_vocab_size)

    def initial_state(self, batch_size: int) -> State:
        """Return zeros."""
        return torch.zeros(1, batch_size, self.rnn_size), torch.zeros(1, batch_size, self.rnn_size)

    def forward(self, x: Tensor, state: State) -> tuple[Tensor, State]:
        """Return (scores, state)."""
        output, state = self.rnn(self.embedding(x), state)
        return self.softmax_linear(output), state


def loop(fixed: bool) -> Watch:
    """Train; ``fixed`` is the repaired twin."""
    torch.manual_seed(10)
    rows, alphabet = levels(12)
    newline = len(alphabet)
    text = torch.cat([rows, torch.full((len(rows), 1), newline)], 1).flatten()
    batch_size, num_unroll_steps = 32, 26
    ribbons = text[: len(text) // batch_size * batch_size].view(batch_size, -1)
    model = LSTMCharModel(newline + 1)
    optimizer = torch.optim.Adam(model.parameters(), lr=4e-3)
    decay = torch.optim.lr_scheduler.StepLR(optimizer, 1000, 0.4)

    @torch.no_grad()
    def generate(n: int) -> Tensor:
        rnn_state = model.initial_state(n)
        char, out = torch.full((n, 1), newline), []
        for _ in range(2 * 13):
            logits, final_state = model(char, rnn_state)
            if fixed:
                rnn_state = final_state
            char = logits[:, -1].softmax(-1).multinomial(1)
            out.append(char)
        return torch.cat(out, 1)

    max_steps = 3000
    watch = trainwright.watch(total=max_steps, sample=generate, real=text[: len(text) // 26 * 26].view(-1, 26))
    state, position = model.initial_state(batch_size), 0
    for step in range(max_steps):
        if position + num_unroll_steps + 1 > ribbons.shape[1]:
            state, position = model.initial_state(batch_size), 0
        x = ribbons[:, position : position + num_unroll_steps]
        y = ribbons[:, position + 1 : position + num_unroll_steps + 1]
        position += num_unroll_steps
        logits, state = model(x, (state[0].detach(), state[1].detach()))
        loss = nn.functional.cross_entropy(logits.flatten(0, 1), y.flatten())
        optimizer.zero_grad()
        loss.backward()
        nn.utils.clip_grad_norm_(model.parameters(), 5.0)
        optimizer.step()
        decay.step()
        watch(step, train_loss=loss)
    return watch
