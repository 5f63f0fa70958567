"""VAE: the cross-entropy is a mean over pixels and is not multiplied by their number.

Source: github.com/keras-team/keras pull request 3383, merged; reported in issue 3373.
The reconstruction weighs hundreds of times too little against the KL. All points of the latent space decode to the same image.
"""

import torch
import torch.nn.functional as F
from torch import Tensor, nn

import trainwright
from benchmarks.public.case import Case
from benchmarks.public.materials import batches, images, mlp
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
        "blur",
        "off_data",
        "plateau",
    ),
    spoils="samples",
    source="keras-team/keras#3383",
    also=("beta_above_threshold", "term_drowned"),
)


def loop(fixed: bool) -> Watch:
    """Train; ``fixed`` is the repaired twin."""
    torch.manual_seed(33)
    x_train, original_dim, latent_dim = (images("sprites") + 1) / 2, 768, 12
    encoder, decoder_mean = (
        mlp(original_dim, 256, 2 * latent_dim),
        mlp(latent_dim, 256, original_dim, last=nn.Sigmoid()),
    )
    optimizer = torch.optim.RMSprop([*encoder.parameters(), *decoder_mean.parameters()], 1e-3)

    def sample(n: int) -> Tensor:
        return decoder_mean(torch.randn(n, latent_dim)).view(n, 3, 16, 16)

    watch = trainwright.watch(total=1500, sample=sample, real=x_train)
    for step, batch in zip(range(1500), batches(x_train, 64), strict=False):
        x = batch.flatten(1)
        z_mean, z_log_var = encoder(x).chunk(2, 1)
        z = z_mean + (z_log_var / 2).exp() * torch.randn_like(z_mean)
        xent_loss = F.binary_cross_entropy(decoder_mean(z), x)
        if fixed:
            xent_loss = original_dim * xent_loss
        kl_loss = -0.5 * (1 + z_log_var - z_mean.square() - z_log_var.exp()).mean(-1).mean()
        loss = xent_loss + kl_loss
        optimizer.zero_grad()
        loss.backward()
        optimizer.step()
        watch(step, loss=loss, xent_loss=xent_loss, kl_loss=kl_loss)
    return watch
