"""VAE that takes an appliance out of the mains: every level of the decoder calls the first deconvolution.

Source: github.com/Virtsionis/torch-nilm issue 13, confirmed by the author; with its own layer for each level, the loss fell well.
One layer serves all resolutions, and those that were made for the other levels are never called.
"""

import torch
import torch.nn.functional as F
from torch import Tensor, nn

import trainwright
from benchmarks.public.case import Case
from benchmarks.public.materials import batches, kl_nats
from trainwright.diagnosis.watch import Watch

CASE = Case(
    kind="variational",
    cause="layer_used_twice",
    symptoms=("wiring", "frozen_network", "plateau", "slow", "blur", "off_data"),
    spoils="nothing visible",
    source="Virtsionis/torch-nilm#13",
    also=("not_trained", "parameters_shared"),
    seconds=10,
)
WINDOW, C, K = 64, 16, 8


def mains_and_appliance(rows: int) -> tuple[Tensor, Tensor]:
    """Return windows of the whole power and of one appliance's power, scaled to about 1."""
    g = torch.Generator().manual_seed(13)
    t = torch.arange(WINDOW)[None].float()

    def pulses(shortest: int, longest: int, height: float) -> Tensor:
        start = torch.rand(rows, 1, generator=g) * (WINDOW + 20) - 20
        length = shortest + torch.rand(rows, 1, generator=g) * (longest - shortest)
        level = height * (0.8 + 0.4 * torch.rand(rows, 1, generator=g))
        return level * ((t >= start) & (t < start + length)).float()

    start = torch.rand(rows, 1, generator=g) * WINDOW * 0.7
    rest = (t - start).clamp(min=0)
    washer = (t >= start).float() * (
        torch.exp(-rest / 12) + 0.3 * (torch.sin(rest * 1.2) > 0).float() * (rest < 24).float()
    )
    others = pulses(6, 20, 0.7) + pulses(20, 60, 0.4) + pulses(3, 6, 1.0)
    return washer + others + 0.02 * torch.randn(rows, WINDOW, generator=g), washer


class ConvBlock(nn.Module):
    """Two convolutions; returns their output and its half."""

    def __init__(self, inputs: int) -> None:
        super().__init__()
        self.conv1, self.conv2 = nn.Conv1d(inputs, C, 5, 1, 2), nn.Conv1d(C, C, 3, 1, 1)

    def forward(self, x: Tensor) -> tuple[Tensor, Tensor]:
        """Return the output, and the pooled output."""
        h = F.relu(self.conv2(F.relu(self.conv1(x))))
        return h, F.max_pool1d(h, 2)


class VAE(nn.Module):
    """Encoder, latent code and decoder."""

    def __init__(self, fixed: bool) -> None:
        super().__init__()
        self.fixed = fixed
        self.conv_seq1, self.conv_seq2, self.conv_seq3, self.conv_seq4 = (
            ConvBlock(1),
            ConvBlock(C),
            ConvBlock(C),
            ConvBlock(C),
        )
        self.dense, self.decoder = nn.Linear(C * WINDOW // 8, 2 * K), nn.Linear(K, C * WINDOW // 8)
        self.dconv_seq4, self.dconv_seq5, self.dconv_seq6, self.dconv_seq7 = (
            ConvBlock(C),
            ConvBlock(C),
            ConvBlock(C),
            ConvBlock(C),
        )
        self.deconv1 = nn.ConvTranspose1d(C, C, 2, 2)
        self.deconv2 = nn.ConvTranspose1d(C, C, 2, 2)
        self.deconv3 = nn.ConvTranspose1d(C, C, 2, 2)
        self.outputs = nn.Conv1d(C, 1, 3, 1, 1)

    def forward(self, x: Tensor) -> tuple[Tensor, Tensor, Tensor]:
        """Return the appliance's power, and mean and log-variance."""
        h = x.unsqueeze(1)
        for block in (self.conv_seq1, self.conv_seq2, self.conv_seq3):
            h = block(h)[1]
        h, _ = self.conv_seq4(h)
        mu, logvar = self.dense(h.flatten(1)).chunk(2, 1)
        z = mu + (0.5 * logvar).exp() * torch.randn_like(mu)
        second, third = (self.deconv2, self.deconv3) if self.fixed else (self.deconv1, self.deconv1)
        h, _ = self.dconv_seq4(self.decoder(z).view(len(z), C, -1))
        h, _ = self.dconv_seq5(self.deconv1(h))
        h, _ = self.dconv_seq6(second(h))
        h, _ = self.dconv_seq7(third(h))
        return self.outputs(h).squeeze(1), mu, logvar


def loop(fixed: bool) -> Watch:
    """Train; ``fixed`` is the repaired twin."""
    torch.manual_seed(13)
    mains, meter = mains_and_appliance(3000)
    model = VAE(fixed)
    optimizer = torch.optim.Adam(model.parameters(), lr=2e-3)

    @torch.no_grad()
    def disaggregate(n: int) -> Tensor:
        return model(mains[torch.randint(len(mains), (n,))])[0]

    watch = trainwright.watch(total=1200, sample=disaggregate, real=meter)
    for step, index in zip(range(1200), batches(torch.arange(len(mains)), 64), strict=False):
        output, mu, logvar = model(mains[index])
        mse, kl = F.mse_loss(output, meter[index]), kl_nats(mu, logvar)
        loss = mse + 1e-4 * kl
        optimizer.zero_grad()
        loss.backward()
        optimizer.step()
        watch(step, loss=loss.item(), mse=mse.item(), kl=kl.item())
    return watch
