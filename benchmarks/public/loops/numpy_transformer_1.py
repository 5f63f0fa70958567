"""Seq2seq transformer for translation: positions are cut and added along the batch, not along the sequence.

Source: github.com/AkiRusProd/numpy-transformer issue 1; the owner then corrected the positional encoding.
All tokens of a sentence get the same vector, and which one depends on the sentence's place in the batch.
The encoder sees a bag of letters; translations have about the right letters in a wrong order, and the
validation loss soon rises.
"""

import math

import torch
import torch.nn.functional as F
from torch import Tensor, nn

import trainwright
from benchmarks.public.case import Case
from benchmarks.public.materials import batches, names
from trainwright.diagnosis.watch import Watch

CASE = Case(
    kind="autoregressive",
    cause="positions_along_batch",
    symptoms=("wiring", "off_data", "plateau", "slow", "overfitting"),
    spoils="samples",
    source="AkiRusProd/numpy-transformer#1",
    also=("positions_missing", "batch_time_swapped", "positional_encoding_axis"),
    seconds=25,
)
PAD, EOS = 0, 1


class PositionalEncoding(nn.Module):
    """Sines and cosines of the position."""

    def __init__(self, max_len: int, d_model: int, fixed: bool) -> None:
        super().__init__()
        self.fixed = fixed
        position = torch.arange(max_len)[:, None]
        div_term = torch.exp(-math.log(10000.0) * torch.arange(0, d_model, 2) / d_model)
        pe = torch.zeros(max_len, d_model)
        pe[:, 0::2], pe[:, 1::2] = torch.sin(position * div_term), torch.cos(position * div_term)
        self.register_buffer("pe", pe[None] if fixed else pe[:, None])

    def forward(self, x: Tensor) -> Tensor:
        """Return (batch_size, seq_len, d_model) with the encoding added."""
        if self.fixed:
            return x + self.pe[:, : x.shape[1]]
        return x + self.pe[: x.shape[0]]


class Seq2Seq(nn.Module):
    """Encoder and decoder."""

    def __init__(self, src_vocab: int, trg_vocab: int, sos: int, fixed: bool, d_model: int = 64) -> None:
        super().__init__()
        self.sos, self.scale = sos, math.sqrt(d_model)
        self.src_embedding, self.trg_embedding = nn.Embedding(src_vocab, d_model), nn.Embedding(trg_vocab, d_model)
        for embedding in (self.src_embedding, self.trg_embedding):
            nn.init.normal_(embedding.weight, std=1 / self.scale)
        self.position = PositionalEncoding(5000, d_model, fixed)
        encoder_layer = nn.TransformerEncoderLayer(d_model, 4, 128, dropout=0.1, batch_first=True)
        decoder_layer = nn.TransformerDecoderLayer(d_model, 4, 128, dropout=0.1, batch_first=True)
        self.encoder = nn.TransformerEncoder(encoder_layer, 1, enable_nested_tensor=False)
        self.decoder = nn.TransformerDecoder(decoder_layer, 1)
        self.fc_out = nn.Linear(d_model, trg_vocab)

    def forward(self, src: Tensor, trg: Tensor) -> Tensor:
        """Return scores (n, length, trg_vocab)."""
        mask = torch.ones(trg.shape[1], trg.shape[1], dtype=torch.bool).triu(1)
        padding = src == PAD
        memory = self.encoder(self.position(self.src_embedding(src) * self.scale), src_key_padding_mask=padding)
        trg = self.position(self.trg_embedding(trg) * self.scale)
        h = self.decoder(trg, memory, tgt_mask=mask, memory_key_padding_mask=padding)
        return self.fc_out(h)

    @torch.no_grad()
    def predict(self, src: Tensor, max_length: int) -> Tensor:
        """Translate greedily."""
        self.eval()
        trg = torch.full((len(src), 1), self.sos)
        for _ in range(max_length):
            trg = torch.cat([trg, self(src, trg)[:, -1].argmax(-1, keepdim=True)], 1)
        self.train()
        trg = trg[:, 1:]
        end = (trg == EOS).long()
        return trg.masked_fill(end.cumsum(1) - end > 0, PAD)


def parallel_corpus() -> tuple[Tensor, Tensor, int]:
    """Return sentences, their translations into a language written from right to left, and the vocabulary's size."""
    src, letters = names(12)
    trg = torch.zeros_like(src)
    for i, row in enumerate(src):
        n = int((row > EOS).sum())
        trg[i, :n], trg[i, n] = row[:n].flip(0), EOS
    return src, trg, len(letters)


def loop(fixed: bool) -> Watch:
    """Train; ``fixed`` is the repaired twin."""
    torch.manual_seed(1)
    src, trg, vocab = parallel_corpus()
    train_n = int(0.9 * len(src))
    val_src, val_trg = src[train_n:], trg[train_n:]
    model = Seq2Seq(vocab, vocab + 1, sos=vocab, fixed=fixed)
    optimizer = torch.optim.Adam(model.parameters(), lr=2e-3, betas=(0.9, 0.98), eps=1e-9)

    def step_loss(source: Tensor, target: Tensor) -> Tensor:
        shifted = torch.cat([torch.full((len(target), 1), vocab), target[:, :-1]], 1)
        return F.cross_entropy(model(source, shifted).transpose(1, 2), target, ignore_index=PAD)

    def translate(n: int) -> Tensor:
        return model.predict(src[torch.randint(len(src), (n,))], src.shape[1])

    total = 1200
    watch = trainwright.watch(total=total, sample=translate, real=trg)
    for it, index in zip(range(total), batches(torch.arange(train_n), 32), strict=False):
        loss = step_loss(src[index], trg[index])
        optimizer.zero_grad()
        loss.backward()
        optimizer.step()
        if it % 100 == 99:
            model.eval()
            with torch.no_grad():
                val_loss = step_loss(val_src, val_trg).item()
            model.train()
            watch(it, train_loss=loss.item(), val_loss=val_loss)
        else:
            watch(it, train_loss=loss.item())
    return watch
