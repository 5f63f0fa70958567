"""Sequence to sequence (OpenNMT example) on rows to be read backwards: every step of the decoder begins with the same hidden state.

Source: github.com/pytorch/examples issue 88 (repaired; perplexities of training and validation improved).
In the loop over target words the cell gets ``hidden``, the state that came from the encoder, and the state that it
returns is put into another variable. The decoder knows the source and the last word, and nothing that it wrote before.
"""

import torch
from torch import Tensor, nn, optim

import trainwright
from benchmarks.public.case import Case
from benchmarks.public.materials import batches, levels
from trainwright.diagnosis.watch import Watch

CASE = Case(
    kind="autoregressive",
    cause="hidden_state_lost",
    symptoms=("wiring", "off_data", "plateau", "over_dispersion", "mode_dropping", "worse_than_baseline"),
    spoils="samples",
    source="pytorch/examples#88",
    also=("network_too_small",),
    seconds=15,
)
LENGTH, rnn_size = 10, 128


class NMTModel(nn.Module):
    """Encoder and decoder with one cell each."""

    def __init__(self, dicts: int, fixed: bool) -> None:
        super().__init__()
        self.bos, self.fixed = dicts, fixed
        self.word_lut = nn.Embedding(dicts + 1, 48)
        self.encoder, self.cell = nn.LSTM(48, rnn_size, batch_first=True), nn.LSTMCell(48, rnn_size)
        self.generator = nn.Linear(rnn_size, dicts)

    def start(self, src: Tensor) -> tuple[Tensor, Tensor]:
        """Return the state after the source."""
        _, (h, c) = self.encoder(self.word_lut(src))
        return h[0], c[0]

    def forward(self, src: Tensor, tgt: Tensor) -> Tensor:
        """Return logits of every target word."""
        hidden, outputs = self.start(src), []
        h = hidden
        for emb_t in self.word_lut(tgt).unbind(1):
            h = self.cell(emb_t, h if self.fixed else hidden)
            outputs.append(self.generator(h[0]))
        return torch.stack(outputs, 1)

    @torch.no_grad()
    def translate(self, src: Tensor) -> Tensor:
        """Draw a translation word by word."""
        hidden, word, words = self.start(src), torch.full((len(src),), self.bos), []
        h = hidden
        for _ in range(LENGTH):
            h = self.cell(self.word_lut(word), h if self.fixed else hidden)
            word = torch.multinomial(self.generator(h[0]).softmax(1), 1)[:, 0]
            words.append(word)
        return torch.stack(words, 1)


def loop(fixed: bool) -> Watch:
    """Train; ``fixed`` is the repaired twin."""
    torch.manual_seed(88)
    ids, letters = levels(16)
    src = ids[:, :LENGTH].contiguous()
    data = torch.cat([src, src.flip(1)], 1)
    model = NMTModel(len(letters), fixed)
    optimizer, criterion = optim.Adam(model.parameters(), lr=3e-3), nn.CrossEntropyLoss()
    loader, total = batches(data, 64), 1000

    def translations(n: int) -> Tensor:
        source = src[torch.randint(len(src), (n,))]
        return torch.cat([source, model.translate(source)], 1)

    watch = trainwright.watch(total=total, sample=translations, real=data)
    for step in range(total):
        batch = next(loader)
        source, target = batch[:, :LENGTH], batch[:, LENGTH:]
        shifted = torch.cat([torch.full((len(target), 1), model.bos), target[:, :-1]], 1)
        loss = criterion(model(source, shifted).flatten(0, 1), target.flatten())
        optimizer.zero_grad()
        loss.backward()
        nn.utils.clip_grad_norm_(model.parameters(), 5.0)
        optimizer.step()
        watch(step, loss=loss.item())
    return watch
