"""VAE: the KL is summed over the whole batch before it is weighed by the mask of each sequence.

Source: github.com/EDAPINENUT/GNTPP issue 4, corrected.
Nothing fails, because one number times the mask has the right shape. The KL weighs as many times too much as a batch is long.
"""

import torch
import torch.nn.functional as F
from torch import Tensor

import trainwright
from benchmarks.public.case import Case
from benchmarks.public.materials import batches, levels, mlp
from trainwright.diagnosis.watch import Watch

CASE = Case(
    kind="variational",
    cause="reduction_mismatch",
    symptoms=(
        "wiring",
        "posterior_collapse",
        "variance_collapse",
        "loss_imbalance",
        "mode_collapse",
        "plateau",
        "mean_regression",
    ),
    spoils="samples",
    source="EDAPINENUT/GNTPP#4",
    also=("beta_above_threshold", "term_drowned"),
)


def loop(fixed: bool) -> Watch:
    """Train; ``fixed`` is the repaired twin."""
    torch.manual_seed(0)
    ids, alphabet = levels(16)
    size = len(alphabet)
    encoder, decoder = mlp(16 * size, 256, 128, 32), mlp(16, 128, 256, 16 * size)
    opt = torch.optim.Adam([*encoder.parameters(), *decoder.parameters()], 1e-3)

    @torch.no_grad()
    def sample(n: int) -> Tensor:
        return decoder(torch.randn(n, 16)).view(n, 16, size).argmax(2)

    watch = trainwright.watch(total=1200, sample=sample, real=ids)
    for step, seq in zip(range(1200), batches(ids, 64), strict=False):
        mask = (seq != 0).any(1).float()  # a row may be empty
        mean, log_var = encoder(F.one_hot(seq, size).float().flatten(1)).chunk(2, 1)
        z = mean + (0.5 * log_var).exp() * torch.randn_like(mean)
        logits = decoder(z).view(-1, 16, size)
        nll = F.cross_entropy(logits.transpose(1, 2), seq, reduction="none").sum(1) * mask
        terms = 1 + log_var - mean.pow(2) - log_var.exp()
        kl_loss = -0.5 * (torch.sum(terms, dim=-1) if fixed else torch.sum(terms)) * mask
        nll, kl_loss = nll.sum() / mask.sum(), kl_loss.sum() / mask.sum()
        loss = nll + kl_loss
        opt.zero_grad()
        loss.backward()
        opt.step()
        watch(step, loss=loss, nll=nll, kl=kl_loss)
    return watch
