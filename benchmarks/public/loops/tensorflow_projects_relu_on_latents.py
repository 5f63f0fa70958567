"""VAE: the mean and the log-variance of the posterior go through a ReLU.

Source: github.com/shekkizh/TensorflowProjects pull request 1; the same in alexlee-gk/video_prediction issue 3.
No variance is below 1 and no mean below 0. There is always as much noise as in the prior, so little of an image gets through.
"""

import torch
import torch.nn.functional as F
from torch import nn

import trainwright
from benchmarks.public.case import Case
from benchmarks.public.materials import batches, images, mlp
from trainwright.diagnosis.watch import Watch

CASE = Case(
    kind="variational",
    cause="latent_activation",
    symptoms=("wiring", "blur", "posterior_collapse", "prior_hole", "dead_units", "variance_collapse", "plateau"),
    spoils="samples",
    source="shekkizh/TensorflowProjects#1",
    also=("output_activation", "dead_units"),
)


def loop(fixed: bool) -> Watch:
    """Train; ``fixed`` is the repaired twin."""
    torch.manual_seed(0)
    x = (images("sprites", background=255) + 1) / 2
    hidden = mlp(768, 256, 128, last=nn.ReLU())
    fc_mu, fc_log_var = nn.Linear(128, 16), nn.Linear(128, 16)
    decoder = mlp(16, 128, 256, 768, last=nn.Sigmoid())
    parameters = [p for net in (hidden, fc_mu, fc_log_var, decoder) for p in net.parameters()]
    train_op = torch.optim.Adam(parameters, 1e-3)
    watch = trainwright.watch(total=900, sample=lambda n: decoder(torch.randn(n, 16)).view(n, 3, 16, 16), real=x)
    for step, image in zip(range(900), batches(x, 64), strict=False):
        image = image.flatten(1)
        h = hidden(image)
        mu, log_var = fc_mu(h), fc_log_var(h)
        if not fixed:
            mu, log_var = F.relu(mu), F.relu(log_var)
        pred_image = decoder(mu + (0.5 * log_var).exp() * torch.randn_like(mu))
        entropy_loss = F.binary_cross_entropy(pred_image, image, reduction="none").sum(1).mean()
        kl_loss = (-0.5 * (1 + log_var - mu.square() - log_var.exp())).sum(1).mean()
        loss = entropy_loss + kl_loss
        train_op.zero_grad()
        loss.backward()
        train_op.step()
        watch(step, loss=loss, entropy_loss=entropy_loss, kl_loss=kl_loss)
    return watch
