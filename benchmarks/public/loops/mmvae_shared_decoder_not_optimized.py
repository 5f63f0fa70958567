"""Lightning VAE of two kinds of data: the optimizer of the shared part is given its encoder only.

Source: github.com/zdebruine/MMVAE issue 39, corrected in pull request 41.
The shared decoder keeps its first weights. The experts around it have optimizers of their own and learn what they can.
"""

import logging
import warnings

import pytorch_lightning as pl
import torch
import torch.nn.functional as F
from torch import Tensor, nn
from torch.utils.data import DataLoader, TensorDataset

from benchmarks.public.case import Case
from benchmarks.public.materials import images, kl_nats, mlp
from trainwright.diagnosis.watch import Watch
from trainwright.integrations.lightning import DoctorCallback

CASE = Case(
    kind="variational",
    cause="parameters_not_optimized",
    symptoms=("wiring", "frozen_network"),
    spoils="nothing visible",
    source="zdebruine/MMVAE#39",
    also=("not_trained",),
)


class Expert(nn.Module):
    """Encoder and decoder of one kind of data."""

    def __init__(self) -> None:
        super().__init__()
        self.encoder, self.decoder = mlp(768, 256, 128, last=nn.ReLU()), mlp(128, 256, 768, last=nn.Sigmoid())


class MMVAE(pl.LightningModule):
    """VAE between the experts; one batch has images of one kind."""

    def __init__(self, all_parameters: bool) -> None:
        super().__init__()
        self.automatic_optimization, self.all_parameters = False, all_parameters
        self.experts = nn.ModuleDict({"human": Expert(), "mouse": Expert()})
        self.vae = nn.ModuleDict({"encoder": mlp(128, 64, 32), "decoder": mlp(16, 64, 128, last=nn.ReLU())})

    def sample(self, n: int) -> Tensor:
        """Draw n images of the first kind."""
        return self.experts["human"].decoder(self.vae["decoder"](torch.randn(n, 16))).view(n, 3, 16, 16)

    def training_step(self, batch: dict[str, list[Tensor]], batch_idx: int) -> None:
        """Train on one batch of each kind."""
        optimizers = dict(zip(("human", "mouse", "vae"), self.optimizers(), strict=True))
        for name, (x,) in batch.items():
            x, expert = x.flatten(1), self.experts[name]
            mu, logvar = self.vae["encoder"](expert.encoder(x)).chunk(2, 1)
            z = mu + (0.5 * logvar).exp() * torch.randn_like(mu)
            x_hat = expert.decoder(self.vae["decoder"](z))
            recon_loss = F.mse_loss(x_hat, x, reduction="sum") / len(x) * 10
            kl_loss = kl_nats(mu, logvar)
            for optimizer in (optimizers["vae"], optimizers[name]):
                optimizer.zero_grad()
            self.manual_backward(recon_loss + kl_loss)
            for optimizer in (optimizers["vae"], optimizers[name]):
                optimizer.step()
        self.log_dict({"loss": recon_loss + kl_loss, "recon_loss": recon_loss, "kl_loss": kl_loss})

    def configure_optimizers(self) -> list[torch.optim.Optimizer]:
        """Make the optimizers."""
        shared = self.vae.parameters() if self.all_parameters else self.vae["encoder"].parameters()
        return [
            *(torch.optim.Adam(e.parameters(), 1e-3) for e in self.experts.values()),
            torch.optim.Adam(shared, 1e-3),
        ]


def loop(fixed: bool) -> Watch:
    """Train; ``fixed`` is the repaired twin."""
    logging.getLogger("pytorch_lightning").setLevel(logging.ERROR)
    warnings.filterwarnings("ignore", module="pytorch_lightning")
    torch.manual_seed(0)
    human, mouse = (images("sprites", background=255) + 1) / 2, (images("emoji", background=255)[:949] + 1) / 2
    model = MMVAE(all_parameters=fixed)
    doctor = DoctorCallback(sample=model.sample, real=human)
    trainer = pl.Trainer(
        max_epochs=30, accelerator="cpu", callbacks=[doctor], logger=False, enable_checkpointing=False, enable_progress_bar=False,
        enable_model_summary=False,
    )  # fmt: skip
    loaders = {
        name: DataLoader(TensorDataset(x), 64, shuffle=True, drop_last=True)
        for name, x in (("human", human), ("mouse", mouse))
    }
    trainer.fit(model, pl.utilities.CombinedLoader(loaders))
    assert doctor.watch is not None
    return doctor.watch
