"""A minimal hand-written loop of the same Gaussian VAE: no logs, checks or files; PyTorch's Adam with its defaults."""

import torch
from torch import Tensor, nn


class BareVae:
    """Encoder, decoder, one Adam, and :meth:`step`."""

    def __init__(
        self, encoder: nn.Module, decoder: nn.Module, groups: dict[str, slice], beta: float, lr: float
    ) -> None:
        self.encoder, self.decoder, self.groups, self.beta = encoder, decoder, groups, beta
        self.adam = torch.optim.Adam([*encoder.parameters(), *decoder.parameters()], lr=lr)

    def step(self, index: int, x: Tensor) -> tuple[Tensor, None]:
        """Take one update on the loss of the Gaussian VAE guide; return the loss."""
        mean, log_variance = self.encoder(x)
        output = self.decoder(mean + torch.randn(mean.shape) * torch.exp(0.5 * log_variance))
        squared = (output - x) ** 2
        loss = torch.stack([squared[:, channels].mean() for channels in self.groups.values()]).sum()
        loss = loss + self.beta * (-0.5 * (1 + log_variance - mean**2 - log_variance.exp()).mean())
        self.adam.zero_grad()
        loss.backward()
        self.adam.step()
        return loss.detach(), None
