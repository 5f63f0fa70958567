"""Progressive GAN: the weight of new layers is rounded down to an integer.

Source: github.com/akanimax/pro_gan_pytorch issue 2.
``int(epoch / num_epochs)`` is 0 in all epochs of a resolution but the last, where it jumps to 1. The layers
of the new resolution get no gradient until then, and are used at full weight at once.
"""

import torch
import torch.nn.functional as F
from torch import Tensor, nn

import trainwright
from benchmarks.public.case import Case
from benchmarks.public.materials import images
from trainwright.diagnosis.watch import Watch

CASE = Case(
    kind="adversarial",
    cause="fade_in_stays_zero",
    symptoms=(
        "wiring",
        "blur",
        "off_data",
        "checkerboard",
        "frozen_network",
        "spike",
        "mode_dropping",
        "mode_collapse",
        "colour_cast",
        "critic_dominance",
    ),
    spoils="samples",
    source="akanimax/pro_gan_pytorch#2",
    also=("not_trained", "schedule_out_of_reach", "fade_in_jumps", "trained_too_short"),
    seconds=35,
)


class GenBlock(nn.Module):
    """Doubles the resolution."""

    def __init__(self, a: int, b: int) -> None:
        super().__init__()
        self.conv1, self.conv2 = nn.Conv2d(a, b, 3, 1, 1), nn.Conv2d(b, b, 3, 1, 1)
        self.norm1, self.norm2 = nn.BatchNorm2d(b), nn.BatchNorm2d(b)

    def forward(self, x: Tensor) -> Tensor:
        """Return the features."""
        y = F.leaky_relu(self.norm1(self.conv1(F.interpolate(x, scale_factor=2))), 0.2)
        return F.leaky_relu(self.norm2(self.conv2(y)), 0.2)


class Generator(nn.Module):
    """Noise -> images of 4, 8 or 16 pixels."""

    def __init__(self, latent_size: int) -> None:
        super().__init__()
        self.initial_block = nn.Sequential(
            nn.Linear(latent_size, 40 * 16),
            nn.Unflatten(1, (40, 4, 4)),
            nn.BatchNorm2d(40),
            nn.LeakyReLU(0.2),
        )
        self.layers = nn.ModuleList([GenBlock(40, 32), GenBlock(32, 16)])
        self.rgb_converters = nn.ModuleList([nn.Conv2d(c, 3, 1) for c in (40, 32, 16)])

    def forward(self, x: Tensor, depth: int, alpha: float) -> Tensor:
        """Return images."""
        y = self.initial_block(x)
        if depth == 0:
            return self.rgb_converters[0](y).tanh()
        for block in self.layers[: depth - 1]:
            y = block(y)
        residual = F.interpolate(self.rgb_converters[depth - 1](y), scale_factor=2)
        straight = self.rgb_converters[depth](self.layers[depth - 1](y))
        return (alpha * straight + (1 - alpha) * residual).tanh()


class Discriminator(nn.Module):
    """Images of 4, 8 or 16 pixels -> scores."""

    def __init__(self) -> None:
        super().__init__()
        self.rgb_to_features = nn.ModuleList([nn.Conv2d(3, c, 1) for c in (40, 32, 16)])
        self.layers = nn.ModuleList(
            [
                nn.Sequential(nn.Conv2d(a, b, 3, 1, 1), nn.LeakyReLU(0.2), nn.AvgPool2d(2))
                for a, b in ((32, 40), (16, 32))
            ]
        )
        self.final_block = nn.Sequential(
            nn.Conv2d(40, 40, 3, 1, 1),
            nn.LeakyReLU(0.2),
            nn.Flatten(),
            nn.Linear(40 * 16, 40),
            nn.LeakyReLU(0.2),
            nn.Linear(40, 1),
        )

    def forward(self, x: Tensor, depth: int, alpha: float) -> Tensor:
        """Return scores."""
        if depth == 0:
            return self.final_block(F.leaky_relu(self.rgb_to_features[0](x), 0.2)).squeeze(1)
        residual = F.leaky_relu(self.rgb_to_features[depth - 1](F.avg_pool2d(x, 2)), 0.2)
        straight = self.layers[depth - 1](F.leaky_relu(self.rgb_to_features[depth](x), 0.2))
        y = alpha * straight + (1 - alpha) * residual
        for block in list(self.layers[: depth - 1])[::-1]:
            y = block(y)
        return self.final_block(y).squeeze(1)


class ProGAN:
    """Both networks with their optimizers."""

    def __init__(self, latent_size: int) -> None:
        self.latent_size, self.current = latent_size, (0, 1.0)
        self.gen, self.dis = Generator(latent_size), Discriminator()
        self.gen_optim = torch.optim.Adam(self.gen.parameters(), 1e-3, (0.0, 0.99))
        self.dis_optim = torch.optim.Adam(self.dis.parameters(), 7e-4, (0.0, 0.99))

    def progressive_downsampling(self, real_batch: Tensor, depth: int, alpha: float) -> Tensor:
        """Return real images at the present resolution, with the detail that the generator can make."""
        ds_real = F.avg_pool2d(real_batch, 2 ** (2 - depth)) if depth < 2 else real_batch
        if depth == 0:
            return ds_real
        return alpha * ds_real + (1 - alpha) * F.interpolate(F.avg_pool2d(ds_real, 2), scale_factor=2)

    def optimize_discriminator(self, noise: Tensor, real_batch: Tensor, depth: int, alpha: float) -> float:
        """Do a step of the discriminator."""
        real = self.progressive_downsampling(real_batch, depth, alpha)
        fake = self.gen(noise, depth, alpha).detach()
        real_loss = F.softplus(-self.dis(real, depth, alpha)).mean()
        loss = real_loss + F.softplus(self.dis(fake, depth, alpha)).mean()
        self.dis_optim.zero_grad()
        loss.backward()
        self.dis_optim.step()
        return loss.item()

    def optimize_generator(self, noise: Tensor, depth: int, alpha: float) -> float:
        """Do a step of the generator."""
        loss = F.softplus(-self.dis(self.gen(noise, depth, alpha), depth, alpha)).mean()
        self.gen_optim.zero_grad()
        loss.backward()
        self.gen_optim.step()
        return loss.item()

    def create_samples(self, n: int) -> Tensor:
        """Return images at the full size."""
        depth, alpha = self.current
        return F.interpolate(self.gen(torch.randn(n, self.latent_size), depth, alpha), size=16)


def loop(fixed: bool) -> Watch:
    """Train; ``fixed`` is the repaired twin."""
    torch.manual_seed(2)
    dataset, batch_size, steps_of_epoch = images("sprites", background=255), 32, 29
    epochs = (3, 6, 18)
    pro_gan, step = ProGAN(latent_size=48), 0
    total = steps_of_epoch * sum(epochs)
    watch = trainwright.watch(total=total, sample=pro_gan.create_samples, real=dataset)
    for current_depth, num_epochs in enumerate(epochs):
        for epoch in range(1, num_epochs + 1):
            alpha = epoch / num_epochs if fixed else int(epoch / num_epochs)
            pro_gan.current = (current_depth, alpha)
            order = torch.randperm(len(dataset))
            for i in range(steps_of_epoch):
                batch = dataset[order[i * batch_size : (i + 1) * batch_size]]
                gan_input = torch.randn(len(batch), pro_gan.latent_size)
                dis_loss = pro_gan.optimize_discriminator(gan_input, batch, current_depth, alpha)
                gen_loss = pro_gan.optimize_generator(gan_input, current_depth, alpha)
                watch(step, dis_loss=dis_loss, gen_loss=gen_loss)
                step += 1
    return watch
