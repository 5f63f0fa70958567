"""StarGAN with a linear output: images are stored as bytes without clipping.

Source: github.com/taki0112/StarGAN_v2-Tensorflow issue 6; green areas on faces, until the reporter clipped before storing.
The generator's values lie a little below -1 and above 1 at places. As bytes they start again at the other end of the range.
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
    cause="values_wrap_around",
    symptoms=("off_data", "colour_cast", "over_dispersion", "blur", "mode_dropping", "wiring"),
    spoils="samples",
    source="taki0112/StarGAN_v2-Tensorflow#6",
    also=("output_activation", "data_range"),
    seconds=20,
)
DOMAINS = 2


class Generator(nn.Module):
    """Images and target domains -> images."""

    def __init__(self, ch: int = 20) -> None:
        super().__init__()
        self.from_rgb, self.down = nn.Conv2d(3 + DOMAINS, ch, 3, 1, 1), nn.Conv2d(ch, 2 * ch, 4, 2, 1)
        self.res1, self.res2 = nn.Conv2d(2 * ch, 2 * ch, 3, 1, 1), nn.Conv2d(2 * ch, 2 * ch, 3, 1, 1)
        self.up, self.to_rgb = nn.Conv2d(2 * ch, ch, 3, 1, 1), nn.Conv2d(ch, 3, 3, 1, 1)
        self.norms = nn.ModuleList([nn.InstanceNorm2d(c, affine=True) for c in (ch, 2 * ch, 2 * ch, 2 * ch, ch)])

    def forward(self, x: Tensor, y: Tensor) -> Tensor:
        """Return images, in about [-1, 1]."""
        n1, n2, n3, n4, n5 = self.norms
        domain = F.one_hot(y, DOMAINS).float()[:, :, None, None].expand(-1, -1, *x.shape[2:])
        h = F.leaky_relu(n1(self.from_rgb(torch.cat([x, domain], 1))), 0.2)
        h = F.leaky_relu(n2(self.down(h)), 0.2)
        h = h + n4(self.res2(F.leaky_relu(n3(self.res1(h)), 0.2)))
        h = F.leaky_relu(n5(self.up(F.interpolate(h, scale_factor=2))), 0.2)
        return self.to_rgb(h)


class Discriminator(nn.Module):
    """Scores of images, one head for each domain."""

    def __init__(self) -> None:
        super().__init__()
        self.layers = nn.Sequential(
            nn.Conv2d(3, 20, 4, 2, 1), nn.LeakyReLU(0.2), nn.Conv2d(20, 40, 4, 2, 1), nn.InstanceNorm2d(40, affine=True),
            nn.LeakyReLU(0.2), nn.Conv2d(40, DOMAINS, 3, 1, 1),
        )  # fmt: skip

    def forward(self, x: Tensor, y: Tensor) -> Tensor:
        """Return scores of patches."""
        return self.layers(x)[torch.arange(len(x)), y]


def inverse_transform(x: Tensor, clip: bool) -> Tensor:
    """Return bytes."""
    x = ((x + 1.0) / 2) * 255.0
    return (x.clamp(0, 255) if clip else x).round().int().to(torch.uint8)


def loop(fixed: bool) -> Watch:
    """Train; ``fixed`` is the repaired twin."""
    torch.manual_seed(6)
    domains = [images("sprites"), images("sprites", background=255)]
    dataset, labels = torch.cat([domains[0][:475], domains[1][475:]]), (torch.arange(949) >= 475).long()
    G, D = Generator(), Discriminator()
    g_optimizer = torch.optim.Adam(G.parameters(), lr=8e-4, betas=(0.5, 0.99))
    d_optimizer = torch.optim.Adam(D.parameters(), lr=2e-4, betas=(0.5, 0.99))
    cyc_weight, iterations = 10.0, 900

    @torch.no_grad()
    def refer_canvas(n: int) -> Tensor:
        index = torch.randint(len(dataset), (n,))
        fake = G(dataset[index], 1 - labels[index])
        return inverse_transform(fake, clip=fixed).float() / 255

    watch = trainwright.watch(total=iterations, sample=refer_canvas, real=(dataset + 1) / 2)
    for idx, index in zip(range(iterations), batches(torch.arange(len(dataset)), 16), strict=False):
        x_real, y_org = dataset[index], labels[index]
        y_trg = 1 - y_org
        x_fake = G(x_real, y_trg)
        d_adv_loss = (D(x_real, y_org) - 1).square().mean() + D(x_fake.detach(), y_trg).square().mean()
        d_optimizer.zero_grad()
        d_adv_loss.backward()
        d_optimizer.step()

        g_adv_loss = (D(x_fake, y_trg) - 1).square().mean()
        g_cyc_loss = F.l1_loss(G(x_fake, y_org), x_real)
        g_optimizer.zero_grad()
        (g_adv_loss + cyc_weight * g_cyc_loss).backward()
        g_optimizer.step()
        watch(idx, d_adv_loss=d_adv_loss, g_adv_loss=g_adv_loss, g_cyc_loss=g_cyc_loss)
    return watch
