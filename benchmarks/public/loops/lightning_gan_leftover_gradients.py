"""Lightning GAN: the generator's loss leaves gradients in the discriminator, and its next step uses them.

Source: github.com/Lightning-AI/pytorch-lightning issue 591, corrected in pull request 603; again in issue 6282.
Each optimizer clears its gradients only after its own step. The generator's backward pass fills the discriminator's in between.
"""

import logging
import warnings

import pytorch_lightning as pl
import torch
import torch.nn.functional as F
from torch import Tensor
from torch.utils.data import DataLoader, TensorDataset

from benchmarks.public.case import Case
from benchmarks.public.materials import discriminator, generator, images
from trainwright.diagnosis.watch import Watch
from trainwright.integrations.lightning import DoctorCallback

CASE = Case(
    kind="adversarial",
    cause="gradients_of_other_loss",
    symptoms=(
        "wiring",
        "off_data",
        "mode_collapse",
        "oscillation",
        "discriminator_guessing",
        "generator_undertrained",
        "dead_critic",
    ),
    spoils="nothing visible",
    source="Lightning-AI/pytorch-lightning#591",
    also=("gradients_not_cleared",),
)


class GAN(pl.LightningModule):
    """DCGAN with manual optimization."""

    def __init__(self, clear_first: bool) -> None:
        super().__init__()
        self.automatic_optimization, self.clear_first = False, clear_first
        self.generator, self.discriminator = generator(width=16), discriminator(width=16)

    def adversarial_loss(self, y_hat: Tensor, y: float) -> Tensor:
        """Return the loss of scores for one label."""
        return F.binary_cross_entropy_with_logits(y_hat, torch.full_like(y_hat, y))

    def training_step(self, batch: list[Tensor], batch_idx: int) -> None:
        """Train on one batch."""
        (imgs,) = batch
        optimizer_g, optimizer_d = self.optimizers()
        fake = self.generator(torch.randn(len(imgs), 64))
        g_loss = self.adversarial_loss(self.discriminator(fake), 1.0)
        self.manual_backward(g_loss)
        optimizer_g.step()
        optimizer_g.zero_grad()
        d_loss = self.adversarial_loss(self.discriminator(imgs), 1.0) + self.adversarial_loss(
            self.discriminator(fake.detach()), 0.0
        )
        if self.clear_first:
            optimizer_d.zero_grad()
        self.manual_backward(d_loss)
        optimizer_d.step()
        optimizer_d.zero_grad()
        self.log_dict({"g_loss": g_loss, "d_loss": d_loss})

    def configure_optimizers(self) -> list[torch.optim.Optimizer]:
        """Make the optimizers."""
        return [
            torch.optim.Adam(net.parameters(), 4e-4, betas=(0.5, 0.999)) for net in (self.generator, self.discriminator)
        ]


def loop(fixed: bool) -> Watch:
    """Train; ``fixed`` is the repaired twin."""
    logging.getLogger("pytorch_lightning").setLevel(logging.ERROR)
    warnings.filterwarnings("ignore", module="pytorch_lightning")
    torch.manual_seed(11)
    x, model = images("sprites"), GAN(clear_first=fixed)
    doctor = DoctorCallback(sample=lambda n: model.generator(torch.randn(n, 64)), real=x)
    trainer = pl.Trainer(
        max_epochs=18, accelerator="cpu", callbacks=[doctor], logger=False, enable_checkpointing=False, enable_progress_bar=False,
        enable_model_summary=False,
    )  # fmt: skip
    trainer.fit(model, DataLoader(TensorDataset(x), 32, shuffle=True, drop_last=True))
    assert doctor.watch is not None
    return doctor.watch
