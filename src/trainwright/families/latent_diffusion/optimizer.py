"""Optimizer of either stage: AdamW without decay of biases and norms, and a moving average of the weights."""

import torch
from torch import nn

from trainwright.engine.ema import decay_at
from trainwright.engine.model import ParamGroup
from trainwright.families.latent_diffusion.config import LossConfig


def group(name: str, network: nn.Module, optim: LossConfig, averaged: bool = True) -> ParamGroup:
    """Build the parameter group of a network: weight decay for matrices and kernels, none for biases and norms."""
    parameters = list(network.parameters())
    wide, flat = [p for p in parameters if p.ndim > 1], [p for p in parameters if p.ndim <= 1]
    settings = [{"betas": optim.betas, "weight_decay": decay} for decay in (optim.weight_decay, 0.0)]
    parts = [{"params": part, **own} for part, own in zip((wide, flat), settings, strict=True)]
    adam = torch.optim.AdamW(parts, lr=1e-4, fused=True)
    decay = decay_at(optim.ema_decay, optim.ema_warmup) if averaged else None
    return ParamGroup((name,), adam, optim.learning_rate, settings, decay)
