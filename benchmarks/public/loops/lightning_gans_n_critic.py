"""Lightning WGAN: ``optimizer_idx % n_critic`` lets the generator train at every step.

Source: github.com/nocotan/pytorch-lightning-gans issue 7; its author agreed.
The number of the optimizer is tested instead of the batch's. The critic gets one step for each of the generator's, not five.
"""

import logging
import warnings

import pytorch_lightning as pl
import torch
from torch import Tensor
from torch.utils.data import DataLoader, TensorDataset

from benchmarks.public.case import Case
from benchmarks.public.materials import discriminator, generator, images
from trainwright.diagnosis.watch import Watch
from trainwright.integrations.lightning import DoctorCallback

CASE = Case(
    kind="adversarial",
    cause="too_few_critic_steps",
    symptoms=(
        "wiring",
        "off_data",
        "mode_collapse",
        "oscillation",
        "generator_dominance",
        "discriminator_guessing",
        "spike",
    ),
    spoils="samples",
    source="nocotan/pytorch-lightning-gans#7",
)


class WGAN(pl.LightningModule):
    """WGAN with clipped weights, and manual optimization."""

    def __init__(self, count_batches: bool) -> None:
        super().__init__()
        self.automatic_optimization, self.count_batches = False, count_batches
        self.generator, self.discriminator = generator(width=16), discriminator(width=16, norm=False)

    def training_step(self, batch: list[Tensor], batch_idx: int) -> None:
        """Train on one batch."""
        (imgs,) = batch
        n_critic, clip_value = 5, 0.03
        for optimizer_idx, optimizer in enumerate(self.optimizers()):
            z = torch.randn(len(imgs), 64)
            if optimizer_idx == 0 and (batch_idx if self.count_batches else optimizer_idx) % n_critic == 0:
                g_loss = -self.discriminator(self.generator(z)).mean()
                optimizer.zero_grad()
                self.manual_backward(g_loss)
                optimizer.step()
                self.log("g_loss", g_loss)
            if optimizer_idx == 1:
                d_loss = self.discriminator(self.generator(z).detach()).mean() - self.discriminator(imgs).mean()
                optimizer.zero_grad()
                self.manual_backward(d_loss)
                optimizer.step()
                for p in self.discriminator.parameters():
                    p.data.clamp_(-clip_value, clip_value)
                self.log("d_loss", d_loss)

    def configure_optimizers(self) -> list[torch.optim.Optimizer]:
        """Make the optimizers."""
        return [
            torch.optim.RMSprop(self.generator.parameters(), 2e-3),
            torch.optim.RMSprop(self.discriminator.parameters(), 3e-4),
        ]


def loop(fixed: bool) -> Watch:
    """Train; ``fixed`` is the repaired twin."""
    logging.getLogger("pytorch_lightning").setLevel(logging.ERROR)
    warnings.filterwarnings("ignore", module="pytorch_lightning")
    torch.manual_seed(7)
    x, model = images("sprites"), WGAN(count_batches=fixed)
    doctor = DoctorCallback(sample=lambda n: model.generator(torch.randn(n, 64)), real=x)
    trainer = pl.Trainer(
        max_epochs=18, accelerator="cpu", callbacks=[doctor], logger=False, enable_checkpointing=False, enable_progress_bar=False,
        enable_model_summary=False,
    )  # fmt: skip
    trainer.fit(model, DataLoader(TensorDataset(x), 16, shuffle=True, drop_last=True))
    assert doctor.watch is not None
    return doctor.watch
