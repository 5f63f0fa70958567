"""Stage one: a KL autoencoder (Rombach et al. 2022), L1 + β·KL, with an optional patch discriminator.

The discriminator starts late in the run.
"""

from dataclasses import replace
from pathlib import Path
from typing import Any, ClassVar, cast

import torch
from torch import Tensor
from torch.nn.functional import relu

from trainwright.data.images import Images
from trainwright.engine.model import Data, GenerativeModel, Progress, StepContext, View, now
from trainwright.families.latent_diffusion.config import LatentDiffusionConfig
from trainwright.families.latent_diffusion.export import save_autoencoder
from trainwright.families.latent_diffusion.networks import Codec, patch_discriminator
from trainwright.families.latent_diffusion.optimizer import group
from trainwright.metrics.image_quality import psnr, ssim, warm_up
from trainwright.metrics.latent import latent_signals, posterior_draw

MAX_PER_PROBE = 64  # held-out images of a probe, and images of one forward
MEASURED = 512  # training images that the scale is measured on
SHOWN = 8
SEED = 20211220
RATIO = (0.0, 1e4)  # range of the ratio of gradient norms, as in Esser et al. 2021


class AutoencoderStage(GenerativeModel):
    """Encoder and decoder with one optimizer, and the discriminator with its own."""

    losses_csv: ClassVar = {
        "loss": "autoencoder/loss", "l1": "autoencoder/l1", "kl": "autoencoder/kl", "d_loss": "discriminator/loss",
    }  # fmt: skip
    headline: ClassVar = {"L1": "autoencoder/l1", "KL": "autoencoder/kl", "PSNR": "reconstructions/psnr"}
    samples_are_images: ClassVar = False  # draws from the prior of an autoencoder show no objects

    def __init__(self, config: LatentDiffusionConfig) -> None:
        super().__init__(config)
        data, self.one, self.optim = config.data, config.stage_one, config.optim
        self.codec = Codec(config.vae, data.channels, data.size)
        self.networks = {"autoencoder": self.codec}
        self.groups = {"autoencoder": group("autoencoder", self.codec, self.optim)}
        if self.one.critic_weight > 0:
            self.critic = patch_discriminator(self.one.critic_features, data.channels, data.size)
            self.networks["discriminator"] = self.critic
            self.groups["discriminator"] = group("discriminator", self.critic, self.optim, averaged=False)

    @staticmethod
    def open_data(config: Any, progress: Progress | None = None) -> Images:
        """Open the images, or the first ``config.subset`` of them."""
        images = Images.open(config.data, progress)
        return replace(images, train=images.first("train", config.subset)) if config.subset else images

    def training_step(self, batch: Tensor, context: StepContext) -> None:
        """Minimise |x - x̂| averaged over all numbers + β·KL averaged over the numbers of the latent.

        With the discriminator there is one more term, w·r·(-E D(x̂)), with r from the gradients.
        """
        again, mean, log_variance = self.codec(batch)
        l1 = (again - batch).abs().mean()
        kl = -0.5 * (1 + log_variance - mean.square() - log_variance.exp()).mean()
        terms = {"l1": (1.0, l1), "kl": (now(self.one.kl_weight, context), kl)}
        critical = self.one.critic_weight > 0 and context.step >= self.one.critic_after
        if critical:
            score = -self.critic(again).mean()
            terms["adversarial"] = (self.one.critic_weight * self._ratio(l1, score), score)
        context.update("autoencoder", **terms)
        if critical:
            real, fake = self.critic(batch), self.critic(again.detach())
            context.update("discriminator", real=(0.5, relu(1 - real).mean()), fake=(0.5, relu(1 + fake).mean()))

    def _ratio(self, l1: Tensor, score: Tensor) -> float:
        """Compute ‖∇ L1‖ / ‖∇ score‖ at the decoder's last layer.

        With this weight the gradients of both terms have the same norm there.
        """
        last = self.codec.vae.decoder.conv_out.weight
        (one,) = torch.autograd.grad(l1, last, retain_graph=True)
        (other,) = torch.autograd.grad(score, last, retain_graph=True)
        return float((one.norm() / (other.norm() + 1e-4)).clamp(*RATIO))

    # ---- samples, held-out data --------------------------------------------------------------------------------------

    @torch.no_grad()
    def prepare_sampling(self, data: Data) -> None:
        """Measure the scale, and mean and spread of each number of a latent, with the current weights."""
        for codec in {id(c): c for c in (self.codec, self.network("autoencoder", True))}.values():
            codec.measure(self._encode(data.some("train", MEASURED), codec)[0])  # type: ignore[operator]

    @torch.no_grad()
    def sample(self, count: int, seed: int, averaged: bool = True) -> Tensor:
        """Decode images (count, C, S, S) in [-1, 1] from independent Gaussians with the latents' means and spreads."""
        codec: Any = self.network("autoencoder", averaged)
        noise = torch.randn(count, *codec.shape, generator=torch.Generator().manual_seed(seed)).to(self.device)
        latents = (codec.centre + codec.spread * noise) * codec.scale
        return torch.cat([codec.decode(part) for part in latents.split(MAX_PER_PROBE)])

    def prepare_monitoring(self, data: Any) -> None:
        """Import what measures images, so that it is not counted as monitoring."""
        warm_up()

    @torch.no_grad()
    def validate(self, data: Data) -> dict[str, float]:
        """Measure held-out reconstructions from the mean and from one draw, and the latents."""
        images = data.some("held_out", MAX_PER_PROBE).to(self.device)
        if not len(images):
            return {}
        codec: Any = self.network("autoencoder", True)
        mean, log_variance = self._encode(images, codec)
        again = codec.vae.decode(mean).sample
        drawn = codec.vae.decode(posterior_draw(mean, log_variance, SEED)).sample
        shown, wanted = again.clamp(-1, 1) / 2 + 0.5, images / 2 + 0.5
        nats = latent_signals(mean.flatten(1), log_variance.flatten(1), mean.flatten(1))["kl/nats_heldout"]
        return {
            "reconstructions/psnr": float(psnr(shown, wanted, 1.0, (1, 2, 3)).mean()),
            "reconstructions/ssim": float(ssim(shown, wanted, 1.0).mean()),
            "validation/l1": float((again - images).abs().mean()),
            "validation/loss": float((drawn - images).abs().mean()),
            "latent/mean": float(mean.mean()),
            "latent/std": float(mean.std()),
            "latent/posterior_std": float((0.5 * log_variance).exp().mean()),
            "kl/nats_heldout": nats,
        }

    @torch.no_grad()
    def validation_loss(self, data: Data, step: int, epoch: float) -> dict[str, float]:
        """L1 error of held-out images from the mean and from one fixed draw."""
        return {k: v for k, v in self.validate(data).items() if k.startswith("validation/")}

    @torch.no_grad()
    def views(self, data: Data) -> dict[str, View]:
        """Rows of held-out images and their reconstructions."""
        part = "held_out" if len(data.some("held_out", 1)) else "train"
        images = data.some(part, SHOWN)
        codec: Any = self.network("autoencoder", True)
        mean, _ = self._encode(images, codec)
        again = codec.vae.decode(mean).sample.clamp(-1, 1).cpu()
        return {"reconstructions": View(torch.cat([images, again]), len(images))}

    def _encode(self, images: Tensor, codec: Any) -> tuple[Tensor, Tensor]:
        parts = [codec.moments(part.to(self.device)) for part in images.split(MAX_PER_PROBE)]
        mean, log_variance = (torch.cat(side) for side in zip(*parts, strict=True))
        return mean, log_variance

    def export(self, folder: Path, averaged: bool = True) -> str:
        """Save the autoencoder as a diffusers ``AutoencoderKL``."""
        return save_autoencoder(folder, cast(Codec, self.network("autoencoder", averaged)))

    def evaluate(self, data: Data) -> list[dict[str, Any]]:
        """Measure reconstructions of held-out images."""
        found = self.validate(data)
        return [
            {
                "metric": name,
                "value": found[name],
                "spread": None,
                "better": "higher",
                "floor": None,
                "meaning": meaning,
            }
            for name, meaning in MEANINGS.items()
            if name in found
        ]

    def facts(self, data: Data) -> dict[str, Any]:
        """Facts for the diagnosis: nothing here upsamples by transposed convolutions."""
        return {"transposed": ""}


MEANINGS = {
    "reconstructions/psnr": "PSNR in dB of held-out images after encoding and decoding",
    "reconstructions/ssim": "structural similarity (SSIM) of held-out images after encoding and decoding",
}
