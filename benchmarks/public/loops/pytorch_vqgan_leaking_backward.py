"""VQ-GAN: the discriminator's loss leaves gradients in the autoencoder before the autoencoder's step.

Source: github.com/Shubhamai/pytorch-vqgan issue 3.
Reconstructions are not detached, and both backward passes come before both steps. The two adversarial terms work against each other.
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
    cause="gradients_of_other_loss",
    symptoms=("wiring", "critic_dominance", "off_data", "blur"),
    spoils="nothing visible",
    source="Shubhamai/pytorch-vqgan#3",
    also=("gradients_not_cleared",),
)


def loop(fixed: bool) -> Watch:
    """Train; ``fixed`` is the repaired twin."""
    torch.manual_seed(0)
    x, K, dim = images("sprites", background=255), 64, 16
    enc = nn.Sequential(
        nn.Conv2d(3, 24, 4, 2, 1), nn.ReLU(), nn.Conv2d(24, 24, 4, 2, 1), nn.ReLU(), nn.Conv2d(24, dim, 1)
    )
    body = nn.Sequential(nn.ConvTranspose2d(dim, 24, 4, 2, 1), nn.ReLU())
    last = nn.ConvTranspose2d(24, 3, 4, 2, 1)
    with torch.no_grad():
        outputs = enc(x[:64]).permute(0, 2, 3, 1).reshape(-1, dim)
        codebook = nn.Parameter(outputs[torch.randperm(len(outputs))[:K]].clone())
    disc, usage, disc_start = discriminator(16, norm=False), torch.ones(K), 100
    parameters = [*enc.parameters(), *body.parameters(), *last.parameters(), codebook]
    opt_vq = torch.optim.Adam(parameters, 1e-3, betas=(0.5, 0.9))
    opt_disc = torch.optim.Adam(disc.parameters(), 4e-4, betas=(0.5, 0.9))

    @torch.no_grad()
    def sample(n: int) -> Tensor:
        ids = torch.multinomial(usage, n * 16, replacement=True)  # codes as often as they are used
        return last(body(codebook[ids].view(n, 4, 4, dim).permute(0, 3, 1, 2)))

    watch = trainwright.watch(total=600, sample=sample, real=x)
    for step, imgs in zip(range(600), batches(x, 32), strict=False):
        h = enc(imgs).permute(0, 2, 3, 1)
        ids = torch.cdist(h.reshape(-1, dim), codebook).argmin(1)
        usage.mul_(0.95).add_(0.05 * torch.bincount(ids, minlength=K))
        q = codebook[ids].view_as(h)
        q_loss = F.mse_loss(q, h.detach()) + 0.25 * F.mse_loss(h, q.detach())
        decoded_images = last(body((h + (q - h).detach()).permute(0, 3, 1, 2)))
        rec_loss = F.l1_loss(decoded_images, imgs)

        disc_fake = disc(decoded_images)
        disc_factor = 1.0 if step >= disc_start else 0.0
        g_loss = -disc_fake.mean()
        rec_grad = torch.autograd.grad(rec_loss, last.weight, retain_graph=True)[0]
        g_grad = torch.autograd.grad(g_loss, last.weight, retain_graph=True)[0]
        weight = 0.8 * (rec_grad.norm() / (g_grad.norm() + 1e-4)).clamp(0, 1e4)
        vq_loss = rec_loss + q_loss + disc_factor * weight * g_loss
        opt_vq.zero_grad()
        vq_loss.backward(retain_graph=True)
        if fixed:
            opt_vq.step()
            disc_fake = disc(decoded_images.detach())
        gan_loss = disc_factor * 0.5 * (F.relu(1 - disc(imgs)).mean() + F.relu(1 + disc_fake).mean())
        opt_disc.zero_grad()
        gan_loss.backward()
        if not fixed:
            opt_vq.step()
        opt_disc.step()
        watch(step, rec_loss=rec_loss, vq_loss=vq_loss, gan_loss=gan_loss)
    return watch
