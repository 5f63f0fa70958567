"""A minimal hand-written loop of the sequence VAE guide's model: two ``nn.LSTM``, z repeated at every step, Adam."""

from typing import Any

import torch
from torch import Tensor, nn


class BareSequence:
    """The mathematics of ``sequence_vae`` with ``decoder: repeat`` and ``likelihood: gaussian``, from the same first weights."""

    def __init__(self, model: Any, beta: float, rate: float) -> None:
        sizes = model.model
        self.encoder = nn.LSTM(2, sizes.hidden_dim, sizes.encoder_layers, dropout=sizes.encoder_dropout)
        self.decoder = nn.LSTM(sizes.latent_dim, sizes.hidden_dim, sizes.decoder_layers, dropout=sizes.decoder_dropout)
        for plain, ours in ((self.encoder, model.encoder.lstm), (self.decoder, model.decoder.lstm)):
            for i, layer in enumerate(ours.layers):
                for name in ("weight_ih", "weight_hh", "bias_ih", "bias_hh"):
                    getattr(plain, f"{name}_l{i}").data.copy_(getattr(layer, f"{name}_l0"))
        self.mean, self.log_variance, self.out = model.encoder.mean, model.encoder.log_variance, model.decoder.out
        parts = nn.ModuleList([self.encoder, self.decoder, self.mean, self.log_variance, self.out])
        self.adam = torch.optim.Adam(parts.parameters(), rate)
        self.beta, self.noise = beta, model.optim.target_noise

    def step(self, step: int, points: Tensor) -> tuple[Tensor, Tensor]:
        """Take one step on (B, T, 2); return the loss and the KL."""
        _, (_, cell) = self.encoder(points.transpose(0, 1))
        mean, log_variance = self.mean(cell[-1]), self.log_variance(cell[-1])
        z = mean + torch.randn_like(mean) * torch.exp(0.5 * log_variance)
        target = points + self.noise * torch.randn_like(points)
        output = self.out(self.decoder(z.expand(points.shape[1], *z.shape))[0]).transpose(0, 1)
        kl = -0.5 * (1 + log_variance - mean.square() - log_variance.exp()).mean()
        loss = (output - target).square().mean() + self.beta * kl
        self.adam.zero_grad()
        loss.backward()
        self.adam.step()
        return loss.detach(), kl.detach()
