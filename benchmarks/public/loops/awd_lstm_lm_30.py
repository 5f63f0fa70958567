"""Language model with a split softmax: the criterion has parameters, but the optimizer only holds those of the model.

Source: github.com/salesforce/awd-lstm-lm issue 30; the author confirmed it.
The vectors that stand for the groups of rare words in the head's softmax begin at zero and stay there, so the model cannot say which
group comes next.
"""

import torch
import torch.nn.functional as F
from torch import Tensor, nn

import trainwright
from benchmarks.public.case import Case
from benchmarks.public.materials import names
from trainwright.diagnosis.watch import Watch

CASE = Case(
    kind="autoregressive",
    cause="parameters_not_optimized",
    symptoms=("wiring", "off_data", "plateau", "slow", "frozen_network"),
    spoils="samples",
    source="salesforce/awd-lstm-lm#30",
    also=("not_trained",),
    seconds=18,
)
SPLITS, BPTT, BATCH = (6, 16, 28), 24, 32


class SplitCrossEntropyLoss(nn.Module):
    """Softmax over frequent words and one vector for each group of rarer ones, then a softmax within the group."""

    def __init__(self, nhid: int, ntokens: int) -> None:
        super().__init__()
        self.splits = [0, *SPLITS, ntokens]
        self.tail_vectors = nn.Parameter(torch.zeros(len(SPLITS), nhid))
        self.tail_bias = nn.Parameter(torch.zeros(len(SPLITS)))

    def logprob(self, weight: Tensor, bias: Tensor, hiddens: Tensor) -> Tensor:
        """Return log-probabilities (n, ntokens)."""
        head = self.splits[1]
        scores = F.linear(
            hiddens, torch.cat([weight[:head], self.tail_vectors]), torch.cat([bias[:head], self.tail_bias])
        )
        head_res = scores.log_softmax(1)
        results = [head_res[:, :head]]
        for i, (a, b) in enumerate(zip(self.splits[1:], self.splits[2:], strict=False)):
            tail_res = F.linear(hiddens, weight[a:b], bias[a:b]).log_softmax(1)
            results.append(head_res[:, head + i, None] + tail_res)
        return torch.cat(results, 1)

    def forward(self, weight: Tensor, bias: Tensor, hiddens: Tensor, targets: Tensor) -> Tensor:
        """Return the cross-entropy."""
        return F.nll_loss(self.logprob(weight, bias, hiddens), targets)


class RNNModel(nn.Module):
    """LSTM with tied embeddings; (time, batch) -> hidden states."""

    def __init__(self, ntoken: int, ninp: int = 96, dropout: float = 0.2) -> None:
        super().__init__()
        self.encoder, self.rnn = nn.Embedding(ntoken, ninp), nn.LSTM(ninp, ninp, 2, dropout=dropout)
        self.drop = nn.Dropout(dropout)
        self.decoder = nn.Linear(ninp, ntoken)
        self.decoder.weight = self.encoder.weight
        nn.init.uniform_(self.encoder.weight, -0.1, 0.1)
        nn.init.zeros_(self.decoder.bias)

    def forward(self, x: Tensor, hidden: tuple[Tensor, Tensor] | None) -> tuple[Tensor, tuple[Tensor, Tensor]]:
        """Return outputs and the hidden state."""
        output, hidden = self.rnn(self.drop(self.encoder(x)), hidden)
        return self.drop(output), hidden


def corpus() -> tuple[Tensor, int]:
    """Return the stream of letters of all names, the most frequent letter as 0, and the number of letters."""
    ids, letters = names()
    stream = ids[ids > 0]
    counts = torch.bincount(stream, minlength=len(letters))
    rank = torch.empty_like(counts)
    rank[counts.argsort(descending=True)] = torch.arange(len(letters))
    return rank[stream], int((counts > 0).sum())


def loop(fixed: bool) -> Watch:
    """Train; ``fixed`` is the repaired twin."""
    torch.manual_seed(1111)
    stream, ntokens = corpus()
    train_data = stream[: len(stream) // BATCH * BATCH].view(BATCH, -1).t().contiguous()
    model = RNNModel(ntokens)
    criterion = SplitCrossEntropyLoss(96, ntokens)
    params = list(model.parameters()) + list(criterion.parameters()) if fixed else list(model.parameters())
    optimizer = torch.optim.Adam(params, lr=4e-3, weight_decay=1.2e-6)

    @torch.no_grad()
    def generate(n: int) -> Tensor:
        model.eval()
        word, hidden, words = stream[torch.randint(len(stream), (1, n))], None, []
        for _ in range(8 + BPTT):
            output, hidden = model(word, hidden)
            word = criterion.logprob(model.decoder.weight, model.decoder.bias, output[0]).exp().multinomial(1).t()
            words.append(word[0])
        model.train()
        return torch.stack(words[8:], 1)

    total = 1600
    watch = trainwright.watch(total=total, sample=generate, real=stream.unfold(0, BPTT, 5))
    hidden, i = None, 0
    for step in range(total):
        if i + BPTT + 1 > len(train_data):
            hidden, i = None, 0
        data, targets = train_data[i : i + BPTT], train_data[i + 1 : i + 1 + BPTT]
        i += BPTT
        hidden = None if hidden is None else tuple(h.detach() for h in hidden)
        optimizer.zero_grad()
        output, hidden = model(data, hidden)
        loss = criterion(model.decoder.weight, model.decoder.bias, output.flatten(0, 1), targets.flatten())
        loss.backward()
        torch.nn.utils.clip_grad_norm_(params, 0.25)
        optimizer.step()
        watch(step, loss=loss.item(), ppl=loss.exp().item())
    return watch
