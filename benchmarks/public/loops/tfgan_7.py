"""Vocoder GAN of short waves from eight numbers: feature matching uses the scores of the discriminator's own step.

Source: github.com/rishikksh20/TFGAN issue 7; solved by the author.
``disc_fake`` was computed from the detached wave for the discriminator; ``disc_fake_g`` is the one with a graph. The
feature matching loss is computed from the wrong one and has no gradient for the generator. What remains, a
discriminator that does not see the condition, only asks for any real wave.
"""

import math

import torch
import torch.nn.functional as F
from torch import Tensor, nn, optim

import trainwright
from benchmarks.public.case import Case
from benchmarks.public.materials import batches, mlp
from trainwright.diagnosis.watch import Watch

CASE = Case(
    kind="adversarial",
    cause="term_without_gradient",
    symptoms=(
        "wiring",
        "loss_imbalance",
        "off_data",
        "mode_collapse",
        "mode_dropping",
        "plateau",
        "critic_dominance",
        "oscillation",
        "over_dispersion",
        "variance_collapse",
    ),
    spoils="samples",
    source="rishikksh20/TFGAN#7",
    also=("term_left_out", "conditioning_ignored", "gradients_of_other_loss"),
    seconds=20,
)
LENGTH = 64


def corpus(n: int = 4000) -> tuple[Tensor, Tensor]:
    """Return conditions (n, 8) and waves (n, 64): a tone and its overtone under an envelope."""
    g = torch.Generator().manual_seed(7)
    t = torch.arange(LENGTH) / LENGTH
    u = torch.rand(n, 5, generator=g)
    pitch, phase, mix, attack, decay = (
        2 + 4 * u[:, :1],
        2 * math.pi * u[:, 1:2],
        u[:, 2:3],
        0.1 + 0.4 * u[:, 3:4],
        1 + 3 * u[:, 4:],
    )
    envelope = (t / attack).clamp(max=1) * torch.exp(-decay * (t - attack).clamp(min=0))
    wave = envelope * (torch.sin(2 * math.pi * pitch * t + phase) + 0.5 * mix * torch.sin(4 * math.pi * pitch * t))
    mel = torch.cat([u[:, :1], phase.sin(), phase.cos(), mix, attack, decay / 4, u[:, :1] ** 2, mix * u[:, :1]], 1)
    return mel, wave / 1.5


class Discriminator(nn.Module):
    """Convolutions on a wave; returns features, scores last."""

    def __init__(self, width: int = 24) -> None:
        super().__init__()
        self.layers = nn.ModuleList(
            [
                nn.Sequential(nn.Conv1d(1, width, 7, 1, 3), nn.LeakyReLU(0.2)),
                nn.Sequential(nn.Conv1d(width, width, 7, 2, 3), nn.LeakyReLU(0.2)),
                nn.Sequential(nn.Conv1d(width, 2 * width, 7, 4, 3), nn.LeakyReLU(0.2)),
                nn.Conv1d(2 * width, 1, 5, 1, 2),
            ]
        )

    def forward(self, x: Tensor) -> list[Tensor]:
        """Return features of waves (n, 64)."""
        out, h = [], x[:, None]
        for layer in self.layers:
            h = layer(h)
            out.append(h)
        return out


def loop(fixed: bool) -> Watch:
    """Train; ``fixed`` is the repaired twin."""
    torch.manual_seed(7)
    mels, audios = corpus()
    data = torch.cat([mels, audios], 1)
    generator, discriminator = mlp(8, 128, 128, 128, LENGTH, last=nn.Tanh()), Discriminator()
    optim_g = optim.Adam(generator.parameters(), lr=1e-3, betas=(0.5, 0.9))
    optim_d = optim.Adam(discriminator.parameters(), lr=2e-4, betas=(0.5, 0.9))
    loader, steps, feat_match = batches(data[:-500], 64), 1500, 10.0

    @torch.no_grad()
    def synthesize(n: int) -> Tensor:
        return generator(mels[-n:])

    watch = trainwright.watch(total=steps, sample=synthesize, real=audios[-500:])
    for step in range(steps):
        melG, audioG = next(loader).split([8, LENGTH], 1)
        fake_audio = generator(melG)
        disc_fake, disc_real = discriminator(fake_audio.detach()), discriminator(audioG)
        loss_d = ((disc_real[-1] - 1) ** 2).mean() + (disc_fake[-1] ** 2).mean()
        optim_d.zero_grad()
        loss_d.backward()
        optim_d.step()
        disc_fake_g = discriminator(fake_audio)
        adv_loss = ((disc_fake_g[-1] - 1) ** 2).mean()
        with torch.no_grad():
            disc_real = discriminator(audioG)
        feats = disc_fake_g if fixed else [f.detach() for f in disc_fake]
        feat_loss = sum(F.l1_loss(f, r) for f, r in zip(feats[:-1], disc_real[:-1], strict=True))
        optim_g.zero_grad()
        (adv_loss + feat_match * feat_loss).backward()
        optim_g.step()
        watch(step, loss_d=loss_d.item(), adv_loss=adv_loss.item(), feat_loss=feat_loss.item())
    return watch
