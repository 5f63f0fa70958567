"""GAN in the style of TensorFlow 1: the moving averages of its batch normalization are never updated.

Source: github.com/meetps/tf-3dgan issue 12; the author names the missing dependency on the update operations.
``batch_norm`` uses the statistics of the batch in training and collects operations that update its averages. They
have to be run with every step of the optimizer, and nobody does. Samples are made with averages of 0 and 1.
"""

import torch
from torch import Tensor, nn

import trainwright
from benchmarks.public.case import Case
from benchmarks.public.materials import batches, discriminator, images
from trainwright.diagnosis.watch import Watch

CASE = Case(
    kind="adversarial",
    cause="batch_statistics_when_sampling",
    symptoms=("wiring", "off_data", "mode_collapse", "mode_dropping", "colour_cast", "over_dispersion"),
    spoils="samples",
    source="meetps/tf-3dgan#12",
    also=("batch_norm_modes_differ", "ema_without_buffers"),
    seconds=14,
)
UPDATE_OPS: list = []


class BatchNorm(nn.Module):
    """Batch normalization that leaves the update of its averages to operations."""

    def __init__(self, channels: int, decay: float = 0.9, epsilon: float = 1e-5) -> None:
        super().__init__()
        self.decay, self.epsilon = decay, epsilon
        self.beta, self.gamma = nn.Parameter(torch.zeros(channels)), nn.Parameter(torch.ones(channels))
        self.register_buffer("moving_mean", torch.zeros(channels))
        self.register_buffer("moving_variance", torch.ones(channels))

    def update(self, mean: Tensor, variance: Tensor) -> None:
        """Move the averages."""
        self.moving_mean.mul_(self.decay).add_((1 - self.decay) * mean)
        self.moving_variance.mul_(self.decay).add_((1 - self.decay) * variance)

    def forward(self, x: Tensor) -> Tensor:
        """Return normalized features."""
        mean, variance = self.moving_mean, self.moving_variance
        if self.training:
            mean, variance = x.mean((0, 2, 3)), x.var((0, 2, 3), unbiased=False)
            UPDATE_OPS.append((self.update, mean.detach(), variance.detach()))
        scale = self.gamma / (variance + self.epsilon).sqrt()
        return (x - mean[:, None, None]) * scale[:, None, None] + self.beta[:, None, None]


def run_update_ops() -> None:
    """Run what the layers have collected."""
    for update, mean, variance in UPDATE_OPS:
        update(mean, variance)


def generator(z_size: int) -> nn.Sequential:
    """Return noise -> images."""
    return nn.Sequential(
        nn.Unflatten(1, (z_size, 1, 1)),
        nn.ConvTranspose2d(z_size, 48, 4, 1, 0, bias=False), BatchNorm(48), nn.ReLU(),
        nn.ConvTranspose2d(48, 24, 4, 2, 1, bias=False), BatchNorm(24), nn.ReLU(),
        nn.ConvTranspose2d(24, 3, 4, 2, 1), nn.Tanh(),
    )  # fmt: skip


def loop(fixed: bool) -> Watch:
    """Train; ``fixed`` is the repaired twin."""
    torch.manual_seed(12)
    z_size, batch_size, n_epochs = 64, 64, 420
    volumes = images("sprites", 16)
    net_g, net_d, data = generator(z_size), discriminator(24), batches(volumes, batch_size)
    optimizer_op_g = torch.optim.Adam(net_g.parameters(), lr=1e-3, betas=(0.5, 0.999))
    optimizer_op_d = torch.optim.Adam(net_d.parameters(), lr=5e-4, betas=(0.5, 0.999))
    loss = nn.BCEWithLogitsLoss()

    @torch.no_grad()
    def net_g_test(n: int) -> Tensor:
        """Generate with ``is_training=False``."""
        net_g.eval()
        generated = net_g(torch.randn(n, z_size))
        net_g.train()
        return generated

    watch = trainwright.watch(total=n_epochs, sample=net_g_test, real=volumes)
    for epoch in range(n_epochs):
        UPDATE_OPS.clear()
        x, fake = next(data), net_g(torch.randn(batch_size, z_size))
        d_output_x, d_output_z = net_d(x), net_d(fake.detach())
        d_loss = loss(d_output_x, torch.ones(batch_size)) + loss(d_output_z, torch.zeros(batch_size))
        optimizer_op_d.zero_grad()
        d_loss.backward()
        optimizer_op_d.step()

        g_loss = loss(net_d(fake), torch.ones(batch_size))
        optimizer_op_g.zero_grad()
        g_loss.backward()
        optimizer_op_g.step()
        if fixed:
            run_update_ops()
        watch(epoch, d_loss=d_loss.item(), g_loss=g_loss.item())
    return watch
