"""Word language model of the PyTorch tutorial with nn.TransformerEncoder: no mask is passed.

Source: github.com/pytorch/tutorials pull request 2662 (merged).
``src_mask`` defaults to None, and the training loop does not build one, so that every place sees the word that it has
to predict. The perplexity falls to one, and what the model writes makes no sense.
"""

import math

import torch
from torch import Tensor, nn, optim

import trainwright
from benchmarks.public.case import Case
from benchmarks.public.materials import batches, names
from trainwright.diagnosis.watch import Watch

CASE = Case(
    kind="autoregressive",
    cause="targets_in_input",
    symptoms=("wiring", "off_data", "over_dispersion", "mode_dropping", "variance_collapse", "mode_collapse"),
    spoils="samples",
    source="pytorch/tutorials#2662",
    seconds=12,
)
bptt, d_model = 16, 64


class TransformerModel(nn.Module):
    """Encoder with a linear decoder."""

    def __init__(self, ntoken: int, fixed: bool) -> None:
        super().__init__()
        self.fixed = fixed
        layer = nn.TransformerEncoderLayer(d_model, 4, 128, dropout=0.0, batch_first=True)
        self.transformer_encoder = nn.TransformerEncoder(layer, 2)
        self.embedding, self.linear = nn.Embedding(ntoken, d_model), nn.Linear(d_model, ntoken)
        position, pe = torch.arange(bptt).unsqueeze(1), torch.zeros(bptt, d_model)
        div_term = torch.exp(torch.arange(0, d_model, 2) * (-math.log(10000.0) / d_model))
        pe[:, 0::2], pe[:, 1::2] = torch.sin(position * div_term), torch.cos(position * div_term)
        self.register_buffer("pe", pe)
        nn.init.uniform_(self.linear.weight, -0.1, 0.1)

    def forward(self, src: Tensor, src_mask: Tensor | None = None) -> Tensor:
        """Return logits of the next letters."""
        x = self.embedding(src) * math.sqrt(d_model) / 4 + self.pe[: src.shape[1]]
        if src_mask is None and self.fixed:
            src_mask = nn.Transformer.generate_square_subsequent_mask(src.shape[1])
        return self.linear(self.transformer_encoder(x, src_mask))


def loop(fixed: bool) -> Watch:
    """Train; ``fixed`` is the repaired twin."""
    torch.manual_seed(2662)
    train_data, letters = names(bptt)
    ntokens = len(letters)
    model = TransformerModel(ntokens + 1, fixed)
    criterion, optimizer = nn.CrossEntropyLoss(ignore_index=0), optim.Adam(model.parameters(), lr=1e-3)

    @torch.no_grad()
    def write(n: int) -> Tensor:
        model.eval()
        text, ended = torch.full((n, 1), ntokens), torch.zeros(n, dtype=torch.bool)
        for _ in range(bptt):
            logits = model(text)[:, -1, :ntokens]
            logits[:, 0] = float("-inf")
            letter = torch.multinomial(logits.softmax(-1), 1)
            letter[ended] = 0
            ended |= letter[:, 0] == 1
            text = torch.cat([text, letter], 1)
        model.train()
        return text[:, 1:]

    loader, steps = batches(train_data, 64), 900
    watch = trainwright.watch(total=steps, sample=write, real=train_data)
    for step in range(steps):
        targets = next(loader)
        data = torch.cat([torch.full((len(targets), 1), ntokens), targets[:, :-1]], 1)
        output_flat = model(data).view(-1, ntokens + 1)
        loss = criterion(output_flat, targets.flatten())
        optimizer.zero_grad()
        loss.backward()
        nn.utils.clip_grad_norm_(model.parameters(), 0.5)
        optimizer.step()
        watch(step, loss=loss.item())
    return watch
