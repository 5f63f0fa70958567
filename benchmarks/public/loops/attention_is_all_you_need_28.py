"""Transformer for translation (spelling backwards): with beam search, outputs belong to other inputs.

Source: github.com/jadore801120/attention-is-all-you-need-pytorch issue 28 (confirmed and repaired).
For ``beam_size`` candidates the sources are repeated as a whole (a b c a b c), while the candidates of one sentence
stand next to each other (a a b b c c). All but the first are written with the encoder output of another sentence.
"""

import torch
from torch import Tensor, nn, optim

import trainwright
from benchmarks.public.case import Case
from benchmarks.public.materials import batches, names
from trainwright.diagnosis.watch import Watch

CASE = Case(
    kind="autoregressive",
    cause="batch_time_swapped",
    symptoms=("wiring", "off_data", "over_dispersion", "worse_than_baseline", "mode_dropping"),
    spoils="samples",
    source="jadore801120/attention-is-all-you-need-pytorch#28",
    also=("labels_mismatched", "condition_differs_when_sampling", "data_layout", "beam_order_wrong"),
    seconds=16,
)
LENGTH, d_model, beam_size = 8, 64, 2


class Transformer(nn.Module):
    """Encoder and decoder of one layer each."""

    def __init__(self, vocabulary: int) -> None:
        super().__init__()
        self.bos, self.embedding = vocabulary, nn.Embedding(vocabulary + 1, d_model)
        self.position = nn.Parameter(torch.randn(LENGTH + 1, d_model))
        self.encoder = nn.TransformerEncoderLayer(d_model, 4, 128, dropout=0.0, batch_first=True)
        self.decoder = nn.TransformerDecoderLayer(d_model, 4, 128, dropout=0.0, batch_first=True)
        self.tgt_word_proj = nn.Linear(d_model, vocabulary)

    def encode(self, src_seq: Tensor) -> Tensor:
        """Return the encoder output."""
        return self.encoder(self.embedding(src_seq) + self.position[:LENGTH])

    def decode(self, tgt_seq: Tensor, enc_output: Tensor) -> Tensor:
        """Return logits of the next letters."""
        x = self.embedding(tgt_seq) + self.position[: tgt_seq.shape[1]]
        mask = nn.Transformer.generate_square_subsequent_mask(tgt_seq.shape[1])
        return self.tgt_word_proj(self.decoder(x, enc_output, tgt_mask=mask))


@torch.no_grad()
def translate_batch(model: Transformer, src_seq: Tensor, fixed: bool) -> Tensor:
    """Return the better of two beams for every source."""
    n = len(src_seq)
    src = src_seq.repeat_interleave(beam_size, 0) if fixed else src_seq.repeat(beam_size, 1)
    enc_output = model.encode(src)
    beams, scores = torch.full((n, beam_size, 1), model.bos), torch.zeros(n, beam_size)
    scores[:, 1:] = float("-inf")
    for _ in range(LENGTH):
        logp = model.decode(beams.flatten(0, 1), enc_output)[:, -1].log_softmax(-1).view(n, beam_size, -1)
        scores, best = (scores[..., None] + logp).flatten(1).topk(beam_size)
        came, letter = best // logp.shape[-1], best % logp.shape[-1]
        beams = torch.cat([beams.gather(1, came[..., None].expand(-1, -1, beams.shape[2])), letter[..., None]], 2)
    return beams[:, 0, 1:]


def loop(fixed: bool) -> Watch:
    """Train; ``fixed`` is the repaired twin."""
    torch.manual_seed(28)
    ids, letters = names(16)
    src = ids[:, :LENGTH]
    pairs = torch.cat([src, src.flip(1)], 1)
    model = Transformer(len(letters))
    optimizer, crit = optim.Adam(model.parameters(), lr=1e-3), nn.CrossEntropyLoss()
    loader, steps = batches(pairs, 64), 1200

    def translate(n: int) -> Tensor:
        source = src[torch.randint(len(src), (n,))]
        return torch.cat([source, translate_batch(model, source, fixed)], 1)

    watch = trainwright.watch(total=steps, sample=translate, real=pairs)
    for step in range(steps):
        batch = next(loader)
        src_seq, gold = batch[:, :LENGTH], batch[:, LENGTH:]
        tgt_seq = torch.cat([torch.full((len(gold), 1), model.bos), gold[:, :-1]], 1)
        loss = crit(model.decode(tgt_seq, model.encode(src_seq)).flatten(0, 1), gold.flatten())
        optimizer.zero_grad()
        loss.backward()
        optimizer.step()
        watch(step, loss=loss.item())
    return watch
