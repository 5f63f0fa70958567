"""Character LSTM that generates names: the loss compares the output of each place with the letter before it.

Source: github.com/yandexdataschool/Practical_RL pull request 393, merged.
The slices of outputs and of targets are exchanged, so the network learns to repeat a letter that it has
already read. The loss falls to zero; what it generates are spaces, since the seed is one.
"""

import torch
import torch.nn as nn
import torch.nn.functional as F
from torch import Tensor

import trainwright
from benchmarks.public.case import Case
from benchmarks.public.materials import names
from trainwright.diagnosis.watch import Watch

CASE = Case(
    kind="autoregressive",
    cause="targets_misaligned",
    symptoms=("wiring", "off_data", "mode_collapse", "mode_dropping", "vanishing_losses"),
    spoils="samples",
    source="yandexdataschool/Practical_RL#393",
    also=("targets_in_input",),
    seconds=9,
)

id_matrix, symbols = names(13)
lines = [" " + "".join(symbols[i] for i in row.tolist() if i > 1) for row in id_matrix]
lines = [line for line in lines if len(line) > 6]
MAX_LENGTH = max(map(len, lines))
tokens = sorted(set("".join(lines)))
num_tokens = len(tokens)
token_to_id = {token: i for i, token in enumerate(tokens)}


def to_matrix(data: list[str], max_len: int, pad: int) -> Tensor:
    """Cast a list of names into a matrix of ids."""
    matrix = torch.full((len(data), max_len), pad)
    for i, line in enumerate(data):
        ids = [token_to_id[c] for c in line[:max_len]]
        matrix[i, : len(ids)] = torch.tensor(ids)
    return matrix


class CharLSTMCell(nn.Module):
    """Embedding, one step of an LSTM, and the log-probabilities of the next letter."""

    def __init__(self, num_tokens: int, emb_size: int = 32, rnn_num_units: int = 80) -> None:
        super().__init__()
        self.num_units = rnn_num_units
        self.emb = nn.Embedding(num_tokens, emb_size)
        self.lstm = nn.LSTMCell(emb_size, rnn_num_units)
        self.rnn_to_logits = nn.Linear(rnn_num_units, num_tokens)

    def forward(self, x: Tensor, prev_state: tuple[Tensor, Tensor]) -> tuple[tuple[Tensor, Tensor], Tensor]:
        """Return the next state and log-probabilities."""
        h_next, c_next = self.lstm(self.emb(x), prev_state)
        return (h_next, c_next), F.log_softmax(self.rnn_to_logits(h_next), -1)

    def initial_state(self, batch_size: int) -> tuple[Tensor, Tensor]:
        """Return the state before the first letter."""
        return torch.zeros(batch_size, self.num_units), torch.zeros(batch_size, self.num_units)


def rnn_loop(char_rnn: CharLSTMCell, batch_ix: Tensor) -> Tensor:
    """Return log-probabilities (batch, time, tokens) for all places."""
    state = char_rnn.initial_state(len(batch_ix))
    logprobs = []
    for x_t in batch_ix.transpose(0, 1):
        state, logp_next = char_rnn(x_t, state)
        logprobs.append(logp_next)
    return torch.stack(logprobs, dim=1)


@torch.no_grad()
def generate_sample(char_rnn: CharLSTMCell, n: int, temperature: float = 1.0) -> Tensor:
    """Draw n names, beginning with a space."""
    x = torch.full((n, 1), token_to_id[" "])
    state = char_rnn.initial_state(n)
    for i in range(MAX_LENGTH - 1):
        state, logp_next = char_rnn(x[:, i], state)
        p_next = F.softmax(logp_next / temperature, dim=-1)
        x = torch.cat([x, torch.multinomial(p_next, 1)], 1)
    return x


def loop(fixed: bool) -> Watch:
    """Train; ``fixed`` is the repaired twin."""
    torch.manual_seed(393)
    all_ix = to_matrix(lines, MAX_LENGTH, pad=token_to_id[" "])
    char_lstm = CharLSTMCell(num_tokens)
    opt = torch.optim.Adam(char_lstm.parameters(), lr=3e-3)

    n_iterations = 900
    watch = trainwright.watch(total=n_iterations, sample=lambda n: generate_sample(char_lstm, n), real=all_ix)
    for i in range(n_iterations):
        opt.zero_grad()
        batch_ix = all_ix[torch.randint(len(all_ix), (32,))]
        logp_seq = rnn_loop(char_lstm, batch_ix)
        if fixed:
            predictions, answers = logp_seq[:, :-1], batch_ix[:, 1:]
        else:
            predictions, answers = logp_seq[:, 1:], batch_ix[:, :-1]
        loss = F.nll_loss(predictions.contiguous().view(-1, num_tokens), answers.contiguous().view(-1))
        loss.backward()
        opt.step()
        watch(i, loss=loss.item())
    return watch
