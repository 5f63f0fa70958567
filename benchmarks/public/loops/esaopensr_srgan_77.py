"""Super-resolution GAN in the style of Lightning: a wrapper hides the argument by which the trainer tells the optimizers apart.

Source: github.com/ESAOpenSR/SRGAN issue 77, solved in version 0.2.1.
The trainer looks for ``optimizer_idx`` in the signature. It does not find it behind ``*args``, and calls the step once a batch, for the
first optimizer.
"""

import inspect
from collections.abc import Iterator

import torch
import torch.nn.functional as F
from torch import Tensor, nn

import trainwright
from benchmarks.public.case import Case
from benchmarks.public.materials import batches, images
from trainwright.diagnosis.watch import Watch

CASE = Case(
    kind="adversarial",
    cause="optimizer_never_steps",
    symptoms=(
        "wiring",
        "frozen_network",
        "generator_undertrained",
        "off_data",
        "mode_collapse",
        "colour_cast",
        "critic_dominance",
        "blur",
        "trivial_baseline",
        "plateau",
    ),
    spoils="samples",
    source="ESAOpenSR/SRGAN#77",
    also=("not_trained", "parameters_not_optimized", "uneven_updates"),
    seconds=9,
)
HR = images("sprites", background=255)
LR = F.avg_pool2d(HR, 2)


class SRGANModel(nn.Module):
    """Generator and discriminator with their losses."""

    def __init__(self) -> None:
        super().__init__()
        self.generator = nn.Sequential(
            nn.Conv2d(3, 32, 3, 1, 1), nn.PReLU(), nn.Conv2d(32, 32, 3, 1, 1), nn.PReLU(), nn.Conv2d(32, 64, 3, 1, 1),
            nn.PixelShuffle(2), nn.PReLU(), nn.Conv2d(16, 3, 3, 1, 1), nn.Tanh(),
        )  # fmt: skip
        self.discriminator = nn.Sequential(
            nn.Conv2d(3, 24, 4, 2, 1), nn.LeakyReLU(0.2), nn.Conv2d(24, 48, 4, 2, 1), nn.BatchNorm2d(48), nn.LeakyReLU(0.2),
            nn.Conv2d(48, 1, 4), nn.Flatten(0),
        )  # fmt: skip
        self.logged: dict[str, Tensor] = {}

    def forward(self, lr_imgs: Tensor) -> Tensor:
        """Return images of the double size."""
        return self.generator(lr_imgs)

    def configure_optimizers(self) -> list[torch.optim.Optimizer]:
        """Return the optimizers."""
        return [
            torch.optim.Adam(self.discriminator.parameters(), lr=5e-5, betas=(0.5, 0.999)),
            torch.optim.Adam(self.generator.parameters(), lr=1e-3, betas=(0.5, 0.999)),
        ]

    def step_of(self, batch: tuple[Tensor, Tensor], optimizer_idx: int) -> Tensor:
        """Return the loss of an optimizer."""
        lr_imgs, hr_imgs = batch
        sr_imgs = self.generator(lr_imgs)
        if optimizer_idx == 0:
            real, fake = self.discriminator(hr_imgs), self.discriminator(sr_imgs.detach())
            loss = F.binary_cross_entropy_with_logits(real, torch.full_like(real, 0.9))
            loss = loss + F.binary_cross_entropy_with_logits(fake, torch.zeros_like(fake))
            self.logged["discriminator_loss"] = loss.detach()
            return loss
        score = self.discriminator(sr_imgs)
        adversarial = F.binary_cross_entropy_with_logits(score, torch.ones_like(score))
        content = F.l1_loss(sr_imgs, hr_imgs)
        self.logged.update(content_loss=content.detach(), adversarial_loss=adversarial.detach())
        return content + 1e-2 * adversarial


class Wrapped(SRGANModel):
    """Training step for several versions of the trainer."""

    def training_step(self, batch: tuple[Tensor, Tensor], batch_idx: int, *args: int) -> Tensor:
        """Return the loss."""
        return self.step_of(batch, args[0] if args else 0)


class Explicit(SRGANModel):
    """Training step with the index of the optimizer."""

    def training_step(self, batch: tuple[Tensor, Tensor], batch_idx: int, optimizer_idx: int) -> Tensor:
        """Return the loss."""
        return self.step_of(batch, optimizer_idx)


class Trainer:
    """Trainer that runs the training step for every optimizer."""

    def __init__(self, max_steps: int) -> None:
        self.max_steps = max_steps

    def fit(self, model: SRGANModel, loader: Iterator[Tensor]) -> Watch:
        """Train."""
        optimizers = model.configure_optimizers()
        several = "optimizer_idx" in inspect.signature(model.training_step).parameters  # type: ignore[attr-defined]

        @torch.no_grad()
        def sample(n: int) -> Tensor:
            return model(LR[torch.randint(len(LR), (n,))])

        watch = trainwright.watch(total=self.max_steps, sample=sample, real=HR)
        for batch_idx, index in zip(range(self.max_steps), loader, strict=False):
            batch = LR[index], HR[index]
            for optimizer_idx, optimizer in enumerate(optimizers if several else optimizers[:1]):
                extra = (optimizer_idx,) if several else ()
                loss = model.training_step(batch, batch_idx, *extra)  # type: ignore[attr-defined]
                optimizer.zero_grad()
                loss.backward()
                optimizer.step()
            watch(batch_idx, **model.logged)
        return watch


def loop(fixed: bool) -> Watch:
    """Train; ``fixed`` is the repaired twin."""
    torch.manual_seed(77)
    model = Explicit() if fixed else Wrapped()
    return Trainer(max_steps=900).fit(model, batches(torch.arange(len(HR)), 32))
