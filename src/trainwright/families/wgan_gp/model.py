"""WGAN-GP as in the paper (Gulrajani et al. 2017, algorithm 1), with the critic's real and fake batch in one forward."""

from typing import Any, ClassVar

import torch
from torch import Tensor, nn
from torch.nn.utils import parametrize

from trainwright.data.images import Images
from trainwright.engine.ema import decay_at
from trainwright.engine.model import Data, GenerativeModel, ParamGroup, Progress, StepContext, now
from trainwright.families.wgan_gp.config import LossConfig, WganGpConfig
from trainwright.families.wgan_gp.networks import CRITICS, GENERATORS
from trainwright.randomness import normal, uniform


def gradient_penalty(critic: nn.Module, real: Tensor, fake: Tensor) -> tuple[Tensor, Tensor]:
    """Compute E[(‖∇D(x̂)‖₂ - 1)²] at x̂ = a·real + (1-a)·fake, always in 32 bits.

    Each sample has its own a ~ U(0, 1).

    Returns:
        (penalty, mean gradient norm), both scalars; the penalty can be differentiated again.
    """
    mix = uniform(len(real), 1, 1, 1).to(real.device)
    with torch.autocast(real.device.type, enabled=False):
        between = torch.lerp(fake.float(), real.float(), mix).requires_grad_()
        (gradient,) = torch.autograd.grad(critic(between).sum(), between, create_graph=True)
        norm = gradient.flatten(1).norm(2, dim=1)
        return (norm - 1).square().mean(), norm.detach().mean()


class WganGp(GenerativeModel):
    """Generator and critic with an optimizer each.

    One step is one critic update on one batch. Every ``n_critic``-th step, counted over the whole run, also updates the generator.
    """

    losses_csv: ClassVar = {"d_loss": "critic/loss", "g_loss": "generator/loss"}
    roles: ClassVar = {"g_total": "generator/loss", "d_total": "critic/loss"}
    headline: ClassVar = {"d": "critic/loss", "g": "generator/loss", "W": "critic/wasserstein"}

    def __init__(self, config: WganGpConfig) -> None:
        super().__init__(config)
        model, data, self.optim = config.model, config.data, config.optim
        self.generator = GENERATORS[model.architecture](
            model.latent_dim, model.generator_features, data.size, data.channels
        )
        self.critic = CRITICS[model.architecture](
            model.critic_features, data.size, data.channels, model.critic_reference
        )
        self.networks = {"generator": self.generator, "critic": self.critic}
        for network in self.networks.values():
            network.to(memory_format=torch.channels_last)  # type: ignore[call-overload]
        self.groups = {
            "critic": _group("critic", self.critic, self.optim.lr_d, self.optim),
            "generator": _group("generator", self.generator, self.optim.lr_g, self.optim, averaged=True),
        }

    @staticmethod
    def open_data(config: Any, progress: Progress | None = None) -> Data:
        """Open the images that ``config.data`` names."""
        return Images.open(config.data, progress)

    def training_step(self, batch: Tensor, context: StepContext) -> None:
        """Minimise d = E D(fake) - E D(real) + λ·penalty; every n_critic-th step also g = -E D(G(z))."""
        with torch.no_grad():
            fake = self.generator(self.noise(len(batch)))
        with parametrize.cached():  # one power iteration of the spectral norm for each update, as in Miyato et al. 2018
            penalty, gradient_norm = gradient_penalty(self.critic, batch, fake)
            on_fake, on_real = self.critic(torch.cat([fake, batch])).chunk(2)
        fake_score, real_score = on_fake.mean(), on_real.mean()
        context.update(
            "critic",
            fake=(1.0, fake_score),
            real=(-1.0, real_score),
            penalty=(now(self.optim.lambda_gp, context), penalty),
        )
        context.record(critic__wasserstein=(real_score - fake_score).detach(), critic__gradient_norm=gradient_norm)
        if (context.step + 1) % self.optim.n_critic == 0:
            with parametrize.cached():
                score = self.critic(self.generator(self.noise(len(batch)))).mean()
            context.update("generator", score=(-1.0, score))

    def noise(self, count: int) -> Tensor:
        """Draw z ~ N(0, I), (count, latent_dim), on the CPU: a seed gives the same noise on every device."""
        return normal(count, self.config.model.latent_dim).to(self.device)

    @torch.no_grad()
    def sample(self, count: int, seed: int, averaged: bool = True) -> Tensor:
        """Generate images (count, C, S, S) in [-1, 1] from fixed noise."""
        own = torch.Generator().manual_seed(seed)
        z = torch.randn(count, self.config.model.latent_dim, generator=own)
        generator = self.network("generator", averaged)
        training = generator.training
        generator.eval()
        images = torch.cat([generator(part.to(self.device)) for part in z.split(64)])
        generator.train(training)
        return images

    @torch.no_grad()
    def validate(self, data: Data) -> dict[str, float]:
        """Estimate the Wasserstein distance without the penalty, on held-out and on training images.

        Both estimates use the same number of images and the same fakes.
        """
        held = data.some("held_out", 64)
        if not len(held):
            return {}
        train = data.some("train", len(held))
        fake = self.sample(len(held), seed=0, averaged=False)
        self.critic.eval()
        scores = [self.critic(x.to(self.device)).float() for x in (fake, train, held)]
        fakes, trains, helds = (float(s.mean()) for s in scores)
        self.critic.train()
        return {
            "critic/score_spread": float(torch.cat(scores).std()),
            "critic/wasserstein_train": trains - fakes,
            "critic/wasserstein_heldout": helds - fakes,
            "critic/heldout_gap": trains - helds,
        }

    def facts(self, data: Data) -> dict[str, Any]:
        """Kind of adversarial loss, upsampling of the generator, and sizes."""
        sizes = {n: sum(p.numel() for p in net.parameters()) for n, net in self.networks.items()}
        transposed = [m for m in self.generator.modules() if isinstance(m, nn.ConvTranspose2d) and m.stride[0] > 1]
        kernels = sorted({f"{m.kernel_size[0]}/{m.stride[0]}" for m in transposed})
        batch_norm = any(isinstance(m, nn.modules.batchnorm._BatchNorm) for m in self.critic.modules())
        return {
            "adversarial": "wasserstein",
            "transposed": ", ".join(kernels),
            "parameter_ratio": round(sizes["critic"] / sizes["generator"], 3),
            "critic_batch_norm": batch_norm,
            "ema_buffers": True,
        }


def _group(name: str, network: nn.Module, lr: Any, optim: LossConfig, averaged: bool = False) -> ParamGroup:
    adam = torch.optim.Adam(network.parameters(), lr=1e-4, betas=optim.betas, fused=True)
    decay = decay_at(optim.ema_decay, optim.ema_warmup) if averaged else None
    return ParamGroup((name,), adam, lr, {"betas": optim.betas}, decay)
