"""Upsampling GAN: the generator's optimizer minimizes the reconstruction loss alone.

Source: github.com/liruihui/PU-GAN issue 10; the author thanked for it.
The adversarial loss is computed and logged, but is not part of the sum that the generator is trained on. Details stay smooth.
"""

import torch
import torch.nn.functional as F
from torch import Tensor, nn

import trainwright
from benchmarks.public.case import Case
from benchmarks.public.materials import batches, discriminator, images
from trainwright.diagnosis.watch import Watch

CASE = Case(
    kind="adversarial",
    cause="term_left_out",
    symptoms=("wiring", "critic_dominance", "blur", "vanishing_losses"),
    spoils="nothing visible",
    source="liruihui/PU-GAN#10",
    also=("term_without_gradient", "labels_do_not_oppose"),
)


def loop(fixed: bool) -> Watch:
    """Train; ``fixed`` is the repaired twin."""
    torch.manual_seed(2)
    gt, D = images("sprites", background=255), discriminator(16, norm=False)
    G = nn.Sequential(
        nn.Conv2d(3, 32, 3, 1, 1), nn.LeakyReLU(0.2), nn.Upsample(scale_factor=2), nn.Conv2d(32, 24, 3, 1, 1), nn.LeakyReLU(0.2),
        nn.Conv2d(24, 24, 3, 1, 1), nn.LeakyReLU(0.2), nn.Upsample(scale_factor=2), nn.Conv2d(24, 16, 3, 1, 1), nn.LeakyReLU(0.2),
        nn.Conv2d(16, 3, 3, 1, 1), nn.Tanh(),
    )  # fmt: skip
    G_optimizers = torch.optim.Adam(G.parameters(), 1e-3, betas=(0.9, 0.999))
    D_optimizers = torch.optim.Adam(D.parameters(), 2e-4, betas=(0.5, 0.999))

    def sample(n: int) -> Tensor:
        return G(F.avg_pool2d(gt[torch.randint(len(gt), (n,))], 4))

    watch = trainwright.watch(total=400, sample=sample, real=gt)
    for step, pc in zip(range(400), batches(gt, 16), strict=False):
        output = G(F.avg_pool2d(pc, 4))
        real_score, fake_score = D(pc), D(output.detach())
        dis_loss = (real_score - 1).square().mean() + fake_score.square().mean()
        D_optimizers.zero_grad()
        dis_loss.backward()
        D_optimizers.step()
        pu_loss, gen_loss = F.mse_loss(output, pc), (D(output) - 1).square().mean()
        total_gen_loss = pu_loss + 0.05 * gen_loss
        G_optimizers.zero_grad()
        (total_gen_loss if fixed else pu_loss).backward()
        G_optimizers.step()
        watch(step, dis_loss=dis_loss, gen_loss=gen_loss, pu_loss=pu_loss, total_gen_loss=total_gen_loss)
    return watch
