"""Lightning: samples come from an average with a decay of 0.9999 after a few hundred steps.

Source: github.com/konpatp/diffae issue 16.
The model's own samples look good and the average's are noise. The author: such a short training leaves traces of the initial weights.
"""

import copy
import logging
import warnings

import pytorch_lightning as pl
import torch
import torch.nn.functional as F
from torch import Tensor
from torch.utils.data import DataLoader, TensorDataset

from benchmarks.public.case import Case
from benchmarks.public.materials import Denoiser, alphas, ddim, images, noised
from trainwright.diagnosis.watch import Watch
from trainwright.integrations.lightning import DoctorCallback

CASE = Case(
    kind="diffusion",
    cause="ema_too_slow",
    symptoms=("wiring", "off_data", "ema_lag"),
    spoils="samples",
    source="konpatp/diffae#16",
    also=("trained_too_short",),
)


class LitModel(pl.LightningModule):
    """Diffusion with an averaged network."""

    def __init__(self, ema_decay: float) -> None:
        super().__init__()
        self.ema_decay, self.bar = ema_decay, alphas()
        self.model = Denoiser()
        self.ema_model = copy.deepcopy(self.model).requires_grad_(False)

    def sample(self, n: int) -> Tensor:
        """Return images of the averaged network."""
        return ddim(self.ema_model, n, self.bar)

    def training_step(self, batch: list[Tensor], batch_idx: int) -> Tensor:
        """Train on one batch."""
        (imgs,) = batch
        t, noise = torch.randint(0, 100, (len(imgs),)), torch.randn_like(imgs)
        loss = F.mse_loss(self.model(noised(imgs, noise, self.bar[t]), t), noise)
        self.log("loss", loss)
        return loss

    def on_train_batch_end(self, outputs: object, batch: list[Tensor], batch_idx: int) -> None:
        """Update the average."""
        with torch.no_grad():
            for source, target in zip(self.model.parameters(), self.ema_model.parameters(), strict=True):
                target.mul_(self.ema_decay).add_(source, alpha=1 - self.ema_decay)

    def configure_optimizers(self) -> torch.optim.Optimizer:
        """Make the optimizer."""
        return torch.optim.Adam(self.model.parameters(), 2e-3)


def loop(fixed: bool) -> Watch:
    """Train; ``fixed`` is the repaired twin."""
    logging.getLogger("pytorch_lightning").setLevel(logging.ERROR)
    warnings.filterwarnings("ignore", module="pytorch_lightning")
    torch.manual_seed(6)
    imgs = images("sprites", 8)
    model = LitModel(ema_decay=0.98 if fixed else 0.9999)
    doctor = DoctorCallback(sample=model.sample, real=imgs)
    trainer = pl.Trainer(
        max_steps=600, accelerator="cpu", callbacks=[doctor], logger=False, enable_checkpointing=False,
        enable_progress_bar=False, enable_model_summary=False,
    )  # fmt: skip
    trainer.fit(model, DataLoader(TensorDataset(imgs), 32, shuffle=True, drop_last=True))
    assert doctor.watch is not None
    return doctor.watch
