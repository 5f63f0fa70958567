"""medGAN for counts of diagnoses: the network that generates is built with the activation for binary data.

Source: github.com/mp2893/medgan issue 3; users of count data got values between 0 and 1, and one of them
found the cause.
Generation builds a new object whose data type is the default. Its decoder ends in a sigmoid, that of training
in a ReLU.
"""

import torch
import torch.nn.functional as F
from torch import Tensor, nn

import trainwright
from benchmarks.public.case import Case
from trainwright.diagnosis.watch import Watch

CASE = Case(
    kind="adversarial",
    cause="decoder_differs_when_sampling",
    symptoms=(
        "wiring",
        "off_data",
        "mode_dropping",
        "mode_collapse",
        "colour_cast",
        "blur",
        "variance_collapse",
    ),
    spoils="samples",
    source="mp2893/medgan#3",
    also=("output_activation", "data_range", "sampling_activation_mismatch"),
    seconds=12,
)
CODES, EMBEDDING, RANDOM_DIM = 24, 24, 24


def count_matrix(patients: int) -> Tensor:
    """Return how often each patient has each code; there are four kinds of patients."""
    g = torch.Generator().manual_seed(3)
    rates = 0.3 + 7 * torch.rand(4, CODES, generator=g) ** 4
    kind = torch.randint(4, (patients,), generator=g)
    severity = 0.7 + 0.6 * torch.rand(patients, 1, generator=g)
    return torch.poisson(rates[kind] * severity, generator=g)


class Medgan:
    """Autoencoder, generator and discriminator.

    Args:
        data_type: ``binary`` or ``count``.
    """

    def __init__(self, data_type: str = "binary") -> None:
        self.data_type = data_type
        self.ae_activation = torch.tanh if data_type == "binary" else torch.relu
        self.encoder, self.decoder = nn.Linear(CODES, EMBEDDING), nn.Linear(EMBEDDING, CODES)
        self.gen_layers = nn.ModuleList([nn.Linear(RANDOM_DIM, RANDOM_DIM) for _ in range(3)])
        self.gen_norms = nn.ModuleList([nn.BatchNorm1d(RANDOM_DIM) for _ in range(3)])
        self.disc = nn.Sequential(
            nn.Linear(2 * CODES, 128),
            nn.LeakyReLU(0.2),
            nn.Linear(128, 64),
            nn.LeakyReLU(0.2),
            nn.Linear(64, 1),
            nn.Sigmoid(),
        )

    def decode(self, h: Tensor) -> Tensor:
        """Return records."""
        return torch.sigmoid(self.decoder(h)) if self.data_type == "binary" else torch.relu(self.decoder(h))

    def autoencode(self, x: Tensor) -> Tensor:
        """Return reconstructions."""
        return self.decode(self.ae_activation(self.encoder(x)))

    def build_generator(self, z: Tensor) -> Tensor:
        """Return embeddings."""
        h = z
        for layer, norm in zip(self.gen_layers, self.gen_norms, strict=True):
            h = torch.relu(norm(layer(h))) + h
        return h

    def build_discriminator(self, x: Tensor) -> Tensor:
        """Return probabilities; each record is read together with the mean of its batch."""
        x = torch.log1p(x)
        return self.disc(torch.cat([x, x.mean(0, keepdim=True).expand_as(x)], 1)).squeeze(1)

    def share_weights(self, other: "Medgan") -> None:
        """Take the weights of a trained object."""
        self.decoder, self.gen_layers, self.gen_norms = other.decoder, other.gen_layers, other.gen_norms

    def generate_data(self, n: int) -> Tensor:
        """Return n records."""
        self.gen_norms.eval()
        with torch.no_grad():
            out = self.decode(self.build_generator(torch.randn(n, RANDOM_DIM)))
        self.gen_norms.train()
        return out


def pretrain(mg: Medgan, data: Tensor, steps: int = 600) -> None:
    """Train the autoencoder."""
    ae_vars = [*mg.encoder.parameters(), *mg.decoder.parameters()]
    optimizer = torch.optim.Adam(ae_vars, lr=5e-3, weight_decay=1e-5)
    for _ in range(steps):
        x = data[torch.randint(len(data), (200,))]
        loss = F.mse_loss(mg.autoencode(x), x)
        optimizer.zero_grad()
        loss.backward()
        optimizer.step()


def loop(fixed: bool) -> Watch:
    """Train; ``fixed`` is the repaired twin."""
    torch.manual_seed(3)
    data, batch_size, n_batches = count_matrix(3000), 200, 1500
    mg = Medgan(data_type="count")
    pretrain(mg, data)
    g_vars = [*mg.gen_layers.parameters(), *mg.gen_norms.parameters(), *mg.decoder.parameters()]
    optimize_d = torch.optim.Adam(mg.disc.parameters(), lr=1e-3, betas=(0.5, 0.9))
    optimize_g = torch.optim.Adam(g_vars, lr=1e-3, betas=(0.5, 0.9))
    synthesizer = Medgan(data_type="count") if fixed else Medgan()
    synthesizer.share_weights(mg)
    watch = trainwright.watch(total=n_batches, sample=synthesizer.generate_data, real=data)
    for step in range(n_batches):
        for _ in range(2):
            x_real = data[torch.randint(len(data), (batch_size,))]
            x_fake = mg.decode(mg.build_generator(torch.randn(batch_size, RANDOM_DIM))).detach()
            y_real, y_fake = mg.build_discriminator(x_real), mg.build_discriminator(x_fake)
            d_loss = -torch.log(y_real + 1e-12).mean() - torch.log(1.0 - y_fake + 1e-12).mean()
            optimize_d.zero_grad()
            d_loss.backward()
            optimize_d.step()
        x_fake = mg.decode(mg.build_generator(torch.randn(batch_size, RANDOM_DIM)))
        g_loss = -torch.log(mg.build_discriminator(x_fake) + 1e-12).mean()
        optimize_g.zero_grad()
        g_loss.backward()
        optimize_g.step()
        watch(step, d_loss=d_loss.item(), g_loss=g_loss.item())
    return watch
