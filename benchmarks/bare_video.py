"""A minimal hand-written loop of the same video VAE-GAN with its networks and regions: no logs, checks or files."""

from typing import Any

import torch
import torch.nn.functional as F
from torch import Tensor

from trainwright.config.schedules import value
from trainwright.families.video_vaegan.regions import as_condition
from trainwright.metrics.perceptual import PerceptualDistance
from trainwright.nn.hyperbolic.optimizer import BallAdam


class BareVideo:
    """Three networks, their two optimizers, the averages, and :meth:`step`."""

    def __init__(self, model: Any, config: Any) -> None:
        self.model, self.optim = model, config.optim
        self.context, self.size = config.data.context, config.data.size
        self.encoder, self.generator, self.discriminator = model.encoder, model.generator, model.discriminator
        self.made = [*self.encoder.parameters(), *self.generator.parameters()]
        self.adam = BallAdam(self.made, value(config.optim.lr_gen, 0, 0.0), config.optim.betas)
        self.adam_d = torch.optim.Adam(self.discriminator.parameters(), config.optim.lr_disc, config.optim.betas)
        self.looks = PerceptualDistance(torch.device("cpu"))
        self.average = [p.detach().clone() for p in self.made]

    def step(self, index: int, clips: Tensor) -> tuple[Tensor, None]:
        """Take one update of the discriminator and one of the rest; return the discriminator's loss."""
        given, target = clips[:, : self.context], clips[:, self.context :, :3]
        boxes = self.model.boxes(given)
        condition = as_condition(boxes, self.size, self.size)
        mean, log_variance = self.encoder(given, boxes, self.model.boxes(given, "motion"))
        z = mean + torch.randn(mean.shape) * torch.exp(0.5 * log_variance)
        made = self.generator(z, condition, given)
        real, fake = self.discriminator(
            torch.cat([target, made.detach()]), boxes.repeat(2, 1, 1), condition.repeat(2, 1)
        ).chunk(2)
        loss_d = 0.5 * (F.softplus(-real).mean() + F.softplus(fake).mean())
        self.adam_d.zero_grad()
        loss_d.backward()
        self.adam_d.step()
        kl = -0.5 * (1 + log_variance - mean**2 - log_variance.exp()).sum(1).mean()
        adversarial = F.softplus(-self.discriminator(made, boxes, condition)).mean()
        optim = self.optim
        loss = optim.lambda_recon * F.mse_loss(made, target) + optim.lambda_kl * kl + optim.lambda_gan * adversarial
        loss = loss + optim.lambda_features * self.looks(made.flatten(0, 1), target.flatten(0, 1))
        self.adam.zero_grad()
        loss.backward()
        for group in self.adam.param_groups:
            group["lr"] = value(optim.lr_gen, index, 0.0)
        self.adam.step()
        decay = min(optim.ema_decay, (1 + index) / (10 + index))
        torch._foreach_lerp_(self.average, [p.detach() for p in self.made], 1 - decay)
        return loss_d.detach(), None
