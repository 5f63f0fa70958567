"""VAE-GAN with classes: the decoder is not given the class that its images are asked to have.

Source: github.com/Ram81/AC-VAEGAN-PyTorch issue 7, corrected in pull request 2.
Images look right, but their class is a matter of chance. The classifier's loss on generated images stays at the logarithm of 2.
"""

import torch
import torch.nn.functional as F
from torch import Tensor, nn

import trainwright
from benchmarks.public.case import Case
from benchmarks.public.materials import batches, images, kl_nats, mlp
from trainwright.diagnosis.watch import Watch

CASE = Case(
    kind="variational",
    cause="conditioning_ignored",
    symptoms=("wiring", "plateau"),
    spoils="nothing visible",
    source="Ram81/AC-VAEGAN-PyTorch#7",
)


class Decoder(nn.Module):
    """Latents (n, 16) and classes (n, 2) -> images (n, 768)."""

    def __init__(self, takes_class: bool) -> None:
        super().__init__()
        self.takes_class, self.net = takes_class, mlp(16 + 2 * takes_class, 128, 256, 768, last=nn.Tanh())

    def forward(self, z: Tensor, one_hot_class: Tensor) -> Tensor:
        """Return images."""
        return self.net(torch.cat([one_hot_class, z], 1) if self.takes_class else z)


class Discriminator(nn.Module):
    """Images (n, 768) -> scores (n,) and classes (n, 2)."""

    def __init__(self) -> None:
        super().__init__()
        self.body, self.score, self.aux = mlp(768, 128, 64, last=nn.LeakyReLU(0.2)), nn.Linear(64, 1), nn.Linear(64, 2)

    def forward(self, x: Tensor) -> tuple[Tensor, Tensor]:
        """Return scores and logits of the classes."""
        h = self.body(x)
        return self.score(h)[:, 0], self.aux(h)


def loop(fixed: bool) -> Watch:
    """Train; ``fixed`` is the repaired twin."""
    torch.manual_seed(8)
    sprites, emoji = images("sprites", background=255), images("emoji", background=255)[:949]
    x, target = torch.cat([sprites, emoji]), torch.arange(2).repeat_interleave(949)
    encoder, decoder, discriminator = mlp(768, 256, 128, 32), Decoder(fixed), Discriminator()
    opt_vae = torch.optim.Adam([*encoder.parameters(), *decoder.parameters()], 1e-3)
    opt_dis = torch.optim.Adam(discriminator.parameters(), 2e-4, betas=(0.5, 0.999))
    bce = F.binary_cross_entropy_with_logits

    def sample(n: int) -> Tensor:
        return decoder(torch.randn(n, 16), F.one_hot(torch.randint(2, (n,)), 2).float()).view(n, 3, 16, 16)

    watch = trainwright.watch(total=800, sample=sample, real=x)
    for step, chosen in zip(range(800), batches(torch.arange(len(x)), 64), strict=False):
        data, aux_label = x[chosen].flatten(1), target[chosen]
        mus, log_variances = encoder(data).chunk(2, 1)
        z = mus + (0.5 * log_variances).exp() * torch.randn_like(mus)
        out = decoder(z, F.one_hot(aux_label, 2).float())
        wanted = torch.randint(2, (len(data),))
        sampled = decoder(torch.randn(len(data), 16), F.one_hot(wanted, 2).float())

        real_score, real_class = discriminator(data)
        fake_score, _ = discriminator(sampled.detach())
        bce_dis = bce(real_score, torch.ones_like(real_score)) + bce(fake_score, torch.zeros_like(fake_score))
        nll_aux_original = F.cross_entropy(real_class, aux_label)
        opt_dis.zero_grad()
        (bce_dis + nll_aux_original).backward()
        opt_dis.step()

        score, classes = discriminator(sampled)
        bce_gen, nll_aux_sampled = bce(score, torch.ones_like(score)), F.cross_entropy(classes, wanted)
        mse = F.mse_loss(out, data, reduction="sum") / len(data)
        kl = kl_nats(mus, log_variances)
        loss_vae = mse + kl + bce_gen + 10 * nll_aux_sampled
        opt_vae.zero_grad()
        loss_vae.backward()
        opt_vae.step()
        watch(
            step, loss_vae=loss_vae, loss_mse=mse, loss_kld=kl, loss_discriminator=bce_dis, loss_generator=bce_gen,
            aux_original=nll_aux_original, aux_sampled=nll_aux_sampled,
        )  # fmt: skip
    return watch
