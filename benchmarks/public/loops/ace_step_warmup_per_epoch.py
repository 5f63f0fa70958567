"""Lightning flow matching: the warm-up counts steps, but the scheduler is stepped once an epoch.

Source: github.com/ace-step/ACE-Step pull request 198.
Without ``"interval": "step"`` Lightning steps a scheduler after every epoch. The warm-up of 200 steps would take 200 epochs.
"""

import logging
import warnings

import pytorch_lightning as pl
import torch
import torch.nn.functional as F
from torch import Tensor
from torch.utils.data import DataLoader, TensorDataset

from benchmarks.public.case import Case
from benchmarks.public.materials import Denoiser, images
from trainwright.diagnosis.watch import Watch
from trainwright.integrations.lightning import DoctorCallback

CASE = Case(
    kind="diffusion",
    cause="lr_too_low",
    symptoms=("wiring", "off_data", "slow", "plateau", "blur"),
    spoils="samples",
    source="ace-step/ACE-Step#198",
)


class Pipeline(pl.LightningModule):
    """Velocity network from noise to images."""

    def __init__(self, interval: str, warmup_steps: int = 200) -> None:
        super().__init__()
        self.interval, self.warmup_steps = interval, warmup_steps
        self.transformers = Denoiser(total=1)

    def training_step(self, batch: list[Tensor], batch_idx: int) -> Tensor:
        """Train on one batch."""
        (target,) = batch
        t, noise = torch.rand(len(target)), torch.randn_like(target)
        mixed = torch.lerp(noise, target, t[:, None, None, None])
        loss = F.mse_loss(self.transformers(mixed, t), target - noise)
        self.log("train/loss", loss)
        return loss

    def configure_optimizers(self) -> tuple[list[torch.optim.Optimizer], list[dict[str, object]]]:
        """Make the optimizers."""
        optimizer = torch.optim.AdamW(self.transformers.parameters(), 2e-3)
        scheduler = torch.optim.lr_scheduler.LambdaLR(optimizer, lambda step: min(1.0, (step + 1) / self.warmup_steps))
        return [optimizer], [{"scheduler": scheduler, "interval": self.interval}]

    def generate(self, n: int) -> Tensor:
        """Draw n images with Euler steps."""
        x = torch.randn(n, 3, 8, 8)
        for i in range(20):
            x = x + self.transformers(x, torch.full((n,), i / 20)) / 20
        return x.clamp(-1, 1)


def loop(fixed: bool) -> Watch:
    """Train; ``fixed`` is the repaired twin."""
    logging.getLogger("pytorch_lightning").setLevel(logging.ERROR)
    warnings.filterwarnings("ignore", module="pytorch_lightning")
    torch.manual_seed(12)
    x, model = images("sprites", 8), Pipeline("step" if fixed else "epoch")
    doctor = DoctorCallback(sample=model.generate, real=x)
    trainer = pl.Trainer(
        max_epochs=15, accelerator="cpu", callbacks=[doctor], logger=False, enable_checkpointing=False, enable_progress_bar=False,
        enable_model_summary=False,
    )  # fmt: skip
    trainer.fit(model, DataLoader(TensorDataset(x), 32, shuffle=True, drop_last=True))
    assert doctor.watch is not None
    return doctor.watch
