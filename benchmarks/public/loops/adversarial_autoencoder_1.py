"""Semi-supervised adversarial autoencoder: the discriminator of categories is asked to call encoded categories real, too.

Source: github.com/Naresh1318/Adversarial_Autoencoder issue 1, closed; its author corrected it.
Both of its terms have ones as labels, so it says yes to everything, and nothing makes the encoded categories look like one-hot vectors.
"""

import torch
import torch.nn.functional as F
from torch import Tensor, nn

import trainwright
from benchmarks.public.case import Case
from benchmarks.public.materials import batches, images, mlp
from trainwright.diagnosis.watch import Watch

CASE = Case(
    kind="adversarial",
    cause="labels_do_not_oppose",
    symptoms=(
        "wiring",
        "vanishing_losses",
        "dead_critic",
        "generator_dominance",
        "discriminator_guessing",
        "off_data",
        "blur",
        "mode_dropping",
    ),
    spoils="nothing visible",
    source="Naresh1318/Adversarial_Autoencoder#1",
    seconds=13,
)
Z_DIM, N_LABELS, N_LABELED = 12, 10, 100


def loop(fixed: bool) -> Watch:
    """Train; ``fixed`` is the repaired twin."""
    torch.manual_seed(1)
    x = (images("sprites", background=255) + 1) / 2
    brightness = x.mean((1, 2, 3))
    labels = torch.bucketize(brightness, brightness.quantile(torch.arange(1, N_LABELS) / N_LABELS))
    encoder, decoder = mlp(768, 256, 256, Z_DIM + N_LABELS), mlp(Z_DIM + N_LABELS, 256, 256, 768, last=nn.Sigmoid())
    disc_g, disc_c = mlp(Z_DIM, 128, 128, 1), mlp(N_LABELS, 128, 128, 1)
    ae_opt = torch.optim.Adam([*encoder.parameters(), *decoder.parameters()], 1e-3)
    dg_opt = torch.optim.Adam(disc_g.parameters(), 2e-4, betas=(0.5, 0.999))
    dc_opt = torch.optim.Adam(disc_c.parameters(), 2e-4, betas=(0.5, 0.999))
    gen_opt = torch.optim.Adam(encoder.parameters(), 2e-4, betas=(0.5, 0.999))
    sup_opt = torch.optim.Adam(encoder.parameters(), 1e-3)

    def encode(images_: Tensor) -> tuple[Tensor, Tensor]:
        h = encoder(images_.flatten(1))
        return h[:, :Z_DIM], h[:, Z_DIM:]

    def cross_entropy(scores: Tensor, target: float) -> Tensor:
        return F.binary_cross_entropy_with_logits(scores, torch.full_like(scores, target))

    def categories(n: int) -> Tensor:
        return F.one_hot(torch.randint(N_LABELS, (n,)), N_LABELS).float()

    def sample(n: int) -> Tensor:
        with torch.no_grad():
            return decoder(torch.cat([torch.randn(n, Z_DIM), categories(n)], 1)).view(n, 3, 16, 16)

    watch = trainwright.watch(total=1200, sample=sample, real=x)
    for step, batch_x in zip(range(1200), batches(x, 64), strict=False):
        z, c = encode(batch_x)
        autoencoder_loss = F.mse_loss(decoder(torch.cat([z, c.softmax(1)], 1)), batch_x.flatten(1))
        ae_opt.zero_grad()
        autoencoder_loss.backward()
        ae_opt.step()

        with torch.no_grad():
            z, c = encode(batch_x)
        dc_g_loss = cross_entropy(disc_g(torch.randn_like(z)), 1.0) + cross_entropy(disc_g(z), 0.0)
        dg_opt.zero_grad()
        dc_g_loss.backward()
        dg_opt.step()
        dc_c_loss = cross_entropy(disc_c(categories(len(z))), 1.0) + cross_entropy(
            disc_c(c.softmax(1)), 0.0 if fixed else 1.0
        )
        dc_opt.zero_grad()
        dc_c_loss.backward()
        dc_opt.step()

        z, c = encode(batch_x)
        generator_loss = cross_entropy(disc_g(z), 1.0) + cross_entropy(disc_c(c.softmax(1)), 1.0)
        gen_opt.zero_grad()
        generator_loss.backward()
        gen_opt.step()

        chosen = torch.randint(N_LABELED, (64,))
        supervised_loss = F.cross_entropy(encode(x[chosen])[1], labels[chosen])
        sup_opt.zero_grad()
        supervised_loss.backward()
        sup_opt.step()
        watch(
            step, autoencoder_loss=autoencoder_loss, dc_g_loss=dc_g_loss, dc_c_loss=dc_c_loss, generator_loss=generator_loss,
            supervised_loss=supervised_loss,
        )  # fmt: skip
    return watch
