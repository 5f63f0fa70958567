"""Lightning VQ-VAE: the learning rate is too high.

Source: github.com/AntixK/PyTorch-VAE issue 71.
With 0.005, codes and outputs of the encoder run away from each other, and the loss reaches a million. With 0.001 the model trains well.
The higher rate here fits a smaller network.
"""

import logging
import warnings

import pytorch_lightning as pl
import torch
import torch.nn.functional as F
from torch import Tensor, nn
from torch.utils.data import DataLoader, TensorDataset

from benchmarks.public.case import Case
from benchmarks.public.materials import images
from trainwright.diagnosis.watch import Watch
from trainwright.integrations.lightning import DoctorCallback

CASE = Case(
    kind="variational",
    cause="lr_too_high",
    symptoms=(
        "exploding",
        "spike",
        "oscillation",
        "codebook_collapse",
        "loss_imbalance",
        "unbounded_loss",
        "off_data",
        "plateau",
    ),
    spoils="reconstructions",
    source="AntixK/PyTorch-VAE#71",
)


class Residual(nn.Module):
    """Residual block of two convolutions."""

    def __init__(self, width: int) -> None:
        super().__init__()
        self.block = nn.Sequential(nn.Conv2d(width, width, 3, 1, 1), nn.ReLU(), nn.Conv2d(width, width, 1))

    def forward(self, x: Tensor) -> Tensor:
        """Return the sum of input and block."""
        return x + self.block(x)


class VQVAE(pl.LightningModule):
    """VQ-VAE with 64 codes of 16 numbers."""

    def __init__(self, lr: float, codes: int = 64, dim: int = 16, width: int = 32) -> None:
        super().__init__()
        self.lr, self.codes = lr, codes
        act = nn.LeakyReLU()
        self.encoder = nn.Sequential(
            nn.Conv2d(3, width, 4, 2, 1), act, nn.Conv2d(width, width, 4, 2, 1), act, nn.Conv2d(width, width, 3, 1, 1), act,
            Residual(width), Residual(width), Residual(width), act, nn.Conv2d(width, dim, 1), act,
        )  # fmt: skip
        self.decoder = nn.Sequential(
            nn.Conv2d(dim, width, 3, 1, 1), act, Residual(width), Residual(width), Residual(width), act,
            nn.ConvTranspose2d(width, width, 4, 2, 1), act, nn.ConvTranspose2d(width, 3, 4, 2, 1), nn.Tanh(),
        )  # fmt: skip
        self.embedding = nn.Embedding(codes, dim)
        nn.init.uniform_(self.embedding.weight, -1 / codes, 1 / codes)
        self.register_buffer("usage", torch.ones(codes))

    @torch.no_grad()
    def sample(self, n: int) -> Tensor:
        """Decode codes drawn as often as they are used."""
        ids = torch.multinomial(self.usage, n * 16, replacement=True)
        return self.decoder(self.embedding(ids).view(n, 4, 4, -1).permute(0, 3, 1, 2))

    def training_step(self, batch: list[Tensor], batch_idx: int) -> Tensor:
        """Train on one batch."""
        (real_img,) = batch
        latents = self.encoder(real_img).permute(0, 2, 3, 1)
        ids = torch.cdist(latents.reshape(-1, latents.shape[-1]), self.embedding.weight).argmin(1)
        self.usage.mul_(0.95).add_(0.05 * torch.bincount(ids, minlength=self.codes))
        quantized = self.embedding(ids).view_as(latents)
        vq_loss = 0.25 * F.mse_loss(quantized.detach(), latents) + F.mse_loss(quantized, latents.detach())
        recons = self.decoder((latents + (quantized - latents).detach()).permute(0, 3, 1, 2))
        recons_loss = F.mse_loss(recons, real_img)
        loss = recons_loss + vq_loss
        self.log_dict({"loss": loss, "Reconstruction_Loss": recons_loss, "VQ_Loss": vq_loss})
        return loss

    def configure_optimizers(self) -> torch.optim.Optimizer:
        """Make the optimizer."""
        return torch.optim.Adam(self.parameters(), self.lr)


def loop(fixed: bool) -> Watch:
    """Train; ``fixed`` is the repaired twin."""
    logging.getLogger("pytorch_lightning").setLevel(logging.ERROR)
    warnings.filterwarnings("ignore", module="pytorch_lightning")
    torch.manual_seed(1265)
    x, model = images("sprites", background=255), VQVAE(lr=0.001 if fixed else 0.05)
    doctor = DoctorCallback(sample=model.sample, real=x)
    trainer = pl.Trainer(
        max_epochs=30, accelerator="cpu", callbacks=[doctor], logger=False, enable_checkpointing=False, enable_progress_bar=False,
        enable_model_summary=False,
    )  # fmt: skip
    trainer.fit(model, DataLoader(TensorDataset(x), 64, shuffle=True, drop_last=True))
    assert doctor.watch is not None
    return doctor.watch
