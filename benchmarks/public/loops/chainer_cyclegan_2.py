"""CycleGAN: the generators normalize the last layer as well, just before the tanh.

Source: github.com/naoto0804/chainer-cyclegan pull request 2, merged; its author calls the mistake critical.
Every output image has the same mean and spread in each channel before the tanh, whatever it shows. Its colours cannot follow the data.
"""

import torch
import torch.nn.functional as F
from torch import Tensor, nn

import trainwright
from benchmarks.public.case import Case
from benchmarks.public.materials import batches, images
from trainwright.diagnosis.watch import Watch

CASE = Case(
    kind="adversarial",
    cause="norm_before_output",
    symptoms=("wiring", "colour_cast", "off_data", "blur", "mode_dropping", "critic_dominance"),
    spoils="samples",
    source="naoto0804/chainer-cyclegan#2",
    seconds=12,
)


class CBR(nn.Module):
    """Convolution, normalization and activation."""

    def __init__(self, ch0: int, ch1: int, norm: bool = True, sample: str = "none", activation=torch.relu) -> None:  # type: ignore[no-untyped-def]
        super().__init__()
        self.sample, self.activation = sample, activation
        self.c = nn.Conv2d(ch0, ch1, 4, 2, 1) if sample == "down" else nn.Conv2d(ch0, ch1, 3, 1, 1)
        self.norm = nn.InstanceNorm2d(ch1, affine=True) if norm else nn.Identity()

    def forward(self, x: Tensor) -> Tensor:
        """Return the outputs."""
        if self.sample == "up":
            x = F.interpolate(x, scale_factor=2)
        h = self.norm(self.c(x))
        return h if self.activation is None else self.activation(h)


class ResBlock(nn.Module):
    """Two convolutions around a shortcut."""

    def __init__(self, ch: int) -> None:
        super().__init__()
        self.c0, self.c1 = CBR(ch, ch), CBR(ch, ch, activation=None)

    def forward(self, x: Tensor) -> Tensor:
        """Return the outputs."""
        return x + self.c1(self.c0(x))


def build_generator(fixed: bool) -> nn.Sequential:
    """Return a generator (n, 3, 16, 16) -> (n, 3, 16, 16)."""
    last = CBR(16, 3, norm=not fixed, activation=torch.tanh)
    return nn.Sequential(CBR(3, 16), CBR(16, 32, sample="down"), ResBlock(32), CBR(32, 16, sample="up"), last)


def build_discriminator() -> nn.Sequential:
    """Return a discriminator of patches."""
    return nn.Sequential(
        nn.Conv2d(3, 16, 4, 2, 1), nn.LeakyReLU(0.2), nn.Conv2d(16, 32, 4, 2, 1), nn.InstanceNorm2d(32, affine=True),
        nn.LeakyReLU(0.2), nn.Conv2d(32, 1, 3, 1, 1),
    )  # fmt: skip


def loop(fixed: bool) -> Watch:
    """Train; ``fixed`` is the repaired twin."""
    torch.manual_seed(2)
    train_A, train_B = images("sprites"), images("sprites", background=255).flip(0)
    gen_g, gen_f, dis_x, dis_y = (
        build_generator(fixed),
        build_generator(fixed),
        build_discriminator(),
        build_discriminator(),
    )
    opt_g = torch.optim.Adam([*gen_g.parameters(), *gen_f.parameters()], lr=1e-3, betas=(0.5, 0.999))
    opt_d = torch.optim.Adam([*dis_x.parameters(), *dis_y.parameters()], lr=5e-4, betas=(0.5, 0.999))
    lambda1 = 10.0

    def loss_func_adv_gen(score: Tensor) -> Tensor:
        return (score - 1).square().mean()

    def loss_func_adv_dis(real: Tensor, fake: Tensor) -> Tensor:
        return 0.5 * ((real - 1).square().mean() + fake.square().mean())

    @torch.no_grad()
    def sample(n: int) -> Tensor:
        return gen_g(train_A[torch.randint(len(train_A), (n,))])

    watch = trainwright.watch(total=450, sample=sample, real=train_B)
    for iteration, x, y in zip(range(450), batches(train_A, 16), batches(train_B, 16, seed=1), strict=False):
        x_y, y_x = gen_g(x), gen_f(y)
        loss_cycle = F.l1_loss(gen_f(x_y), x) + F.l1_loss(gen_g(y_x), y)
        loss_adv = loss_func_adv_gen(dis_y(x_y)) + loss_func_adv_gen(dis_x(y_x))
        loss_gen = loss_adv + lambda1 * loss_cycle
        opt_g.zero_grad()
        loss_gen.backward()
        opt_g.step()

        loss_dis = loss_func_adv_dis(dis_y(y), dis_y(x_y.detach())) + loss_func_adv_dis(dis_x(x), dis_x(y_x.detach()))
        opt_d.zero_grad()
        loss_dis.backward()
        opt_d.step()
        watch(iteration, loss_gen=loss_gen, loss_adv=loss_adv, loss_cycle=loss_cycle, loss_dis=loss_dis)
    return watch
