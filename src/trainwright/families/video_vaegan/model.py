"""VAE-GAN that predicts frames: p(target | context, z) with z from the context.

Each step is one update of the discriminator and one of the generator.
"""

import contextlib
from collections.abc import Iterator
from typing import Any, ClassVar

import torch
import torch.nn.functional as F
from torch import Tensor, nn
from torch.nn.utils import parametrize

from trainwright.data.video.dataset import Clips
from trainwright.engine.ema import decay_at
from trainwright.engine.model import Data, GenerativeModel, ParamGroup, Progress, StepContext, View, now
from trainwright.families.video_vaegan.config import VideoVaeGanConfig
from trainwright.families.video_vaegan.discriminators import DISCRIMINATORS
from trainwright.families.video_vaegan.encoder import Encoder
from trainwright.families.video_vaegan.generator import Generator
from trainwright.families.video_vaegan.metrics import FeatureDistance, prediction_rows, prediction_signals
from trainwright.families.video_vaegan.regions import adapted, as_condition, boxes, grid
from trainwright.metrics.features import installed
from trainwright.metrics.image_quality import warm_up
from trainwright.metrics.latent import kl_per_dimension, latent_signals, posterior_draw, prior_gap
from trainwright.metrics.perceptual import PerceptualDistance
from trainwright.nn.hyperbolic.optimizer import BallAdam
from trainwright.randomness import normal

MAX_PER_PROBE = 32  # held-out windows of a probe while a run trains
MAX_EVALUATED = 256
KEPT = 32  # contexts that are stored with the weights, for samples
LEAST_KEPT, KEPT_BYTES = 4, 64 * 2**20  # fewer contexts where frames are large, because every checkpoint has them
SHOWN = 6
SHUFFLED = 16  # held-out windows whose latents are exchanged
DRAW = 20131220


class Contexts(nn.Module):
    """Windows of training data that samples start from; a checkpoint has them, so that samples need no data."""

    def __init__(self, frames: int, size: int) -> None:
        super().__init__()
        self.given: Tensor
        count = min(KEPT, max(LEAST_KEPT, KEPT_BYTES // (frames * 5 * size * size * 4)))
        self.register_buffer("given", torch.zeros(count, frames, 5, size, size))

    def first(self, count: int) -> Tensor:
        """Return (count, context, 5, S, S), repeated if there are fewer."""
        return self.given[torch.arange(count, device=self.given.device) % len(self.given)]


class VideoVaeGan(GenerativeModel):
    """Encoder and generator with one optimizer, the discriminator with another."""

    losses_csv: ClassVar = {
        "loss_recon": "generator/reconstruction", "loss_kl": "generator/kl", "loss_g_adv": "generator/adversarial",
        "loss_d_real": "discriminator/real", "loss_d_fake": "discriminator/fake",
    }  # fmt: skip
    roles: ClassVar = {
        "g_total": "generator/loss", "d_total": "discriminator/loss", "reconstruction": "generator/reconstruction",
        "kl": "generator/kl", "adversarial": "generator/adversarial", "d_real": "discriminator/real",
        "d_fake": "discriminator/fake", "lambda_kl": "weight/generator/kl", "quality": "prediction/psnr",
    }  # fmt: skip
    headline: ClassVar = {
        "rec": "generator/reconstruction",
        "KL": "kl/nats",
        "adv": "generator/adversarial",
        "D": "discriminator/term",
        "PSNR": "prediction/psnr",
        "copy": "prediction/copy_psnr",
    }

    def __init__(self, config: VideoVaeGanConfig) -> None:
        super().__init__(config)
        data, model, self.optim = config.data, config.model, config.optim
        self.context, self.size = data.context, data.size
        self.seen = data.context if model.encode == "context" else data.frames
        self.encoder = Encoder(model, self.seen)
        self.generator = Generator(model, data.size, data.predict)
        self.discriminator = DISCRIMINATORS[model.disc_type](model, data.size, data.predict)
        self.contexts = Contexts(self.seen, data.size)
        self._distance: FeatureDistance | None = None
        self._perceptual: PerceptualDistance | None = None
        self.networks = {
            "encoder": self.encoder,
            "generator": self.generator,
            "discriminator": self.discriminator,
            "contexts": self.contexts,
        }
        betas = self.optim.betas
        made = [*self.encoder.parameters(), *self.generator.parameters()]
        self.groups = {
            "generator": ParamGroup(
                ("encoder", "generator"),
                BallAdam(made, 1e-4, betas),
                self.optim.lr_gen,
                {"betas": betas},
                decay_at(self.optim.ema_decay, warmup=True),
            ),
            "discriminator": ParamGroup(
                ("discriminator",),
                torch.optim.Adam(self.discriminator.parameters(), lr=1e-4, betas=betas, fused=True),
                self.optim.lr_disc,
                {"betas": betas},
            ),
        }
        count, least = model.region_count, model.region_least
        kinds = {"appearance": count, "motion": model.motion_regions}
        for name, many in kinds.items():
            found = (
                grid(self.size, self.size, many)
                if model.regions == "grid"
                else boxes(model.regions, self.size, self.size, many, least)
            )
            self.encoder.register_buffer(f"{name}_boxes", found, persistent=False)

    @staticmethod
    def open_data(config: Any, progress: Progress | None = None) -> Clips:
        """Open the windows of the videos that ``config.data`` names."""
        return Clips.open(config.data, progress)

    def adapt_to_data(self, data: Any) -> None:
        """Store contexts for samples."""
        kept = self.contexts.given
        found = data.some("train", len(kept))[:, : self.seen]
        kept.copy_(found[torch.arange(len(kept)) % len(found)])

    # ---- one step ----------------------------------------------------------------------------------------------------

    def boxes(self, given: Tensor, name: str = "appearance") -> Tensor:
        """Compute regions (B, R, 4) from the given frames (B, T, 5, S, S), never from the targets."""
        published: Tensor = self.encoder.get_buffer(f"{name}_boxes").to(given.device)
        strength = self.config.model.adaptive
        if not strength:
            return published.expand(len(given), -1, -1)
        return adapted(published, activity(given[:, : self.context]), strength)

    def training_step(self, batch: Tensor, context: StepContext) -> None:
        """Update discriminator and generator on target frames x and predictions x̂ from one draw of z.

        D minimises ½(BCE(D(x), 1) + BCE(D(x̂), 0)). G minimises λ_rec·mse(x̂, x) + λ_kl·KL(q(z|c) ‖ N(0, I)) + λ_gan·BCE(D(x̂), 1)
        + λ_features times the perceptual distance, where that weight is not 0.
        """
        given, target = batch[:, : self.seen], batch[:, self.context :, :3]
        found = self.boxes(given)
        condition = as_condition(found, self.size, self.size)
        mean, log_variance = self.encoder(given, found, self.boxes(given, "motion"))
        z = mean + normal(*mean.shape).to(mean.device) * torch.exp(0.5 * log_variance)
        made = self.generator(z, condition, given[:, : self.context])
        share = now(self.optim.lambda_gan, context)
        adversarial = {}
        if share:
            with parametrize.cached():
                both = torch.cat([target, made.detach()])
                logits = self.discriminator(both, found.repeat(2, 1, 1), condition.repeat(2, 1))
            on_real, on_fake = logits.chunk(2)
            real, fake = F.softplus(-on_real).mean(), F.softplus(on_fake).mean()
            context.update("discriminator", real=(0.5, real), fake=(0.5, fake))
            context.record(discriminator__term=(0.5 * (real + fake)).detach())
            with parametrize.cached():
                adversarial["adversarial"] = (share, F.softplus(-self.discriminator(made, found, condition)).mean())
        kl = kl_per_dimension(mean, log_variance).sum(1).mean()
        context.update(
            "generator",
            reconstruction=(now(self.optim.lambda_recon, context), F.mse_loss(made, target)),
            kl=(now(self.optim.lambda_kl, context), kl),
            **adversarial,
            **self._perceptual_term(made, target, context),
        )
        context.record(kl__nats=kl.detach())
        stacks = self.encoder.stacks()
        if stacks:
            context.record(hyperbolic__boundary_share=torch.stack([s.at_boundary for s in stacks]).mean())

    def _perceptual_term(self, made: Tensor, target: Tensor, context: StepContext) -> dict[str, tuple[float, Tensor]]:
        """Compute the perceptual distance of predictions, where its weight is not 0."""
        share = now(self.optim.lambda_features, context)
        if not share:
            return {}
        self._perceptual = self._perceptual or PerceptualDistance(made.device)
        return {"features": (share, self._perceptual(made.flatten(0, 1), target.flatten(0, 1)))}

    # ---- samples -----------------------------------------------------------------------------------------------------

    @torch.no_grad()
    def predict(self, clips: Tensor, averaged: bool = True) -> Tensor:
        """Predict (B, predict, 3, S, S) from windows (B, frames, 5, S, S), with z at its mean."""
        return self._generate(clips, self.encode(clips, averaged)[0], averaged)

    @torch.no_grad()
    def encode(self, clips: Tensor, averaged: bool = True) -> tuple[Tensor, Tensor]:
        """Compute μ and log σ² of windows."""
        encoder = self.network("encoder", averaged)
        with evaluating(encoder):
            parts = []
            for part in clips[:, : self.seen].split(32):
                given = part.to(self.device)
                parts.append(encoder(given, self.boxes(given), self.boxes(given, "motion")))
        mean, log_variance = (torch.cat(side) for side in zip(*parts, strict=True))
        return mean, log_variance

    def _generate(self, clips: Tensor, z: Tensor, averaged: bool) -> Tensor:
        generator = self.network("generator", averaged)
        with evaluating(generator):
            parts = []
            for some, codes in zip(clips[:, : self.seen].split(32), z.split(32), strict=True):
                given = some.to(self.device)
                condition = as_condition(self.boxes(given), self.size, self.size)
                parts.append(generator(codes.to(self.device), condition, given[:, : self.context]))
        return torch.cat(parts).clamp(-1, 1)

    @torch.no_grad()
    def sample_clips(self, count: int, seed: int, averaged: bool = True) -> tuple[Tensor, Tensor]:
        """Return contexts (count, context, 3, S, S) and predictions (count, predict, 3, S, S), with z from N(0, I)."""
        own = torch.Generator().manual_seed(seed)
        z = torch.randn(count, self.config.model.latent_dim, generator=own)
        given = self.contexts.first(count)
        return given[:, : self.context, :3], self._generate(given, z, averaged)

    def sample(self, count: int, seed: int, averaged: bool = True) -> Tensor:
        """Return the first predicted frame of :meth:`sample_clips`: (count, 3, S, S) in [-1, 1]."""
        return self.sample_clips(count, seed, averaged)[1][:, 0]

    def as_files(self, count: int, seeds: Any, averaged: bool = True) -> dict[str, bytes]:
        """Render a GIF and an MP4 for each seed, with context and prediction of every sample in a grid."""
        from trainwright.families.video_vaegan.movies import gif, mp4

        found: dict[str, bytes] = {}
        for seed in seeds:
            before, after = self.sample_clips(count, seed, averaged)
            clips = torch.cat([before.to(after), after], dim=1)
            found |= {f"samples_{seed:06d}.gif": gif(clips), f"samples_{seed:06d}.mp4": mp4(clips)}
        return found

    # ---- held-out data -----------------------------------------------------------------------------------------------

    def validate(self, data: Any) -> dict[str, float]:
        """Compare predictions of held-out windows with copying the last frame, and measure the latent."""
        clips = data.some("held_out", MAX_PER_PROBE)
        return self._measure(clips) if len(clips) > 1 else {}

    @torch.no_grad()
    def _measure(self, clips: Tensor) -> dict[str, float]:
        mean, log_variance = self.encode(clips)
        target = clips[:, self.context :, :3].to(self.device)
        made = self._generate(clips, mean, True)
        chosen = torch.arange(0, len(clips), max(1, len(clips) // SHUFFLED))[:SHUFFLED]
        far = (chosen + len(clips) // 2) % len(
            clips
        )  # neighbours differ by a few frames, so their latents are nearly the same
        other = self._generate(clips[chosen], mean[far], True)
        errors = [(x - target[chosen]).square().mean() for x in (other, made[chosen])]
        return {
            **prediction_signals(made, target, clips[:, self.context - 1, :3].to(made)),
            **latent_signals(mean, log_variance, posterior_draw(mean, log_variance, DRAW)),
            "latent/prior_gap": prior_gap(mean, log_variance, torch.zeros_like(mean[0]), torch.ones_like(mean[0])),
            "latent/shuffled_error_ratio": float(errors[0] / errors[1].clamp_min(1e-12)),
        }

    def prepare_monitoring(self, data: Any) -> None:
        """Run one-time setup of the measures, so that it is not counted as monitoring.

        It imports torchmetrics, and computes packaged features of the held-out windows.
        """
        warm_up()
        if self.config.train.probe_count:
            self._distance_to(data)

    def _distance_to(self, data: Any) -> FeatureDistance | None:
        """Return the feature distance to held-out windows, or None where the feature network is not installed."""
        if self._distance is None and installed() and len(data.held_out):
            clips = data.some("held_out", MAX_PER_PROBE)
            self._distance = FeatureDistance(clips[:, self.context :, :3], clips[:, self.context - 1, :3])
        return self._distance

    @torch.no_grad()
    def probe(self, data: Any, count: int, seed: int) -> dict[str, float]:
        """Measure the feature distance from the truth, for predictions of held-out windows and the copied last frame."""
        distance = self._distance_to(data)
        if distance is None:
            return {}
        clips = data.some("held_out", MAX_PER_PROBE)
        chosen = torch.linspace(0, len(clips) - 1, min(count, len(clips))).long()
        return {
            "prediction/feature_distance": distance(self.predict(clips[chosen]), chosen),
            "prediction/copy_feature_distance": distance.copied(chosen),
        }

    def validation_loss(self, data: Data, step: int, epoch: float) -> dict[str, float]:
        """Mean squared error of predictions of held-out windows (256 at most), with z at its mean."""
        clips = data.some("held_out", MAX_EVALUATED)
        if not len(clips):
            return {}
        target = clips[:, self.context :, :3].to(self.device)
        return {"validation/loss": float((self.predict(clips) - target).square().mean())}

    def views(self, data: Any) -> dict[str, View]:
        """Rows of context, truth and prediction of held-out windows."""
        clips = data.some("held_out" if len(data.held_out) else "train", SHOWN)
        rows = torch.cat([clips[:, :, :3], self.predict(clips).cpu()], dim=1)
        return {"predictions": View(rows.flatten(0, 1), rows.shape[1])}

    def evaluate(self, data: Any) -> list[dict[str, Any]]:
        """Compare predictions of held-out windows (256 at most) with copying the last frame."""
        clips = data.some("held_out", MAX_EVALUATED)
        if not len(clips):
            return []
        target = clips[:, self.context :, :3].to(self.device)
        return prediction_rows(self.predict(clips), target, clips[:, self.context - 1, :3].to(target))

    def facts(self, data: Any) -> dict[str, Any]:
        """Kind of adversarial loss, upsampling of the generator, and sizes."""
        sizes = {n: sum(p.numel() for p in net.parameters()) for n, net in self.networks.items()}
        return {
            "adversarial": "bce",
            "continues_training": self.config.model.base != "none",
            "decoder_is_told": self.config.model.base != "none" and self.config.model.encode == "context",
            "transposed": "4/2",
            "parameter_ratio": round(sizes["discriminator"] / sizes["generator"], 3),
        }


@contextlib.contextmanager
def evaluating(network: nn.Module) -> Iterator[None]:
    """Put a network into evaluation mode inside a ``with`` block."""
    training = network.training
    network.eval()
    yield
    network.train(training)


def activity(given: Tensor) -> Tensor:
    """Measure the activity at each pixel (B, S, S) of frames with flow (B, T, 5, S, S).

    It is the sum of change between frames and length of the flow, each divided by its mean.
    """
    if given.shape[1] < 2:
        return contrast(given[:, -1, :3])
    change = (given[:, 1:, :3] - given[:, :-1, :3]).abs().mean(dim=(1, 2))
    motion = given[:, :-1, 3:].square().sum(dim=2).sqrt().mean(dim=1)
    return sum(
        (part / part.mean(dim=(1, 2), keepdim=True).clamp_min(1e-6) for part in (change, motion)),
        torch.zeros_like(change),
    )


def contrast(frame: Tensor) -> Tensor:
    """Compute the contrast (B, S, S) of images (B, 3, S, S) at each pixel."""
    across = (frame - frame.roll(1, -1)).abs().mean(1)
    down = (frame - frame.roll(1, -2)).abs().mean(1)
    return across + down
