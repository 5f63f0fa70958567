"""Stage two: a UNet that predicts the noise in scaled latents (Ho et al. 2020; Rombach et al. 2022)."""

from pathlib import Path
from typing import Any, ClassVar

import torch
from diffusers import UNet2DModel
from torch import Tensor

from trainwright.data.images import to_byte_tensor
from trainwright.engine.model import GenerativeModel, Progress, StepContext
from trainwright.errors import UserError
from trainwright.families.latent_diffusion import folders
from trainwright.families.latent_diffusion.config import LatentDiffusionConfig
from trainwright.families.latent_diffusion.diversity import diversity_signals, reproduced
from trainwright.families.latent_diffusion.export import save_pipeline
from trainwright.families.latent_diffusion.imported import weights
from trainwright.families.latent_diffusion.latents import Latents
from trainwright.families.latent_diffusion.networks import Codec, make_unet
from trainwright.families.latent_diffusion.noise import TIMES, Noise
from trainwright.families.latent_diffusion.optimizer import group
from trainwright.metrics.features import Features, installed
from trainwright.metrics.kid import kernel_distance
from trainwright.metrics.reference_split import halves
from trainwright.randomness import normal, stratified

BINS = 4  # bins of time, for the loss
HELD = 16  # latents that the held-out loss is measured on, each at one time of each bin
CHUNK = 64
REAL = 256
FEW = 8  # number of images whose spread is not that of their data set
SEED = 20201219


class DiffusionStage(GenerativeModel):
    """Noise predictor with its optimizer, and the frozen autoencoder, so that a checkpoint suffices for sampling."""

    losses_csv: ClassVar = {"loss": "unet/loss", "val_loss": "validation/loss"}
    roles: ClassVar = {"g_total": "unet/loss"}
    headline: ClassVar = {"loss": "unet/loss", "held out": "validation/loss", "diversity": "sample_diversity/ratio"}

    def __init__(self, config: LatentDiffusionConfig) -> None:
        super().__init__(config)
        self.noise = Noise(config.noise)
        self.codec = Codec(config.vae, config.data.channels, config.data.size).requires_grad_(False).eval()
        self.unet = make_unet(config.model, self.codec.shape)
        self.networks = {"unet": self.unet, "autoencoder": self.codec}
        self.groups = {"unet": group("unet", self.unet, config.optim)}
        self._drawn: tuple[Any, Tensor, Tensor] | None = None  # the newest samples, which a probe reuses
        # the feature network, features of real images, and the scores of two halves of them
        self._features: tuple[Features, Tensor, dict[str, float]] | None = None

    @staticmethod
    def open_data(config: Any, progress: Progress | None = None) -> Latents:
        """Open the images as latents of the autoencoder that ``config`` names; train it first if needed."""
        return Latents.open(config, progress)

    def adapt_to_data(self, data: Any) -> None:
        """Load the trained autoencoder with its measured scale, and the weights to start from."""
        self.codec.load_state_dict(data.codec.state_dict())
        if self.config.begin_from:
            place = Path(self.config.begin_from)
            folder = folders.diffusers_folder(place, "UNet2DModel", ("unet",))
            if folder is None:
                raise UserError(
                    f"begin_from: {place} is missing. Restore it, or pass begin_from= to a run that has started."
                )
            self.unet.load_state_dict(weights(UNet2DModel, folder, "begin_from").state_dict())

    # ---- training ----------------------------------------------------------------------------------------------------

    def training_step(self, batch: Tensor, context: StepContext) -> None:
        """Minimise E ‖network(α z + σ ε, t) - target‖².

        The times t are stratified over a batch, one in each of B intervals (Kingma et al. 2021).
        """
        count = len(batch)
        times = (stratified(count) * TIMES).long().clamp_max(TIMES - 1).to(batch.device)
        noise = normal(*batch.shape).to(batch.device)
        losses = self._losses(self.unet, batch, noise, times)
        context.update("unet", noise=(1.0, losses.mean()))
        if count >= BINS:
            bins = losses.detach().tensor_split(BINS)
            context.record(**{f"loss_bin__{i}": part.mean() for i, part in enumerate(bins)})

    def _losses(self, network: Any, z: Tensor, noise: Tensor, times: Tensor) -> Tensor:
        alpha, sigma = self.noise.at(times)
        predicted = network(alpha * z + sigma * noise, times).sample
        squared: Tensor = (predicted.float() - self.noise.target(z, noise, alpha, sigma)).square()
        return squared.mean((1, 2, 3))

    # ---- samples -----------------------------------------------------------------------------------------------------

    @torch.no_grad()
    def latents(self, count: int, seed: int, averaged: bool = True) -> Tensor:
        """Sample scaled latents: (count, c, h, w)."""
        unet = self.network("unet", averaged)
        training = unet.training
        unet.eval()
        own = torch.Generator().manual_seed(seed)
        start = torch.randn(count, *self.codec.shape, generator=own)
        parts = []
        for part in start.split(CHUNK):
            parts.append(
                self.noise.sample(lambda x, t: unet(x, t).sample, part.to(self.device), self.config.sampling, own)
            )
        unet.train(training)
        return torch.cat(parts)

    @torch.no_grad()
    def sample(self, count: int, seed: int, averaged: bool = True) -> Tensor:
        """Generate images (count, C, S, S) in [-1, 1] with the recipe's sampler."""
        found = self.latents(count, seed, averaged)
        images = torch.cat([self.codec.decode(part) for part in found.split(CHUNK)])
        self._drawn = ((count, seed, averaged), found, images)
        return images

    # ---- signals -----------------------------------------------------------------------------------------------------

    @torch.no_grad()
    def validation_loss(self, data: Any, step: int, epoch: float) -> dict[str, float]:
        """Loss on held-out latents with fixed noise and times, with the averaged weights that samples use."""
        z = data.some("held_out", HELD)
        if not len(z):
            return {}
        losses = self._fixed(z)
        return {
            "validation/loss": float(losses.mean()),
            **{f"loss_bin/heldout_{i}": float(part.mean()) for i, part in enumerate(losses)},
        }

    def _fixed(self, z: Tensor) -> Tensor:
        """Compute losses (bins, n) of latents, each at one time in each bin."""
        own = torch.Generator().manual_seed(SEED)
        width = TIMES // BINS
        within = torch.randint(width, (BINS, len(z)), generator=own)
        times = (torch.arange(BINS)[:, None] * width + within).to(self.device)
        unet = self.network("unet", averaged=True)
        training = unet.training
        unet.eval()
        losses = []
        for row in times:
            noise = torch.randn(z.shape, generator=own).to(self.device)
            losses.append(self._losses(unet, z.to(self.device), noise, row))
        unet.train(training)
        return torch.stack(losses)

    @torch.no_grad()
    def validate(self, data: Any) -> dict[str, float]:
        """Measure the held-out loss by time, the scale of the latents, and the distance between both noise schedules.

        In the overfitting modes it also measures the reproduction of the training images.
        """
        real = data.some("train", REAL)
        found = {
            **self.validation_loss(data, 0, 0.0),
            "latent/scaled_mean": float(real.mean()),
            "schedule/train_sample_distance": self.noise.distance(self.config.sampling),
        }
        if len(real) > FEW:
            found["latent/scaled_std"] = float(real.std())
        if self.config.mode != "full_train":
            seen = self.reproduction(data, max(FEW, 2 * len(data)))
            found |= {name: seen[name] for name in ("overfit/psnr", "overfit/decoded_psnr")}
        return found

    @torch.no_grad()
    def probe(self, data: Any, count: int, seed: int) -> dict[str, float]:
        """Compare distances between 16 sampled latents with those of real ones; KID if the feature network is installed."""
        if self._drawn is None or self._drawn[0] != (count, seed, True):
            self.sample(count, seed)
        assert self._drawn is not None
        _, latents, images = self._drawn
        self._drawn = None
        return {**diversity_signals(latents.cpu(), data.some("train", REAL)), **self._kid(data, images)}

    def _kid(self, data: Any, images: Tensor) -> dict[str, float]:
        if not installed() or len(images) < 2 or not bool(torch.isfinite(images).all()):
            return {}
        if self._features is None:
            network = Features()
            some, others = halves(network.of(to_byte_tensor(data.images("train", 2 * REAL))))
            floor = {"real/kid": kernel_distance(some, others)} if len(some) > 1 else {}
            self._features = (network, some, floor)
        network, real, floor = self._features
        return {**floor, "samples/kid": kernel_distance(real, network.of(to_byte_tensor(images)))}

    @torch.no_grad()
    def reproduction(self, data: Any, count: int) -> dict[str, float]:
        """Measure how closely ``count`` samples reproduce the images of an overfitting run.

        Sixteen samples for each image include all images almost surely.
        """
        images = data.images("train", len(data))
        decoded = torch.cat([self.codec.decode(z.to(self.device)) for z in data.some("train", len(data)).split(CHUNK)])
        return reproduced(self.sample(count, SEED).cpu(), images, decoded.cpu())

    def evaluate(self, data: Any) -> list[dict[str, Any]]:
        """Compare sampled latents with real ones; measure the held-out loss, and reproduction in the overfitting modes."""
        found = diversity_signals(self.latents(16, SEED).cpu(), data.some("train", REAL)) | self.validation_loss(
            data, 0, 0.0
        )
        if self.config.mode != "full_train":
            found |= self.reproduction(data, 16 * len(data))
        floors = {"sample_diversity/pairwise_mse_mean": found.get("real_diversity/pairwise_mse_mean")}
        return [
            {
                "metric": name, "value": found[name], "spread": None, "better": better, "floor": floors.get(name),
                "meaning": meaning,
            }
            for name, (better, meaning) in MEANINGS.items()
            if name in found
        ]  # fmt: skip

    def export(self, folder: Path, averaged: bool = True) -> str:
        """Save both stages as a diffusers pipeline."""
        return save_pipeline(folder, self.network("unet", averaged), self.codec, self.noise, self.config.sampling)

    def facts(self, data: Any) -> dict[str, Any]:
        """Facts for the diagnosis: agreement of training and sampling, and the scale of the latents.

        The agreement is the distance of their noise schedules, and the sampler's result on a Gaussian toy.
        """
        sampling = self.config.sampling
        mean, variance = self.noise.toy(sampling)
        real = data.some("train", REAL)
        return {
            "schedule_distance": self.noise.distance(sampling),
            "toy_mean_ratio": round(mean, 4),
            "toy_variance_ratio": round(variance, 4),
            "latent_scaled_std": round(float(real.std()), 4) if len(real) > FEW else None,
            "few_on_purpose": self.config.mode != "full_train",
        }


MEANINGS = {
    "sample_diversity/pairwise_mse_mean": (
        "",
        "mean squared distance of two sampled latents; `floor` is that of real ones",
    ),
    "sample_diversity/ratio": (
        "",
        "mean squared distance of sampled latents over that of real ones: 1 is right, more is over-dispersed, less is collapse",
    ),
    "overfit/psnr": ("higher", "PSNR in dB of samples against the nearest training image"),
    "overfit/decoded_psnr": (
        "higher",
        "PSNR in dB of samples against the nearest training image after encoding and decoding",
    ),
    "overfit/least_psnr": ("higher", "PSNR in dB of the training image that is reproduced worst"),
    "overfit/found_share": (
        "higher",
        "share of the training images that a sample reproduces, closer than to any other image",
    ),
    "validation/loss": ("lower", "error of the predicted target on held-out latents"),
}
