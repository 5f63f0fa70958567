"""Conditional VAE of head movements for sounds and speakers: the log-variance comes from the layer of the means.

Source: github.com/OpenTalker/SadTalker issue 969.
Mean and log-variance are the same numbers. Only codes far below zero are sharp, so codes miss the prior, and drawn movements are off.
"""

from types import SimpleNamespace

import torch
from torch import Tensor, nn
from torch.nn import functional as F

import trainwright
from benchmarks.public.case import Case
from trainwright.diagnosis.watch import Watch

CASE = Case(
    kind="variational",
    cause="layer_used_twice",
    symptoms=("wiring", "prior_hole", "posterior_collapse", "off_data", "mode_dropping", "plateau"),
    spoils="samples",
    source="OpenTalker/SadTalker#969",
    also=("parameters_not_optimized", "not_trained", "outputs_identical"),
    seconds=20,
)

CFG = SimpleNamespace(SEQ_LEN=16, LATENT=8, CLASSES=4, AUDIO=6, HIDDEN=160, LAMBDA_KL=0.02, LR=1e-3, BATCH=64)


def recordings(n: int, seed: int = 0) -> tuple[Tensor, Tensor, Tensor, Tensor]:
    """Return movements (n, time, 6), sounds (n, time, 6), speakers (n,) and first poses (n, 6)."""
    g = torch.Generator().manual_seed(seed)
    t = torch.linspace(0, 1, CFG.SEQ_LEN)
    speaker = torch.randint(CFG.CLASSES, (n,), generator=g)
    loud = torch.rand(n, 1, generator=g) * (1 + torch.sin(6.3 * (t + torch.rand(n, 1, generator=g)))) / 2
    sound = torch.stack([loud, loud.square(), loud.diff(dim=1, prepend=loud[:, :1])], 2)
    sound = torch.cat([sound, 0.1 * torch.randn(n, CFG.SEQ_LEN, 3, generator=g)], 2)
    speed, style = 1.0 + speaker, torch.linspace(-0.5, 0.5, CFG.CLASSES)[speaker]
    phase, size = torch.rand(n, 2, generator=g), 0.4 + 0.4 * torch.rand(n, 2, generator=g)
    side = torch.where(torch.rand(n, generator=g) < 0.5, -1.0, 1.0)
    nod = size[:, :1] * torch.sin(6.3 * (speed[:, None] * t / 2 + phase[:, :1])) + loud
    turn = side[:, None] * (0.3 + size[:, 1:] * t) + style[:, None]
    roll = 0.3 * torch.cos(6.3 * (t + phase[:, 1:])) * side[:, None]
    pose = torch.stack([nod, turn, roll, 0.5 * turn, 0.5 * nod + style[:, None], roll * nod], 2)
    return pose - pose[:, :1], sound, speaker, pose[:, 0]


class Encoder(nn.Module):
    """Movements and conditions to mean and log-variance."""

    def __init__(self, cfg: SimpleNamespace) -> None:
        super().__init__()
        self.linear_audio = nn.Linear(cfg.AUDIO, 4)
        self.classbias = nn.Parameter(torch.randn(cfg.CLASSES, cfg.LATENT))
        size = cfg.SEQ_LEN * 10 + cfg.LATENT + 6
        self.MLP = nn.Sequential(nn.Linear(size, cfg.HIDDEN), nn.ReLU(), nn.Linear(cfg.HIDDEN, cfg.HIDDEN), nn.ReLU())
        self.linear_means = nn.Linear(cfg.HIDDEN, cfg.LATENT)
        self.linear_logvar = nn.Linear(cfg.HIDDEN, cfg.LATENT)

    def forward(self, batch: dict[str, Tensor], fixed: bool) -> tuple[Tensor, Tensor]:
        """Return mean and log-variance."""
        audio_out = self.linear_audio(batch["audio_emb"]).flatten(1)
        x_in = [batch["ref"], batch["pose_motion_gt"].flatten(1), audio_out, self.classbias[batch["class"]]]
        x_out = self.MLP(torch.cat(x_in, dim=-1))
        mu = self.linear_means(x_out)
        logvar = self.linear_logvar(x_out) if fixed else self.linear_means(x_out)
        return mu, logvar


class Decoder(nn.Module):
    """Codes and conditions to movements."""

    def __init__(self, cfg: SimpleNamespace) -> None:
        super().__init__()
        self.seq_len, self.linear_audio = cfg.SEQ_LEN, nn.Linear(cfg.AUDIO, 4)
        self.classbias = nn.Parameter(torch.randn(cfg.CLASSES, cfg.LATENT))
        size = cfg.SEQ_LEN * 4 + cfg.LATENT + 6
        self.MLP = nn.Sequential(
            nn.Linear(size, cfg.HIDDEN), nn.ReLU(), nn.Linear(cfg.HIDDEN, cfg.HIDDEN), nn.ReLU(),
            nn.Linear(cfg.HIDDEN, cfg.SEQ_LEN * 6),
        )  # fmt: skip

    def forward(self, z: Tensor, batch: dict[str, Tensor]) -> Tensor:
        """Return movements (n, time, 6)."""
        audio_out = self.linear_audio(batch["audio_emb"]).flatten(1)
        x_in = torch.cat([batch["ref"], z + self.classbias[batch["class"]], audio_out], dim=-1)
        return self.MLP(x_in).view(len(z), self.seq_len, 6)


class CVAE(nn.Module):
    """Encoder and decoder."""

    def __init__(self, cfg: SimpleNamespace, fixed: bool) -> None:
        super().__init__()
        self.encoder, self.decoder, self.latent_size, self.fixed = Encoder(cfg), Decoder(cfg), cfg.LATENT, fixed

    def forward(self, batch: dict[str, Tensor]) -> tuple[Tensor, Tensor, Tensor]:
        """Return movements, mean and log-variance."""
        mu, logvar = self.encoder(batch, self.fixed)
        z = mu + torch.randn_like(mu) * torch.exp(0.5 * logvar)
        return self.decoder(z, batch), mu, logvar

    @torch.no_grad()
    def test(self, batch: dict[str, Tensor]) -> Tensor:
        """Return movements that are drawn for the conditions."""
        return self.decoder(torch.randn(len(batch["class"]), self.latent_size), batch)


def loop(fixed: bool) -> Watch:
    """Train; ``fixed`` is the repaired twin."""
    torch.manual_seed(969)
    pose, sound, speaker, ref = recordings(4000)

    def load(index: Tensor) -> dict[str, Tensor]:
        return {"pose_motion_gt": pose[index], "audio_emb": sound[index], "class": speaker[index], "ref": ref[index]}

    model = CVAE(CFG, fixed)
    optimizer = torch.optim.Adam(model.parameters(), lr=CFG.LR)
    total = 2000
    watch = trainwright.watch(total=total, sample=lambda n: model.test(load(torch.randint(len(pose), (n,)))), real=pose)
    for step in range(total):
        batch = load(torch.randint(len(pose), (CFG.BATCH,)))
        pose_motion_pred, mu, logvar = model(batch)
        loss_pose = F.mse_loss(pose_motion_pred, batch["pose_motion_gt"], reduction="none").sum((1, 2)).mean()
        loss_kl = (-0.5 * (1 + logvar - mu.pow(2) - logvar.exp())).sum(1).mean()
        loss = loss_pose + CFG.LAMBDA_KL * loss_kl
        optimizer.zero_grad()
        loss.backward()
        optimizer.step()
        watch(step, loss=loss.item(), loss_pose=loss_pose.item(), loss_kl=loss_kl.item())
    return watch
