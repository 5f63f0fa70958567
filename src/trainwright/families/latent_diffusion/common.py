"""What both stages do alike."""

import torch
from torch import nn

from trainwright.families.latent_diffusion.config import Objective
from trainwright.families.latent_diffusion.networks import split_decay
from trainwright.train.system import Group


def group(name: str, network: nn.Module, optim: Objective, averaged: bool = True) -> Group:
    """A network with AdamW, which leaves biases and norms without decay, and an average of its weights if wanted."""
    parts = split_decay(network, optim.weight_decay)
    adam = torch.optim.AdamW(parts, lr=1e-4, betas=optim.betas, fused=True)
    settings = [{"betas": optim.betas, "weight_decay": part["weight_decay"]} for part in parts]

    def decay(update: int) -> float:
        return min(optim.ema_decay, (1 + update) / (10 + update)) if optim.ema_warmup else optim.ema_decay

    return Group((name,), adam, optim.learning_rate, settings, decay if averaged and optim.ema_decay > 0 else None)
