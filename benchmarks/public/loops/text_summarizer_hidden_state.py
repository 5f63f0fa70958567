"""LSTM VAE over rows of levels: the hidden state is carried from one shuffled batch to the next.

Source: github.com/JulesBelveze/text-summarizer pull request 8; of the same kind: rafaljozefowicz/lm issue 7.
Sequences of two batches have nothing to do with each other. At test time the state begins at zero, which training never saw.
"""

import torch
import torch.nn.functional as F
from torch import Tensor, nn

import trainwright
from benchmarks.public.case import Case
from benchmarks.public.materials import batches, kl_nats, levels
from trainwright.diagnosis.watch import Watch

CASE = Case(
    kind="variational",
    cause="hidden_state_carried",
    symptoms=("wiring", "state_leak", "overfitting", "off_data", "prior_hole"),
    spoils="reconstructions",
    source="JulesBelveze/text-summarizer#8",
)


def loop(fixed: bool) -> Watch:
    """Train; ``fixed`` is the repaired twin."""
    torch.manual_seed(0)
    ids, alphabet = levels(16)
    val, train, size = ids[:800], ids[800:], len(alphabet)
    encoder, head = nn.LSTM(size, 64, batch_first=True), nn.Linear(64, 32)
    decoder, out = nn.LSTM(16 + size, 64, batch_first=True), nn.Linear(64, size)
    parameters = [p for m in (encoder, head, decoder, out) for p in m.parameters()]
    opt = torch.optim.Adam(parameters, 3e-3)

    def hot(tokens: Tensor) -> Tensor:
        return F.one_hot(tokens, size).float()

    def forward(x: Tensor, enc_state: tuple | None, dec_state: tuple | None) -> tuple:
        y, enc_state = encoder(hot(x), enc_state)
        mu, logvar = head(y[:, -1]).chunk(2, 1)
        z = mu + (0.5 * logvar).exp() * torch.randn_like(mu)
        told = torch.cat([torch.zeros(len(x), 1, size), hot(x[:, :-1])], 1)
        y, dec_state = decoder(torch.cat([z[:, None].expand(-1, 16, -1), told], 2), dec_state)
        recon = F.cross_entropy(out(y).transpose(1, 2), x, reduction="none").sum(1).mean()
        return recon, kl_nats(mu, logvar), enc_state, dec_state

    @torch.no_grad()
    def sample(n: int) -> Tensor:
        z, state, token, got = torch.randn(n, 16), None, torch.zeros(n, 1, size), []
        for _ in range(16):
            y, state = decoder(torch.cat([z[:, None], token], 2), state)
            ids = torch.distributions.Categorical(logits=out(y)).sample()
            token = hot(ids)
            got.append(ids)
        return torch.cat(got, 1)

    watch = trainwright.watch(total=450, sample=sample, real=train)
    enc_hidden = dec_hidden = None
    for step, batch in zip(range(450), batches(train, 64), strict=False):
        if fixed:
            enc_hidden = dec_hidden = None
        recon, kl, enc_hidden, dec_hidden = forward(batch, enc_hidden, dec_hidden)
        enc_hidden, dec_hidden = (tuple(t.detach() for t in s) for s in (enc_hidden, dec_hidden))
        loss = recon + 0.1 * kl
        opt.zero_grad()
        loss.backward()
        nn.utils.clip_grad_norm_(parameters, 5.0)
        opt.step()
        val_loss = None
        if step % 30 == 29:
            with torch.no_grad():
                val_recon, val_kl, *_ = forward(val, None, None)
            val_loss = val_recon + 0.1 * val_kl
        watch(step, loss=loss, recon=recon, kl=kl, val_loss=val_loss)
    return watch
