"""VAE over sequences (Kingma & Welling 2014; autoregressive: Bowman et al. 2016): one step is one batch, one update."""

import io
from collections.abc import Sequence
from typing import Any, ClassVar

import numpy as np
import torch
from torch import Tensor

from trainwright.config.schedules import value
from trainwright.data.levels.dataset import Kept, MadePoints, open_levels
from trainwright.data.levels.drawing import draw_levels
from trainwright.data.levels.tiles import board_text
from trainwright.engine.model import GenerativeModel, ParamGroup, Progress, StepContext, View, now
from trainwright.families.sequence_vae.config import SequenceVaeConfig
from trainwright.families.sequence_vae.generate import generate_points, generate_tiles
from trainwright.families.sequence_vae.likelihood import MixtureLikelihood, cross_entropy
from trainwright.families.sequence_vae.moves import Moves
from trainwright.families.sequence_vae.networks import KEPT, Decoder, Encoder
from trainwright.families.sequence_vae.quality import MAX_LEVELS, level_signals, two_sample_ratio
from trainwright.metrics.latent import kl_per_dimension, latent_signals, posterior_draw, prior_gap
from trainwright.metrics.posterior_threshold import predict
from trainwright.metrics.r2 import r2
from trainwright.randomness import normal, uniform

MAX_PER_PROBE = 128  # held-out levels of a probe while a run trains
SHOWN = 8
VALIDATION_SEED = 20151119  # one draw of z for all measurements on held-out levels


class SequenceVae(GenerativeModel):
    """Encoder and decoder with one optimizer."""

    losses_csv: ClassVar = {
        "total_loss": "vae/loss", "recon_loss": "vae/reconstruction", "kl_loss": "vae/kl",
        "val_loss": "validation/loss", "val_recon_loss": "validation/reconstruction", "val_kl_loss": "validation/kl",
    }  # fmt: skip
    roles: ClassVar = {
        "g_total": "vae/loss", "reconstruction": "vae/reconstruction", "kl": "vae/kl", "lambda_kl": "weight/vae/kl",
    }  # fmt: skip
    samples_are_images: ClassVar = False
    headline: ClassVar = {
        "loss": "vae/loss",
        "rec": "vae/reconstruction",
        "KL": "kl/nats",
        "samples": "prior/two_sample_ratio",
    }

    def __init__(self, config: SequenceVaeConfig) -> None:
        super().__init__(config)
        self.data, self.model, self.optim = config.data, config.model, config.optim
        self.moves = Moves(self.data.order)
        self.symbols = 0 if self.data.of_points else len(self.data.alphabet)
        rows, columns = self.data.size
        out = {"gaussian": 2, "mixture": 5 * self.model.components, "categorical": self.symbols}[self.model.likelihood]
        self.encoder = Encoder(self.model, self.symbols)
        self.decoder = Decoder(self.model, out, self.symbols, rows, columns, self.data.points)
        self.networks = {"encoder": self.encoder, "decoder": self.decoder}
        parameters = [p for network in self.networks.values() for p in network.parameters()]
        adam = torch.optim.AdamW(parameters, lr=1e-3, weight_decay=0.0, fused=True)
        settings = {"weight_decay": self.optim.weight_decay}
        self.groups = {"vae": ParamGroup(tuple(self.networks), adam, self.optim.learning_rate, settings)}

    @staticmethod
    def open_data(config: Any, progress: Progress | None = None) -> MadePoints | Kept:
        """Open the levels that ``config.data`` names."""
        return open_levels(config.data)

    def adapt_to_data(self, data: Any) -> None:
        """Store the number of points of a level in the decoder."""
        if not self.symbols:
            self.decoder.length.fill_(data.some("train", 2).shape[1])

    # ---- training ----------------------------------------------------------------------------------------------------

    def training_step(self, batch: Tensor, context: StepContext) -> None:
        """Minimise -log p(x|z) + β·KL(q(z|x) ‖ N(0, I)), each in the recipe's reduction; z is one draw."""
        mean, log_variance = self.encoder(batch.flatten(1) if self.symbols else batch)
        z = mean + normal(*mean.shape).to(mean) * torch.exp(0.5 * log_variance)
        target = batch
        if not self.symbols and self.optim.target_noise:
            target = batch + self.optim.target_noise * normal(*batch.shape).to(batch)
        visible = uniform(*(batch.shape[:2] if not self.symbols else batch.shape)).to(z) >= self.optim.word_dropout
        error = self.errors(z, batch, target, visible)
        each = kl_per_dimension(mean, log_variance)
        costly = each.mean(0).clamp_min(self.optim.free_bits)
        context.update(
            "vae", reconstruction=(1.0, error.mean() * self.error_scale(batch)),
            kl=(now(self.optim.beta, context), costly.sum() / self.kl_scale),
        )  # fmt: skip
        context.record(kl__nats=each.detach().sum(1).mean())

    def errors(self, z: Tensor, levels: Tensor, target: Tensor, visible: Tensor) -> Tensor:
        """Error (T, B) of each element of ``target``, given z and, where it is visible, the level so far."""
        steps = target[0].numel() if self.symbols else target.shape[1]
        seen = self.before(levels, visible)
        raw = self.decoder(z, steps, seen)
        if self.symbols:
            return cross_entropy(raw, target.flatten(1).t())
        wanted = target.transpose(0, 1)
        if self.model.likelihood == "gaussian":
            return (raw.float() - wanted).square().sum(-1)
        mixture = MixtureLikelihood.of(raw, self.model.components, self.moves.bounds(steps), self.moves.around(seen))
        return mixture.negative_log_likelihood(self.moves.of(target).transpose(0, 1))

    def before(self, levels: Tensor, visible: Tensor) -> Tensor | None:
        """Context of each step (T, B, width); None for a decoder without context."""
        if not self.decoder.sees:
            return None
        return (
            self.decoder.symbols_before(levels, visible)
            if self.symbols
            else self.decoder.points_before(levels, visible)
        )

    def error_scale(self, levels: Tensor) -> float:
        """Factor on the mean error of an element: the number of elements for ``sum``, times the factor of the likelihood."""
        steps = levels[0].numel() if self.symbols else levels.shape[1]
        if self.model.likelihood == "gaussian":
            return steps / (2 * self.optim.observation_std**2) if self.optim.reduction == "sum" else 0.5
        return steps if self.optim.reduction == "sum" else 1.0

    @property
    def kl_scale(self) -> float:
        """Divisor of the KL in nats of all dimensions."""
        return self.model.latent_dim if self.optim.reduction == "mean" else 1.0

    # ---- samples -----------------------------------------------------------------------------------------------------

    @torch.no_grad()
    def generate(self, z: Tensor, seed: int, averaged: bool = True) -> Tensor:
        """Generate levels from (B, latent): (B, T, 2) points or (B, H, W) symbols.

        The result is a pure function of weights, z and seed.
        """
        decoder: Any = self.network("decoder", averaged)
        training = decoder.training
        decoder.eval()
        own = torch.Generator().manual_seed(seed)
        if self.symbols:
            found = generate_tiles(decoder, z, own, self.model.rules == "sokoban")
        else:
            found = generate_points(decoder, z, own, self.model, self.moves)
        decoder.train(training)
        return found

    def prepare_sampling(self, data: Any) -> None:
        """Encode the posteriors that samples are drawn from with the current weights, where the recipe has them."""
        if len(self.decoder.codes):  # of other levels than those that samples are compared with, where there are enough
            self.decoder.follow(*self._encode(data.some("train", MAX_LEVELS + KEPT)[-KEPT:]))

    @torch.no_grad()
    def levels(self, count: int, seed: int, averaged: bool = True) -> Tensor:
        """Generate ``count`` levels with z from the recipe's prior."""
        decoder: Any = self.network("decoder", averaged)
        z = decoder.prior(count, torch.Generator().manual_seed(seed))
        return self.generate(z, seed + 1, averaged)

    @torch.no_grad()
    def sample(self, count: int, seed: int, averaged: bool = True) -> Tensor:
        """Generate levels, drawn as images: (count, C, H, W) in [-1, 1]."""
        return draw_levels(self.levels(count, seed, averaged), self.data)

    def as_files(self, count: int, seeds: Sequence[int], averaged: bool = True) -> dict[str, bytes]:
        """Generate ``points.npy``, (n, T, 2), or ``levels.txt``; a recipe can train on either."""
        made = torch.cat([self.levels(count, seed, averaged) for seed in seeds]).cpu().numpy()
        if not self.symbols:
            file = io.BytesIO()
            np.save(file, made.astype(np.float32))
            return {"points.npy": file.getvalue()}
        boards = [f"; {i}\n{board_text(board, self.data.alphabet)}\n" for i, board in enumerate(made)]
        return {"levels.txt": "\n".join(boards).encode()}

    @torch.no_grad()
    def probe(self, data: Any, count: int, seed: int) -> dict[str, float]:
        """Compare levels from the prior, and reconstructions of held-out levels, with real levels."""
        found = level_signals(self.levels(count, seed).cpu(), data)
        held = data.some("held_out", count)
        # with one Gaussian for each step ``validate`` has the reconstructions already
        if len(held) > 1 and self.model.likelihood != "gaussian":
            again = self.generate(self._encode(held)[0], seed)
            found |= _reconstruction_signals(again.cpu(), data)
        return found

    # ---- held-out data -----------------------------------------------------------------------------------------------

    def _encode(self, levels: Tensor) -> tuple[Tensor, Tensor]:
        training = self.encoder.training
        self.encoder.eval()
        with torch.no_grad():
            parts = [
                self.encoder(p.to(self.device).flatten(1) if self.symbols else p.to(self.device))
                for p in levels.split(128)
            ]
        self.encoder.train(training)
        mean, log_variance = (torch.cat(side) for side in zip(*parts, strict=True))
        return mean, log_variance

    @torch.no_grad()
    def _errors(self, z: Tensor, levels: Tensor) -> Tensor:
        """Errors (T, B) of held-out levels, with the whole context visible."""
        training = self.decoder.training
        self.decoder.eval()
        levels = levels.to(self.device)
        visible = torch.ones(levels.shape if self.symbols else levels.shape[:2], device=self.device)
        found = self.errors(z, levels, levels, visible)
        self.decoder.train(training)
        return found

    @torch.no_grad()
    def validation_loss(self, data: Any, step: int, epoch: float) -> dict[str, float]:
        """Objective on held-out levels with one fixed draw of z, at the current β."""
        levels = data.some("held_out", MAX_LEVELS)
        if not len(levels):
            return {}
        mean, log_variance = self._encode(levels)
        error = float(
            self._errors(posterior_draw(mean, log_variance, VALIDATION_SEED), levels).mean()
        ) * self.error_scale(levels)
        kl = float(kl_per_dimension(mean, log_variance).sum(1).mean()) / self.kl_scale
        return {
            "validation/reconstruction": error,
            "validation/kl": kl,
            "validation/loss": error + value(self.optim.beta, step, epoch) * kl,
        }

    @torch.no_grad()
    def validate(self, data: Any) -> dict[str, float]:
        """Measure held-out levels: latents, and the share of a level that reconstructions explain."""
        levels = data.some("held_out", MAX_PER_PROBE)
        if len(levels) < 2:
            return {}
        mean, log_variance = self._encode(levels)
        far = mean.roll(len(mean) // 2, 0)  # neighbours may be the same board, mirrored
        own, other = self._errors(mean, levels).mean(), self._errors(far, levels).mean()
        found = {
            **latent_signals(mean, log_variance, posterior_draw(mean, log_variance, VALIDATION_SEED)),
            "latent/prior_gap": prior_gap(mean, log_variance, *self.decoder.prior_moments()),
            "validation/element": float(own),
        }
        if self.model.likelihood == "gaussian":
            again = self.generate(mean, VALIDATION_SEED)
            found |= _reconstruction_signals(again.cpu(), data)
            output = again.transpose(1, 2)
            target = levels.to(output).transpose(1, 2)
            middle = data.some("train", MAX_LEVELS).to(output).mean(0).t()
            found |= r2(target, output, {"x": slice(0, 1), "y": slice(1, 2)}, middle)
            found["latent/shuffled_error_ratio"] = float(other / own.clamp_min(1e-12))
        else:  # a log-likelihood may have either sign and grows with the level: the measure is the number of nats that z saves
            found["latent/nats_heard"] = float(other - own) * int(self.decoder.length)
            found["latent/shuffled_error_ratio"] = 1 + max(0.0, found["latent/nats_heard"])
        return found

    @torch.no_grad()
    def views(self, data: Any) -> dict[str, View]:
        """Rows of held-out levels and their reconstructions."""
        part = "held_out" if len(data.some("held_out", 1)) else "train"
        levels = data.some(part, SHOWN)
        again = self.generate(self._encode(levels)[0], VALIDATION_SEED).cpu()
        return {"reconstructions": View(draw_levels(torch.cat([levels, again]), self.data), len(levels))}

    def facts(self, data: Any) -> dict[str, Any]:
        """Predicted threshold of the KL weight (squared errors only), and the largest β within the run."""
        found: dict[str, Any] = {"asymmetric": self._asymmetric()}
        if isinstance(data, Kept):
            found["levels_fit"] = list(data.table.fit)
        train = self.config.train
        steps = train.steps or train.epochs * len(data) / train.batch_size
        epochs = steps * train.batch_size / len(data)
        reached = max(value(self.optim.beta, int(t * steps), t * epochs) for t in (0.25, 0.5, 0.75, 1.0))
        end = self.optim.beta if isinstance(self.optim.beta, int | float) else getattr(self.optim.beta, "end", reached)
        found["beta_reached"] = reached / end if end else 1.0
        if self.model.likelihood == "gaussian" and self.model.decoder == "repeat":
            levels = data.some("train", MAX_LEVELS)
            factor = self.error_scale(levels) / levels.shape[1]
            spectrum = predict(levels.flatten(1), torch.full((levels[0].numel(),), factor), 1 / self.kl_scale)
            found |= {
                "beta_threshold": spectrum.beta,
                "effective_beta": reached * (end or 0) / self.kl_scale / (2 * factor),
            }
        return found

    def _asymmetric(self) -> str:
        sides = {
            "layers": (self.model.encoder_layers, self.model.decoder_layers),
            "hidden": (
                self.model.encoder_hidden or self.model.hidden_dim,
                self.model.decoder_hidden or self.model.hidden_dim,
            ),
        }
        return ", ".join(f"{name} {a} and {b}" for name, (a, b) in sides.items() if a != b)

    @torch.no_grad()
    def evaluate(self, data: Any) -> list[dict[str, Any]]:
        """Compare samples with real levels, with more of them than a probe has."""
        found = level_signals(self.levels(MAX_LEVELS, 1).cpu(), data, thorough=True)
        return [
            {
                "metric": name,
                "value": number,
                "spread": None,
                "better": "",
                "floor": None,
                "meaning": MEANINGS[name.partition("/")[2]],
            }
            for name, number in found.items()
        ]


def _reconstruction_signals(levels: Tensor, data: Any) -> dict[str, float]:
    """Energy-distance ratio of reconstructed levels and real ones; nothing if a number is not finite."""
    finite = bool(torch.isfinite(levels).all())
    return {"reconstructions/two_sample_ratio": two_sample_ratio(levels, data)} if finite else {}


MEANINGS = {
    "two_sample_ratio": "energy distance of samples from real levels over that of other real levels",
    "structure_ratio": "the same ratio for properties that do not depend on order: nearness of points, counts of symbols",
    "closeness": "one over the ratio, at most 1",
    "nearest_accuracy": "share of levels whose nearest neighbour is of the same kind (sample or real); 0.5 is ideal",
    "marginal_distance": "Kolmogorov-Smirnov distance, mean over steps and axes",
    "order_violations": "share of neighbouring points out of order",
    "cluster_count_distance": "total variation between the numbers of clusters",
    "symbol_divergence": "Jensen-Shannon divergence of the symbols' frequencies, nats",
    "pattern_divergence": "Jensen-Shannon divergence of 2 x 2 patterns, nats",
    "valid_share": "share of levels with one player, equal numbers of boxes and goals, closed walls",
    "one_player_share": "share of levels with one player",
    "boxes_match_share": "share of levels with equal numbers of boxes and goals",
    "closed_share": "share of levels with closed walls",
    "copy_share": "share of samples that equal a training level, also mirrored or rotated",
    "solvable_share": "share of valid samples that a bounded search solves",
}
