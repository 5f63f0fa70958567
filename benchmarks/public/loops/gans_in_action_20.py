"""Keras-style DCGAN: the frozen discriminator runs its batch normalization in inference mode.

Source: github.com/GANs-in-Action/gans-in-action issue 20.
The book was written for Keras 2.1, where ``trainable = False`` only kept the weights. Since TensorFlow 2 it also
switches batch normalization to its moving averages. The discriminator is taught with the statistics of pure batches,
and the generator with averages over real and generated images: it is pushed towards what the discriminator does
not mean, and the images stay noise.
"""

import torch
from torch import Tensor, nn

import trainwright
from benchmarks.public.case import Case
from benchmarks.public.materials import batches, images
from trainwright.diagnosis.watch import Watch

CASE = Case(
    kind="adversarial",
    cause="batch_norm_modes_differ",
    symptoms=("wiring", "off_data", "critic_dominance", "mode_collapse", "mode_dropping", "vanishing_losses",
              "exploding", "oscillation", "over_dispersion", "checkerboard", "colour_cast"),
    spoils="samples",
    source="GANs-in-Action/gans-in-action#20",
    also=("spectral_norm_in_eval", "trained_in_eval_mode", "batch_statistics_when_sampling"),
    seconds=18,
)  # fmt: skip
z_dim, batch_size, iterations = 64, 64, 420


def build_generator(z_dim: int) -> nn.Sequential:
    """Return noise -> images."""
    return nn.Sequential(
        nn.Linear(z_dim, 48 * 4 * 4), nn.Unflatten(1, (48, 4, 4)),
        nn.ConvTranspose2d(48, 32, 4, 2, 1), nn.BatchNorm2d(32), nn.LeakyReLU(0.01),
        nn.ConvTranspose2d(32, 16, 3, 1, 1), nn.BatchNorm2d(16), nn.LeakyReLU(0.01),
        nn.ConvTranspose2d(16, 3, 4, 2, 1), nn.Tanh(),
    )  # fmt: skip


def build_discriminator() -> nn.Sequential:
    """Return images -> probability; momentum 0.99 of Keras is 0.01 here."""
    return nn.Sequential(
        nn.Conv2d(3, 24, 3, 2, 1), nn.LeakyReLU(0.01),
        nn.Conv2d(24, 48, 3, 2, 1, bias=False), nn.BatchNorm2d(48, momentum=0.01), nn.LeakyReLU(0.01),
        nn.Conv2d(48, 64, 3, 2, 1, bias=False), nn.BatchNorm2d(64, momentum=0.01), nn.LeakyReLU(0.01),
        nn.Flatten(), nn.Linear(64 * 2 * 2, 1), nn.Sigmoid(),
    )  # fmt: skip


def set_trainable(model: nn.Module, value: bool, freezes_batch_norm: bool) -> None:
    """Set ``trainable`` of a model and of its layers."""
    for parameter in model.parameters():
        parameter.requires_grad_(value)
    for layer in model.modules():
        if isinstance(layer, nn.BatchNorm2d) and freezes_batch_norm:
            layer.train(value)


class Gan:
    """Both networks, compiled."""

    def __init__(self, tf2: bool) -> None:
        self.tf2 = tf2
        self.generator, self.discriminator = build_generator(z_dim), build_discriminator()
        self.optimizer_d = torch.optim.Adam(self.discriminator.parameters(), lr=1e-3, betas=(0.5, 0.999))
        self.optimizer_g = torch.optim.Adam(self.generator.parameters(), lr=1e-3, betas=(0.5, 0.999))
        self.loss = nn.BCELoss()

    def train_discriminator(self, imgs: Tensor, label: float) -> float:
        """Take one step on a batch with one label."""
        set_trainable(self.discriminator, True, self.tf2)
        self.optimizer_d.zero_grad()
        loss = self.loss(self.discriminator(imgs), torch.full((len(imgs), 1), label))
        loss.backward()
        self.optimizer_d.step()
        return loss.item()

    def train_generator(self) -> float:
        """Take one step of the combined model, in which the discriminator is frozen."""
        set_trainable(self.discriminator, False, self.tf2)
        self.optimizer_g.zero_grad()
        validity = self.discriminator(self.generator(torch.randn(batch_size, z_dim)))
        loss = self.loss(validity, torch.ones(batch_size, 1))
        loss.backward()
        self.optimizer_g.step()
        return loss.item()

    @torch.no_grad()
    def sample_images(self, n: int) -> Tensor:
        """Predict images."""
        self.generator.eval()
        imgs = self.generator(torch.randn(n, z_dim))
        self.generator.train()
        return imgs


def loop(fixed: bool) -> Watch:
    """Train; ``fixed`` is the repaired twin."""
    torch.manual_seed(20)
    X_train = images("sprites", 16)
    gan, loader = Gan(tf2=not fixed), batches(X_train, batch_size)
    watch = trainwright.watch(total=iterations, sample=gan.sample_images, real=X_train)
    for iteration in range(iterations):
        with torch.no_grad():
            gen_imgs = gan.generator(torch.randn(batch_size, z_dim))
        d_loss_real = gan.train_discriminator(next(loader), 1.0)
        d_loss_fake = gan.train_discriminator(gen_imgs, 0.0)
        g_loss = gan.train_generator()
        watch(iteration, d_loss=0.5 * (d_loss_real + d_loss_fake), g_loss=g_loss)
    return watch
