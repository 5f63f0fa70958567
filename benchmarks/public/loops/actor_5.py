"""Transformer VAE of motions: the weight of the KL is much too large.

Source: github.com/Mathux/ACTOR issue 5; the author had mode collapse with too large values, and success with very small ones.
The KL is a sum over batch and latents, while the reconstruction loss is a mean. With 0.01 the motions of an action are all the same.
"""

import torch
import torch.nn.functional as F
from torch import Tensor, nn

import trainwright
from benchmarks.public.case import Case
from benchmarks.public.materials import batches
from trainwright.diagnosis.watch import Watch

CASE = Case(
    kind="variational",
    cause="beta_above_threshold",
    symptoms=(
        "posterior_collapse",
        "variance_collapse",
        "mode_collapse",
        "mode_dropping",
        "plateau",
        "blur",
        "off_data",
        "wiring",
    ),
    spoils="samples",
    source="Mathux/ACTOR#5",
    also=("reduction_mismatch", "term_drowned"),
    seconds=20,
)
FRAMES, FEATURES, ACTIONS, LATENT = 16, 4, 3, 24


def motions(count: int) -> tuple[Tensor, Tensor]:
    """Return motions (count, FRAMES, FEATURES) of two joints, and actions."""
    g = torch.Generator().manual_seed(5)
    action = torch.randint(ACTIONS, (count,), generator=g)
    t = torch.linspace(0, 1, FRAMES)[None]
    speed, phase = 0.7 + 0.8 * torch.rand(count, 1, generator=g), 6.28 * torch.rand(count, 1, generator=g)
    height, angle = 0.3 + 0.5 * torch.rand(count, 1, generator=g), 6.28 * torch.rand(count, 1, generator=g)
    swing = height * torch.sin(6.28 * speed * t + phase)
    jump = height * (torch.sin(3.14 * speed * t + 0.5 * phase).abs() * 2 - 1)
    walk = (t - 0.5) * speed
    zero = torch.zeros_like(swing)
    kinds = torch.stack(
        [
            torch.stack([walk * angle.cos(), walk * angle.sin(), swing, -swing], 2),
            torch.stack([zero, jump, 0.3 * angle.cos() + zero, jump], 2),
            torch.stack([swing * angle.cos(), swing * angle.sin(), walk, zero], 2),
        ]
    )
    return kinds[action, torch.arange(count)], action


class PositionalEncoding(nn.Module):
    """Adds a learned vector to each position."""

    def __init__(self, length: int, width: int) -> None:
        super().__init__()
        self.pe = nn.Parameter(0.3 * torch.randn(1, length, width))

    def forward(self, x: Tensor) -> Tensor:
        """Return the sum."""
        return x + self.pe[:, : x.shape[1]]


class CVAE(nn.Module):
    """Transformers around a code, with tokens and biases of the action."""

    def __init__(self, width: int = 32) -> None:
        super().__init__()
        self.mu_query, self.sigma_query = (
            nn.Parameter(torch.randn(ACTIONS, width)),
            nn.Parameter(torch.randn(ACTIONS, width)),
        )
        self.skel_embedding, self.to_mu, self.to_logvar = (
            nn.Linear(FEATURES, width),
            nn.Linear(width, LATENT),
            nn.Linear(width, LATENT),
        )
        layer = nn.TransformerEncoderLayer(
            width, 4, 64, dropout=0.0, activation="gelu", batch_first=True, norm_first=True
        )
        self.encoder, self.encoder_pe = (
            nn.TransformerEncoder(layer, 2, enable_nested_tensor=False),
            PositionalEncoding(FRAMES + 2, width),
        )
        self.z_embedding, self.action_biases = nn.Linear(LATENT, width), nn.Parameter(torch.randn(ACTIONS, width))
        layer = nn.TransformerDecoderLayer(
            width, 4, 64, dropout=0.0, activation="gelu", batch_first=True, norm_first=True
        )
        self.decoder, self.decoder_pe = nn.TransformerDecoder(layer, 2), PositionalEncoding(FRAMES, width)
        self.finallayer, self.width = nn.Linear(width, FEATURES), width

    def encode(self, x: Tensor, y: Tensor) -> tuple[Tensor, Tensor]:
        """Return mean and log-variance."""
        tokens = torch.stack([self.mu_query[y], self.sigma_query[y]], 1)
        h = self.encoder(self.encoder_pe(torch.cat([tokens, self.skel_embedding(x)], 1)))
        return self.to_mu(h[:, 0]), self.to_logvar(h[:, 1])

    def decode(self, z: Tensor, y: Tensor) -> Tensor:
        """Return motions."""
        memory = (self.z_embedding(z) + self.action_biases[y]).unsqueeze(1)
        queries = self.decoder_pe(torch.zeros(len(z), FRAMES, self.width))
        return self.finallayer(self.decoder(queries, memory))


def loop(fixed: bool) -> Watch:
    """Train; ``fixed`` is the repaired twin."""
    torch.manual_seed(5)
    lambda_rc, lambda_kl = 1.0, 4e-6 if fixed else 1e-2
    data, actions = motions(3000)
    model = CVAE()
    optimizer = torch.optim.AdamW(model.parameters(), lr=1.5e-3)

    @torch.no_grad()
    def generate(n: int) -> Tensor:
        return model.decode(torch.randn(n, LATENT), torch.randint(ACTIONS, (n,))).flatten(1)

    watch = trainwright.watch(total=1100, sample=generate, real=data.flatten(1))
    for step, index in zip(range(1100), batches(torch.arange(len(data)), 64), strict=False):
        x, y = data[index], actions[index]
        mu, logvar = model.encode(x, y)
        output = model.decode(mu + (0.5 * logvar).exp() * torch.randn_like(mu), y)
        rc = F.mse_loss(output, x, reduction="mean")
        kl = -0.5 * torch.sum(1 + logvar - mu.square() - logvar.exp())
        mixed_loss = lambda_rc * rc + lambda_kl * kl
        optimizer.zero_grad()
        mixed_loss.backward()
        nn.utils.clip_grad_norm_(model.parameters(), 1.0)
        optimizer.step()
        watch(step, mixed_loss=mixed_loss.item(), rc=rc.item(), kl=kl.item())
    return watch
