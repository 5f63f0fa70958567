"""Unpaired translation: the generators' adversarial loss is computed on true images.

Source: github.com/SunnerLi/RecycleGAN issue 2; the owner agreed and corrected it.
The loss of the true frames gives the generators no gradient. Only the cycle is trained, and copying the input solves it.
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
    cause="term_without_gradient",
    symptoms=("wiring", "critic_dominance", "off_data", "colour_cast", "vanishing_losses", "trivial_baseline"),
    spoils="samples",
    source="SunnerLi/RecycleGAN#2",
    also=("not_trained", "labels_do_not_oppose", "wrong_target"),
)


class Translator(nn.Module):
    """Network from images to images, which adds to its input."""

    def __init__(self, width: int = 16) -> None:
        super().__init__()
        self.net = nn.Sequential(
            nn.Conv2d(3, width, 5, 1, 2), nn.LeakyReLU(0.2), nn.Conv2d(width, width, 5, 1, 2), nn.LeakyReLU(0.2),
            nn.Conv2d(width, width, 3, 1, 1), nn.LeakyReLU(0.2), nn.Conv2d(width, 3, 3, 1, 1),
        )  # fmt: skip

    def forward(self, x: Tensor) -> Tensor:
        """Return the outputs."""
        return x + self.net(x)


def loop(fixed: bool) -> Watch:
    """Train; ``fixed`` is the repaired twin."""
    torch.manual_seed(8)
    domain_a, domain_b = images("sprites"), images("sprites", background=120)
    gen_ab, gen_ba = Translator(), Translator()
    dis_a, dis_b = discriminator(10, norm=False), discriminator(10, norm=False)
    optim_g = torch.optim.Adam([*gen_ab.parameters(), *gen_ba.parameters()], 2e-3, betas=(0.5, 0.999))
    optim_d = torch.optim.Adam([*dis_a.parameters(), *dis_b.parameters()], 2e-4, betas=(0.5, 0.999))

    def gan(score: Tensor, target: float) -> Tensor:
        return (score - target).square().mean()

    def sample(n: int) -> Tensor:
        return gen_ab(domain_a[torch.randint(len(domain_a), (n,))])

    watch = trainwright.watch(total=450, sample=sample, real=domain_b)
    data = zip(batches(domain_a, 16, 1), batches(domain_b, 16, 2), strict=False)
    for step, (true_a, true_b) in zip(range(450), data, strict=False):
        fake_a, fake_b = gen_ba(true_b), gen_ab(true_a)
        loss_D = (
            gan(dis_a(true_a), 1)
            + gan(dis_a(fake_a.detach()), 0)
            + gan(dis_b(true_b), 1)
            + gan(dis_b(fake_b.detach()), 0)
        )
        optim_d.zero_grad()
        loss_D.backward()
        optim_d.step()
        reconst_loss = F.l1_loss(gen_ba(fake_b), true_a) + F.l1_loss(gen_ab(fake_a), true_b)
        adv_loss = gan(dis_a(fake_a if fixed else true_a), 1) + gan(dis_b(fake_b if fixed else true_b), 1)
        loss_G = adv_loss + 2 * reconst_loss
        optim_g.zero_grad()
        loss_G.backward()
        optim_g.step()
        watch(step, loss_D=loss_D, loss_G=loss_G, adv_loss=adv_loss, reconst_loss=reconst_loss)
    return watch
