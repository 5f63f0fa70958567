"""Conditional GAN from edges to photos: the L1 term compares the output with the edges instead of the photo.

Source: github.com/mjdietzx/GAN-Sandbox issue 3; the combined model is fitted to its own input batch.
The generator is paid for handing back its input, and the adversarial term alone cannot outweigh that.
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
    cause="targets_in_input",
    symptoms=(
        "wiring",
        "off_data",
        "trivial_baseline",
        "critic_dominance",
        "colour_cast",
        "blur",
        "mode_collapse",
        "mode_dropping",
    ),
    spoils="samples",
    source="mjdietzx/GAN-Sandbox#3",
    also=("copies_last_frame", "wrong_target"),
    seconds=13,
)


class GeneratorNetwork(nn.Module):
    """Images (n, 3, 16, 16) -> images, with a skip connection."""

    def __init__(self) -> None:
        super().__init__()
        self.enc1, self.enc2, self.enc3 = (
            nn.Conv2d(3, 24, 3, 1, 1),
            nn.Conv2d(24, 48, 4, 2, 1),
            nn.Conv2d(48, 64, 4, 2, 1),
        )
        self.dec1, self.dec2 = nn.ConvTranspose2d(64, 48, 4, 2, 1), nn.ConvTranspose2d(96, 24, 4, 2, 1)
        self.out = nn.Conv2d(48, 3, 3, 1, 1)

    def forward(self, x: Tensor) -> Tensor:
        """Return images."""
        e1 = F.leaky_relu(self.enc1(x), 0.2)
        e2 = F.leaky_relu(self.enc2(e1), 0.2)
        e3 = F.leaky_relu(self.enc3(e2), 0.2)
        d1 = F.leaky_relu(self.dec1(e3), 0.2)
        d2 = F.leaky_relu(self.dec2(torch.cat([d1, e2], 1)), 0.2)
        return torch.tanh(self.out(torch.cat([d2, e1], 1)))


def loop(fixed: bool) -> Watch:
    """Train; ``fixed`` is the repaired twin."""
    torch.manual_seed(3)
    photos = images("sprites", background=255)
    edges = (2 * (photos - F.avg_pool2d(photos, 3, 1, 1, count_include_pad=False))).clamp(-1, 1)
    generator_model, discriminator_model = GeneratorNetwork(), discriminator(channels=6)
    gen_opt = torch.optim.Adam(generator_model.parameters(), lr=1e-3, betas=(0.5, 0.999))
    disc_opt = torch.optim.Adam(discriminator_model.parameters(), lr=2e-4, betas=(0.5, 0.999))
    batch_size, nb_steps, l1_weight = 32, 500, 100.0
    y_real, y_generated = torch.ones(batch_size), torch.zeros(batch_size)

    def train_discriminator(edge_batch: Tensor, photo_batch: Tensor) -> Tensor:
        generated = generator_model(edge_batch).detach()
        real_score = discriminator_model(torch.cat([edge_batch, photo_batch], 1))
        fake_score = discriminator_model(torch.cat([edge_batch, generated], 1))
        loss = F.binary_cross_entropy_with_logits(real_score, y_real) + F.binary_cross_entropy_with_logits(
            fake_score, y_generated
        )
        disc_opt.zero_grad()
        loss.backward()
        disc_opt.step()
        return loss.detach()

    def train_combined(edge_batch: Tensor, target: Tensor) -> tuple[Tensor, Tensor]:
        generated = generator_model(edge_batch)
        score = discriminator_model(torch.cat([edge_batch, generated], 1))
        adversarial, l1 = F.binary_cross_entropy_with_logits(score, y_real), F.l1_loss(generated, target)
        gen_opt.zero_grad()
        (adversarial + l1_weight * l1).backward()
        gen_opt.step()
        return adversarial.detach(), l1.detach()

    @torch.no_grad()
    def predict(n: int) -> Tensor:
        return generator_model(edges[torch.randint(len(edges), (n,))])

    watch = trainwright.watch(total=nb_steps, sample=predict, real=photos)
    for i, index in zip(range(nb_steps), batches(torch.arange(len(photos)), batch_size), strict=False):
        edge_image_batch, real_image_batch = edges[index], photos[index]
        disc_loss = train_discriminator(edge_image_batch, real_image_batch)
        gan_loss, l1_loss = train_combined(edge_image_batch, real_image_batch if fixed else edge_image_batch)
        watch(i, disc_loss=disc_loss, gan_loss=gan_loss, l1_loss=l1_loss)
    return watch
