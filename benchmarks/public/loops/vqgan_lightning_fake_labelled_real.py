"""VQ-GAN: the discriminator is told that reconstructions are real.

Source: github.com/SerezD/vqvae-vqgan-pytorch-lightning issue 3, corrected.
Both of its targets are ones, so it says "real" to all images. Its loss vanishes, and it has nothing to teach the autoencoder.
"""

import torch
import torch.nn.functional as F
from torch import Tensor, nn

import trainwright
from benchmarks.public.case import Case
from benchmarks.public.materials import batches, discriminator, images
from trainwright.diagnosis.watch import Watch

CASE = Case(
    kind="variational",
    cause="labels_do_not_oppose",
    symptoms=("wiring", "vanishing_losses", "dead_critic", "generator_dominance", "blur"),
    spoils="nothing visible",
    source="SerezD/vqvae-vqgan-pytorch-lightning#3",
)


def loop(fixed: bool) -> Watch:
    """Train; ``fixed`` is the repaired twin."""
    torch.manual_seed(0)
    x, K, dim = images("sprites", background=255), 64, 16
    enc = nn.Sequential(
        nn.Conv2d(3, 24, 4, 2, 1), nn.ReLU(), nn.Conv2d(24, 24, 4, 2, 1), nn.ReLU(), nn.Conv2d(24, dim, 1)
    )
    dec = nn.Sequential(nn.ConvTranspose2d(dim, 24, 4, 2, 1), nn.ReLU(), nn.ConvTranspose2d(24, 3, 4, 2, 1), nn.Tanh())
    with torch.no_grad():
        outputs = enc(x[:64]).permute(0, 2, 3, 1).reshape(-1, dim)
        codebook = nn.Parameter(outputs[torch.randperm(len(outputs))[:K]].clone())
    disc, usage = discriminator(16, norm=False), torch.ones(K)
    opt_ae = torch.optim.Adam([*enc.parameters(), *dec.parameters(), codebook], 1e-3, betas=(0.5, 0.999))
    opt_disc = torch.optim.Adam(disc.parameters(), 2e-4, betas=(0.5, 0.999))
    bce = F.binary_cross_entropy_with_logits

    @torch.no_grad()
    def sample(n: int) -> Tensor:
        ids = torch.multinomial(usage, n * 16, replacement=True)  # codes as often as they are used
        return dec(codebook[ids].view(n, 4, 4, dim).permute(0, 3, 1, 2))

    watch = trainwright.watch(total=600, sample=sample, real=x)
    for step, batch in zip(range(600), batches(x, 32), strict=False):
        h = enc(batch).permute(0, 2, 3, 1)
        ids = torch.cdist(h.reshape(-1, dim), codebook).argmin(1)
        usage.mul_(0.95).add_(0.05 * torch.bincount(ids, minlength=K))
        q = codebook[ids].view_as(h)
        quantizer_loss = F.mse_loss(q, h.detach()) + 0.25 * F.mse_loss(h, q.detach())
        rec = dec((h + (q - h).detach()).permute(0, 3, 1, 2))
        l1_loss, l2_loss = F.l1_loss(rec, batch), F.mse_loss(rec, batch)
        logits_fake = disc(rec)
        g_loss = bce(logits_fake, torch.ones_like(logits_fake))
        loss = l1_loss + l2_loss + 0.02 * g_loss + quantizer_loss
        opt_ae.zero_grad()
        loss.backward()
        opt_ae.step()

        logits_real, logits_fake = disc(batch), disc(rec.detach())
        target_fake = torch.zeros_like(logits_fake) if fixed else torch.ones_like(logits_fake)
        d_loss = bce(logits_real, torch.ones_like(logits_real)) + bce(logits_fake, target_fake)
        opt_disc.zero_grad()
        d_loss.backward()
        opt_disc.step()
        watch(
            step, loss=loss, l1_loss=l1_loss, l2_loss=l2_loss, quant_loss=quantizer_loss, g_loss=g_loss, d_loss=d_loss
        )
    return watch
