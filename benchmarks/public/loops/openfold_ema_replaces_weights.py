"""Lightning with an EMA: after each validation the training weights stay those of the average.

Source: github.com/aqlaboratory/openfold pull request 90.
The weights are kept with ``state_dict()``, which holds references. Loading the average overwrites them, so the restore does nothing.
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
    kind="prediction",
    cause="ema_replaces_weights",
    symptoms=("wiring", "slow", "plateau", "oscillation", "spike", "ema_lag"),
    spoils="training",
    source="aqlaboratory/openfold#90",
    also=("ema_too_slow",),
)


class Wrapper(pl.LightningModule):
    """Predicts an image from its average over 4 by 4 pixels."""

    def __init__(self, copy: bool, decay: float = 0.99) -> None:
        super().__init__()
        self.copy, self.decay = copy, decay
        self.model = nn.Sequential(
            nn.Conv2d(3, 32, 3, 1, 1), nn.LeakyReLU(0.2), nn.Conv2d(32, 96, 3, 1, 1), nn.PixelShuffle(2), nn.LeakyReLU(0.2),
            nn.Conv2d(24, 48, 3, 1, 1), nn.PixelShuffle(2), nn.LeakyReLU(0.2), nn.Conv2d(12, 3, 3, 1, 1),
        )  # fmt: skip
        self.ema = {k: v.clone() for k, v in self.model.state_dict().items()}

    def loss(self, batch: list[Tensor]) -> Tensor:
        """Return the error of the prediction."""
        return F.mse_loss(self.model(F.avg_pool2d(batch[0], 4)), batch[0])

    def training_step(self, batch: list[Tensor], batch_idx: int) -> Tensor:
        """Train on one batch."""
        loss = self.loss(batch)
        self.log("train_loss", loss)
        return loss

    def validation_step(self, batch: list[Tensor], batch_idx: int) -> None:
        """Validate on one batch."""
        self.log("val_loss", self.loss(batch))

    def on_train_batch_end(self, outputs: object, batch: list[Tensor], batch_idx: int) -> None:
        """Update the average."""
        with torch.no_grad():
            for name, value in self.model.state_dict().items():
                self.ema[name].lerp_(value, 1 - self.decay)

    def on_validation_epoch_start(self) -> None:
        """Load the average."""
        cached = self.model.state_dict()
        self.cached_weights = {k: v.clone() for k, v in cached.items()} if self.copy else cached
        self.model.load_state_dict(self.ema)

    def on_validation_epoch_end(self) -> None:
        """Put the training weights back."""
        self.model.load_state_dict(self.cached_weights)

    def configure_optimizers(self) -> torch.optim.Optimizer:
        """Make the optimizers."""
        return torch.optim.Adam(self.model.parameters(), 1e-3)


def loop(fixed: bool) -> Watch:
    """Train; ``fixed`` is the repaired twin."""
    logging.getLogger("pytorch_lightning").setLevel(logging.ERROR)
    warnings.filterwarnings("ignore", module="pytorch_lightning")
    torch.manual_seed(13)
    x, model, doctor = images("sprites"), Wrapper(copy=fixed), DoctorCallback()
    trainer = pl.Trainer(
        max_epochs=24, accelerator="cpu", callbacks=[doctor], logger=False, enable_checkpointing=False, enable_progress_bar=False,
        enable_model_summary=False, num_sanity_val_steps=0,
    )  # fmt: skip
    train, val = (
        DataLoader(TensorDataset(part), 32, shuffle=shuffle) for part, shuffle in ((x[:850], True), (x[850:], False))
    )
    trainer.fit(model, train, val)
    assert doctor.watch is not None
    return doctor.watch
