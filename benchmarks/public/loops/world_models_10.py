"""MDN-RNN of world models: the weights of the mixture are normalized over the batch.

Source: github.com/ctallec/world-models issue 10 (confirmed and repaired).
``pi`` has the axes (length, batch, gaussians), and the softmax goes over axis -2. What one sequence gives to a Gaussian
is taken from the others, so that the weights say nothing about how probable each Gaussian is: rare events are drawn
far too often.
"""

import torch
import torch.nn.functional as F
from torch import Tensor, nn, optim

import trainwright
from benchmarks.public.case import Case
from benchmarks.public.materials import batches
from trainwright.diagnosis.watch import Watch

CASE = Case(
    kind="autoregressive",
    cause="softmax_over_batch",
    symptoms=("wiring", "off_data", "over_dispersion", "exploding", "unbounded_loss"),
    spoils="samples",
    source="ctallec/world-models#10",
    also=("batch_time_swapped", "data_layout"),
    seconds=6,
)
LENGTH, hiddens, gaussians = 16, 48, 5


def trajectories(n: int = 3000) -> Tensor:
    """Return paths (n, 16, 2): a steady walk along a circle that rarely (4 %) jumps far to the side for good."""
    g = torch.Generator().manual_seed(10)
    angle = torch.rand(n, 1, generator=g) * 6.28 + 0.3 * torch.arange(LENGTH)
    step = 0.3 * torch.stack([angle.cos(), angle.sin()], -1) + 0.03 * torch.randn(n, LENGTH, 2, generator=g)
    jump = (torch.rand(n, LENGTH, 1, generator=g) < 0.04) * torch.tensor([3.0, 0.0])
    return (step + jump).cumsum(1)


class MDRNN(nn.Module):
    """LSTM with a mixture of Gaussians for the next latent."""

    def __init__(self, latents: int, dim: int) -> None:
        super().__init__()
        self.latents, self.dim = latents, dim
        self.rnn, self.gmm_linear = nn.LSTM(latents, hiddens), nn.Linear(hiddens, (2 * latents + 1) * gaussians)

    def forward(self, ins: Tensor, state: tuple[Tensor, Tensor] | None = None) -> tuple:
        """Return mus, sigmas and logpi for steps (length, batch, latents)."""
        seq_len, bs = ins.shape[:2]
        outs, state = self.rnn(ins, state)
        gmm_outs, stride = self.gmm_linear(outs), gaussians * self.latents
        mus = gmm_outs[:, :, :stride].view(seq_len, bs, gaussians, self.latents)
        sigmas = torch.exp(gmm_outs[:, :, stride : 2 * stride].view(seq_len, bs, gaussians, self.latents)) + 1e-2
        pi = gmm_outs[:, :, 2 * stride :].view(seq_len, bs, gaussians)
        return mus, sigmas, F.log_softmax(pi, dim=self.dim), state


def gmm_loss(batch: Tensor, mus: Tensor, sigmas: Tensor, logpi: Tensor) -> Tensor:
    """Return minus the log-likelihood."""
    g_log_probs = torch.distributions.Normal(mus, sigmas).log_prob(batch.unsqueeze(-2)).sum(-1)
    return -torch.logsumexp(logpi + g_log_probs, -1).mean()


def loop(fixed: bool) -> Watch:
    """Train; ``fixed`` is the repaired twin."""
    torch.manual_seed(10)
    data = trajectories()
    mdrnn = MDRNN(2, dim=-1 if fixed else -2)
    optimizer = optim.Adam(mdrnn.parameters(), lr=4e-3)

    @torch.no_grad()
    def dream(n: int) -> Tensor:
        z, state, path = torch.zeros(1, n, 2), None, []
        for _ in range(LENGTH):
            mus, sigmas, logpi, state = mdrnn(z, state)
            k = torch.distributions.Categorical(probs=logpi[0].exp()).sample()[:, None, None].expand(-1, 1, 2)
            z = (mus[0].gather(1, k) + sigmas[0].gather(1, k) * torch.randn(n, 1, 2)).transpose(0, 1)
            path.append(z[0])
        return torch.stack(path, 1).cumsum(1)

    loader, steps = batches(data, 64), 1500
    watch = trainwright.watch(total=steps, sample=dream, real=data)
    for step in range(steps):
        latent_next = next(loader).diff(dim=1, prepend=torch.zeros(64, 1, 2)).transpose(0, 1)
        latent = torch.cat([torch.zeros(1, 64, 2), latent_next[:-1]])
        mus, sigmas, logpi, _ = mdrnn(latent)
        loss = gmm_loss(latent_next, mus, sigmas, logpi)
        optimizer.zero_grad()
        loss.backward()
        nn.utils.clip_grad_norm_(mdrnn.parameters(), 1.0)
        optimizer.step()
        watch(step, gmm=loss.item())
    return watch
