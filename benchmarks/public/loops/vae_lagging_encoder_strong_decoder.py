"""Character VAE: an LSTM decoder that is told every letter, and the KL at full weight from the first step.

Source: github.com/jxhe/vae-lagging-encoder issue 8; the same in issue 5 and in molecularsets/moses issue 45.
Such a decoder does without z, so the posterior collapses. A lower weight that rises slowly and dropped letters keep z in use.
"""

import torch
import torch.nn.functional as F
from torch import Tensor, nn

import trainwright
from benchmarks.public.case import Case
from benchmarks.public.materials import batches, kl_nats, names
from trainwright.diagnosis.watch import Watch

CASE = Case(
    kind="variational",
    cause="strong_decoder",
    symptoms=("posterior_collapse",),
    spoils="reconstructions",
    source="jxhe/vae-lagging-encoder#8",
    also=("beta_above_threshold",),
)


def loop(fixed: bool) -> Watch:
    """Train; ``fixed`` is the repaired twin."""
    torch.manual_seed(0)
    x, letters = names(16)
    nz, size = 16, len(letters)
    embed, encoder, head = nn.Embedding(size, 24), nn.LSTM(24, 64, batch_first=True), nn.Linear(64, 2 * nz)
    begin, decoder, out = nn.Linear(nz, 64), nn.LSTM(24 + nz, 64, batch_first=True), nn.Linear(64, size)
    parameters = [p for m in (embed, encoder, head, begin, decoder, out) for p in m.parameters()]
    opt = torch.optim.Adam(parameters, 3e-3)

    @torch.no_grad()
    def sample(n: int) -> Tensor:
        z, token, got = torch.randn(n, nz), torch.ones(n, 1, dtype=torch.long), []
        h = torch.tanh(begin(z))[None]
        c = torch.zeros_like(h)
        for _ in range(16):
            y, (h, c) = decoder(torch.cat([embed(token), z[:, None]], 2), (h, c))
            token = torch.distributions.Categorical(logits=out(y[:, -1])).sample()[:, None]
            got.append(token)
        text = torch.cat(got, 1)
        ended = (text == 1).cumsum(1) - (text == 1).long()
        return text.masked_fill(ended > 0, 0)  # letters after the end

    watch = trainwright.watch(total=500, sample=sample, real=x)
    for step, batch in zip(range(500), batches(x, 64), strict=False):
        _, (h, _) = encoder(embed(batch))
        mu, logvar = head(h[-1]).chunk(2, 1)
        z = mu + (0.5 * logvar).exp() * torch.randn_like(mu)
        told = torch.cat([torch.ones_like(batch[:, :1]), batch[:, :-1]], 1)
        kl_weight = 1.0
        if fixed:
            told = told.masked_fill(torch.rand(told.shape) < 0.5, 0)
            kl_weight = 0.1 * min(1.0, step / 250)
        h = torch.tanh(begin(z))[None]
        y, _ = decoder(torch.cat([embed(told), z[:, None].expand(-1, 16, -1)], 2), (h, torch.zeros_like(h)))
        loss_rc = F.cross_entropy(out(y).transpose(1, 2), batch, ignore_index=0, reduction="sum") / len(batch)
        loss_kl = kl_nats(mu, logvar)
        loss = loss_rc + kl_weight * loss_kl
        opt.zero_grad()
        loss.backward()
        opt.step()
        watch(step, loss=loss, recon=loss_rc, kl=loss_kl, kl_weight=kl_weight)
    return watch
