"""VAE demo: the noise of the codes is a parameter of the network instead of an input.

Source: github.com/PaddlePaddle/Paddle issue 3770; the demo worked once its noise came from a data layer.
One vector, drawn at the start and trained along, serves every image and every step. Codes are exact, and the decoder never sees the
prior.
"""

import torch
import torch.nn.functional as F
from torch import Tensor, nn

import trainwright
from benchmarks.public.case import Case
from benchmarks.public.materials import batches, images
from trainwright.diagnosis.watch import Watch

CASE = Case(
    kind="variational",
    cause="noise_drawn_once",
    symptoms=(
        "wiring",
        "prior_hole",
        "off_data",
        "over_dispersion",
        "mode_dropping",
        "mode_collapse",
        "posterior_collapse",
        "blur",
    ),
    spoils="samples",
    source="PaddlePaddle/Paddle#3770",
    also=("noise_distribution_mismatch", "noise_not_used"),
    seconds=10,
)
X_DIM, H_DIM, Z_DIM = 768, 256, 16


def build(fixed: bool) -> nn.ModuleDict:
    """Return the layers."""
    layers = nn.ModuleDict(
        {
            "encoder_h": nn.Linear(X_DIM, H_DIM),
            "encoder_h2": nn.Linear(H_DIM, 128),
            "mu": nn.Linear(128, Z_DIM),
            "logvar": nn.Linear(128, Z_DIM),
            "decoder_h": nn.Linear(Z_DIM, H_DIM),
            "decoder_h2": nn.Linear(H_DIM, H_DIM),
            "prob": nn.Linear(H_DIM, X_DIM),
        }
    )
    if not fixed:
        layers["sigma"] = nn.Module()
        layers["sigma"].register_parameter("eps", nn.Parameter(torch.randn(Z_DIM)))
    return layers


def encoder(net: nn.ModuleDict, x: Tensor) -> tuple[Tensor, Tensor]:
    """Return mean and log-variance."""
    h = F.leaky_relu(net["encoder_h2"](F.leaky_relu(net["encoder_h"](x), 0.1)), 0.1)
    return net["mu"](h), net["logvar"](h)


def decoder(net: nn.ModuleDict, z: Tensor) -> Tensor:
    """Return pixels."""
    h = F.leaky_relu(net["decoder_h2"](F.leaky_relu(net["decoder_h"](z), 0.1)), 0.1)
    return torch.sigmoid(net["prob"](h))


def loop(fixed: bool) -> Watch:
    """Train; ``fixed`` is the repaired twin."""
    torch.manual_seed(3770)
    data = (images("sprites", background=255).flatten(1) + 1) / 2
    net = build(fixed)
    optimizer = torch.optim.Adam(net.parameters(), lr=1e-3)

    def reparameterization(mu: Tensor, logvar: Tensor) -> Tensor:
        eps = torch.randn_like(mu) if fixed else net["sigma"].eps
        return mu + logvar.exp().sqrt() * eps

    @torch.no_grad()
    def generate(n: int) -> Tensor:
        return decoder(net, torch.randn(n, Z_DIM)).view(n, 3, 16, 16)

    watch = trainwright.watch(total=1500, sample=generate, real=data.view(-1, 3, 16, 16))
    for batch_id, x in zip(range(1500), batches(data, 128), strict=False):
        mu, logvar = encoder(net, x)
        prob = decoder(net, reparameterization(mu, logvar))
        reconstruct_error = F.mse_loss(prob, x, reduction="sum") / len(x)
        kl_div = 0.5 * (logvar.exp() + mu.square() - 1 - logvar).sum(1).mean()
        cost = reconstruct_error + 0.5 * kl_div
        optimizer.zero_grad()
        cost.backward()
        optimizer.step()
        watch(batch_id, cost=cost, reconstruct_error=reconstruct_error, kl_div=kl_div)
    return watch
