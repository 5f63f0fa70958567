"""VQ-VAE: the codebook starts far from the encoder's outputs, and nothing revives unused codes.

Source: github.com/EdoardoBotta/RQ-VAE-Recommender issue 65, corrected in pull request 66.
Of the same kind: bshall/VectorQuantizedVAE issue 3.
Few codes are ever the nearest one, so only they are trained. Codes that start on outputs and restart when unused stay in use.
"""

import torch
import torch.nn.functional as F
from torch import nn

import trainwright
from benchmarks.public.case import Case
from benchmarks.public.materials import batches, images
from trainwright.diagnosis.watch import Watch

CASE = Case(
    kind="variational",
    cause="codebook_unused",
    symptoms=("wiring", "codebook_collapse", "plateau"),
    spoils="reconstructions",
    source="EdoardoBotta/RQ-VAE-Recommender#65",
)


def loop(fixed: bool) -> Watch:
    """Train; ``fixed`` is the repaired twin."""
    torch.manual_seed(0)
    x = (images("sprites", background=255) + 1) / 2
    size, dim = 128, 16
    enc = nn.Sequential(nn.Conv2d(3, 32, 4, 2, 1), nn.ReLU(), nn.Conv2d(32, dim, 4, 2, 1))
    dec = nn.Sequential(
        nn.ConvTranspose2d(dim, 32, 4, 2, 1), nn.ReLU(), nn.ConvTranspose2d(32, 3, 4, 2, 1), nn.Sigmoid()
    )
    codebook = nn.Parameter(torch.randn(size, dim) * 3 + 1)
    if fixed:
        with torch.no_grad():
            outputs = enc(x[:64]).permute(0, 2, 3, 1).reshape(-1, dim)
            codebook.copy_(outputs[torch.randperm(len(outputs))[:size]])
    opt = torch.optim.Adam([*enc.parameters(), *dec.parameters(), codebook], 1e-3)
    usage = torch.ones(size)

    watch = trainwright.watch(total=500)
    for step, batch in zip(range(500), batches(x, 64), strict=False):
        h = enc(batch).permute(0, 2, 3, 1)
        flat = h.reshape(-1, dim)
        ids = torch.cdist(flat, codebook).argmin(1)
        q = codebook[ids].view_as(h)
        recon = F.mse_loss(dec((h + (q - h).detach()).permute(0, 3, 1, 2)), batch)
        vq_loss, commitment = F.mse_loss(q, h.detach()), F.mse_loss(h, q.detach())
        loss = recon + vq_loss + 0.25 * commitment
        opt.zero_grad()
        loss.backward()
        opt.step()
        with torch.no_grad():
            counts = torch.bincount(ids, minlength=size).float()
            usage.mul_(0.95).add_(0.05 * counts)
            if fixed and step % 50 == 49 and step < 350:
                dead = usage < 0.02
                codebook[dead] = flat[torch.randint(len(flat), (int(dead.sum()),))]
            p = counts / counts.sum()
            perplexity = torch.exp(-(p * (p + 1e-10).log()).sum())
        watch(step, loss=loss, recon_loss=recon, vq_loss=vq_loss, perplexity=perplexity)
    return watch
