"""VAE over sets of Gaussians (Kingma & Welling 2014; β of Higgins et al. 2017): one step is one batch, one update."""

from typing import Any, ClassVar

import torch
from torch import Tensor

from trainwright.config.schedules import value
from trainwright.data.gaussians.dataset import FittedImages
from trainwright.data.gaussians.form import Form
from trainwright.data.gaussians.render import Canvas, render
from trainwright.engine.model import GenerativeModel, ParamGroup, Progress, StepContext, View
from trainwright.families.gaussian_vae.config import GaussianVaeConfig
from trainwright.families.gaussian_vae.networks import make
from trainwright.families.gaussian_vae.objective import (
    beta_at,
    divergence,
    effective_beta,
    image_error,
    kl_per_nat,
    reconstruction,
    square_weights,
)
from trainwright.metrics.image_quality import psnr, ssim, warm_up
from trainwright.metrics.latent import latent_signals, posterior_draw, prior_gap
from trainwright.metrics.posterior_threshold import Threshold, predict
from trainwright.metrics.r2 import r2
from trainwright.randomness import normal, uniform

MAX_EVALUATED = 256  # held-out sets of an evaluation
MAX_PER_PROBE = 128  # held-out sets of a probe while a run trains
MAX_FOR_PRIOR = 512  # training sets whose posteriors the prior of samples is fitted to
SHOWN = 8  # images that are rendered for PSNR and for the view
VALIDATION_SEED = 20131220


class GaussianVae(GenerativeModel):
    """Encoder and decoder with one optimizer."""

    losses_csv: ClassVar = {
        "total_loss": "vae/loss", "recon_loss": "reconstruction/weighted", "kl_loss": "vae/kl",
        "loss_xy": "vae/xy", "loss_scale": "vae/scale", "loss_rot": "vae/rot", "loss_feat": "vae/feat",
        "val_loss": "validation/loss", "val_recon_loss": "validation/reconstruction", "val_kl_loss": "validation/kl",
    }  # fmt: skip
    roles: ClassVar = {
        "g_total": "vae/loss", "reconstruction": "reconstruction/weighted", "kl": "vae/kl", "lambda_kl": "weight/vae/kl",
        "quality": "rendered/psnr",
    }  # fmt: skip
    headline: ClassVar = {
        "loss": "vae/loss",
        "rec": "reconstruction/weighted",
        "KL": "kl/nats",
        "val": "validation/loss",
    }

    def __init__(self, config: GaussianVaeConfig) -> None:
        super().__init__(config)
        data, self.optim = config.data, config.optim
        self.form, self.canvas = Form(data.form, data.channels), Canvas(data.size, data.size)
        self.count, self.latent_dim = data.fitting.count, config.model.latent_dim
        self.encoder, self.decoder = make(config.model, self.form.width, self.count)
        self.networks = {"encoder": self.encoder, "decoder": self.decoder}
        parameters = [p for network in self.networks.values() for p in network.parameters()]
        adam = torch.optim.AdamW(parameters, lr=1e-3, weight_decay=0.0, fused=True)
        settings = {"weight_decay": self.optim.weight_decay}
        self.groups = {"vae": ParamGroup(tuple(self.networks), adam, self.optim.learning_rate, settings)}
        self._shown: Tensor | None = None  # originals and fits of the view, which stay the same

    @staticmethod
    def open_data(config: Any, progress: Progress | None = None) -> FittedImages:
        """Open the fitted images that ``config.data`` names; fit them first where they are not in the cache."""
        return FittedImages.open(config.data, progress)

    def adapt_to_data(self, data: Any) -> None:
        """Copy the normalisation of the data into the decoder's buffers."""
        self.decoder.shift.copy_(data.mean)
        self.decoder.spread.copy_(data.std)

    # ---- training ----------------------------------------------------------------------------------------------------

    def beta(self, step: int, epoch: float) -> float:
        """KL weight at this step."""
        return beta_at(self.optim, epoch) if self.optim.beta is None else value(self.optim.beta, step, epoch)

    def training_step(self, batch: Tensor, context: StepContext) -> None:
        """Minimise Σ w_g · (x_g - x̂_g)² + w_p · (rendered x - rendered x̂)² + β·KL(q(z|x) ‖ N(0, I)).

        Each term has the recipe's reduction. x̂ comes from one draw of z.
        """
        batch = self._exchange_colours(batch)
        mean, log_variance = self.encoder(batch)
        noise = normal(*mean.shape).to(mean.device)
        output = self.decoder(mean + noise * torch.exp(0.5 * log_variance))
        terms = reconstruction(batch, output, self.form.groups, self.optim.reduction)
        kl = divergence(mean, log_variance, self.optim.reduction)
        weighted = {name: (getattr(self.optim.weights, name), term) for name, term in terms.items()}
        weighted |= self._image(batch, output, self.optim.image_count)
        context.update("vae", **weighted, kl=(self.beta(context.step, context.epoch), kl))
        total = torch.stack([weight * term.detach() for weight, term in weighted.values()]).sum()
        nats = kl.detach() / kl_per_nat(self.latent_dim, self.optim)
        context.record(reconstruction__weighted=total, kl__nats=nats)

    def _exchange_colours(self, sets: Tensor) -> Tensor:
        share, colours = self.optim.exchange_colours, self.form.groups["feat"]
        if share == 0:
            return sets
        count = colours.stop - colours.start
        order = torch.where(uniform(len(sets), 1) < share, uniform(len(sets), count).argsort(1), torch.arange(count))
        mean, spread = self.decoder.shift[colours], self.decoder.spread[colours]
        values = sets[:, colours] * spread + mean
        values = values.gather(1, order.to(sets.device)[..., None].expand_as(values))
        return torch.cat([sets[:, : colours.start], (values - mean) / spread], 1)

    def _image(self, sets: Tensor, output: Tensor, most: int) -> dict[str, tuple[float, Tensor]]:
        """Compute the image term of the first ``most`` sets, with its weight; nothing where the weight is 0.

        The visible effect of an error in one number depends on the other numbers. The colour of a wide Gaussian matters
        much, and the angle of a round one not at all. Only the rendered image shows this.
        """
        weight = self.optim.weights.image
        if weight == 0:
            return {}
        with torch.no_grad():
            wanted = self._render(sets[:most])
        return {"image": (weight, image_error(wanted, self._render(output[:most]), self.optim.reduction))}

    # ---- samples -----------------------------------------------------------------------------------------------------

    @torch.no_grad()
    def prepare_sampling(self, data: Any) -> None:
        """Fit the prior of samples to the posteriors of the current weights, where the recipe asks for it."""
        if self.config.model.prior != "standard":
            self.decoder.follow(*self._encode(data.some("train", MAX_FOR_PRIOR)))

    @torch.no_grad()
    def sample(self, count: int, seed: int, averaged: bool = True) -> Tensor:
        """Render samples with z from the recipe's prior: (count, C, H, W) in [-1, 1]."""
        own = torch.Generator().manual_seed(seed)
        z = self.decoder.prior(count, own)
        return torch.cat([self.images(self._decode(part)) for part in z.split(64)])

    @torch.no_grad()
    def images(self, normalised: Tensor) -> Tensor:
        """Render normalised (B, F, N) to images (B, C, H, W) in [-1, 1]."""
        return self._render(normalised).clamp(0, 1) * 2 - 1

    def _render(self, normalised: Tensor) -> Tensor:
        sets = self.form.decode(self.decoder.values(normalised), self.canvas)
        fitting = self.config.data.fitting
        return render(sets, self.canvas, fitting.blend, fitting.top_k)

    def _decode(self, z: Tensor) -> Tensor:
        training = self.decoder.training
        self.decoder.eval()
        output: Tensor = self.decoder(z)
        self.decoder.train(training)
        return output

    def _encode(self, sets: Tensor) -> tuple[Tensor, Tensor]:
        training = self.encoder.training
        self.encoder.eval()
        parts = [self.encoder(part.to(self.device)) for part in sets.split(64)]
        self.encoder.train(training)
        mean, log_variance = (torch.cat(side) for side in zip(*parts, strict=True))
        return mean, log_variance

    # ---- held-out data -----------------------------------------------------------------------------------------------

    @torch.no_grad()
    def validation_loss(self, data: Any, step: int, epoch: float) -> dict[str, float]:
        """Objective on all held-out sets with one fixed draw of z, at the current β and after warm-up."""
        sets = data.some("held_out", len(data.held_out))
        if not len(sets):
            return {}
        mean, log_variance = self._encode(sets)
        output = torch.cat([self._decode(z) for z in posterior_draw(mean, log_variance, VALIDATION_SEED).split(64)])
        terms = reconstruction(sets.to(output), output, self.form.groups, self.optim.reduction)
        kl = float(divergence(mean, log_variance, self.optim.reduction))
        found = {f"validation/{name}": float(term) for name, term in terms.items()}
        total = sum(getattr(self.optim.weights, name) * float(term) for name, term in terms.items())
        for name, (weight, term) in self._image(sets.to(output), output, MAX_EVALUATED).items():
            found[f"validation/{name}"] = float(term)
            total += weight * float(term)
        full = self.optim.max_beta if self.optim.beta is None else self.beta(step, epoch)
        return {
            **found,
            "validation/reconstruction": total,
            "validation/kl": kl,
            "validation/loss": total + self.beta(step, epoch) * kl,
            "validation/loss_at_full_beta": total + full * kl,
        }

    def prepare_monitoring(self, data: Any) -> None:
        """Import what measures images, so that it is not counted as monitoring."""
        warm_up()

    @torch.no_grad()
    def validate(self, data: Any) -> dict[str, float]:
        """Measure held-out sets: explained variance of each group, latents, and rendered reconstructions."""
        sets = data.some("held_out", MAX_PER_PROBE)
        return self._probe(sets, data, SHOWN) if len(sets) > 1 else {}

    def _probe(self, sets: Tensor, data: Any, shown: int) -> dict[str, float]:
        mean, log_variance = self._encode(sets)
        z = posterior_draw(mean, log_variance, VALIDATION_SEED)
        output = torch.cat([self._decode(part) for part in mean.split(64)])
        shuffled = torch.cat([self._decode(part) for part in mean.roll(1, 0).split(64)])
        target = sets.to(output)
        ratio = (shuffled - target).square().mean() / (output - target).square().mean().clamp_min(1e-12)
        drawn = (self.images(output[:shown]) + 1) / 2
        wanted = (data.images("held_out", shown).to(drawn) + 1) / 2
        return {
            **r2(target, output, self.form.groups, data.slot_mean),
            **latent_signals(mean, log_variance, z),
            "latent/prior_gap": prior_gap(mean, log_variance, *self.decoder.prior_moments()),
            "latent/shuffled_error_ratio": float(ratio),
            "rendered/psnr": float(psnr(drawn, wanted, 1.0, (1, 2, 3)).mean()),
            "rendered/ssim": float(ssim(drawn, wanted, 1.0).mean()),
        }

    @torch.no_grad()
    def views(self, data: Any) -> dict[str, View]:
        """Rows of held-out images, their fits and their reconstructions."""
        part = "held_out" if len(data.held_out) else "train"
        sets = data.some(part, SHOWN)
        if self._shown is None:
            self._shown = torch.cat([data.images(part, SHOWN), self.images(sets.to(self.device)).cpu()])
        again = self.images(self._decode(self._encode(sets)[0])).cpu()
        return {"reconstructions": View(torch.cat([self._shown, again]), len(sets))}

    @torch.no_grad()
    def evaluate(self, data: Any) -> list[dict[str, Any]]:
        """Measure reconstructions of held-out images, and their latents."""
        sets = data.some("held_out", MAX_EVALUATED)
        if len(sets) < 2:
            return []
        found = self._probe(sets, data, len(sets))
        fits = data.fits.psnr[data.held_out]
        rows = [_row(name, found[name], meaning) for name, meaning in MEANINGS.items()]
        rows[0]["floor"] = float(fits.mean())
        for name in self.form.groups:
            meaning = f"share of the variance of {name} about the mean of each position that reconstructions explain"
            rows.append(_row(f"r2_beyond_mean/{name}", found[f"r2_beyond_mean/{name}"], meaning))
        return rows

    def threshold(self, data: Any, most: int = 2000) -> Threshold:
        """Predict the KL weight above which the posterior collapses, from the spectrum of up to ``most`` training sets."""
        factors = square_weights(self.form.groups, self.count, self.optim)
        sets = data.some("train", most)
        return predict(sets.flatten(1), factors.flatten(), kl_per_nat(self.latent_dim, self.optim))

    def facts(self, data: Any) -> dict[str, Any]:
        """Predicted threshold of the KL weight, and the β of the equivalent likelihood."""
        beta = self.optim.max_beta if self.optim.beta is None else self.beta(10**9, 10.0**9)
        effective = self.effective_betas(beta)
        local = self.config.model.architecture == "slots"
        return {
            "beta_threshold": self.threshold(data, 512).beta,
            "beta_threshold_is_upper_limit": local,
            "effective_beta": max(effective.values(), default=0.0),
            "transposed": "",
        }

    def effective_betas(self, beta: float) -> dict[str, float]:
        """Compute for each group the β of the equivalent likelihood; see :func:`~.objective.effective_beta`."""
        return effective_beta(beta, self.form.groups, self.count, self.latent_dim, self.optim)


MEANINGS = {
    "rendered/psnr": "PSNR in dB of rendered held-out reconstructions; `floor` is the PSNR of the fits",
    "rendered/ssim": "structural similarity (SSIM) of rendered held-out reconstructions",
    "kl/nats_heldout": "nats of information that z carries about an image, by the KL",
    "latent/active_units": "dimensions of z that vary with the image",
    "latent/shuffled_error_ratio": "error with another image's z over that with its own; 1 means that z is not used",
}


def _row(metric: str, value: float, meaning: str) -> dict[str, Any]:
    better = "" if metric.startswith(("kl/", "latent/")) else "higher"
    return {"metric": metric, "value": value, "spread": None, "better": better, "floor": None, "meaning": meaning}
