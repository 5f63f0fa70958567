"""Adam for networks with points on balls: geoopt's Riemannian Adam for the points, PyTorch's fused Adam for everything else.

Source: Bécigneul and Ganea 2019 (Riemannian adaptive optimization methods).
"""

from collections.abc import Callable, Iterable
from typing import Any

import torch
from torch import nn

from trainwright.nn.hyperbolic.library import geoopt


class BallAdam(torch.optim.Adam):
    """Optimizer of both kinds of parameters, in two parameter groups whose states are stored like Adam's own.

    Args:
        parameters: of networks; each ``geoopt.ManifoldParameter`` moves along its manifold and is projected back to it.
        lr: learning rate of both kinds.
        betas: Adam's two betas, for both kinds.
    """

    def __init__(self, parameters: Iterable[nn.Parameter], lr: float, betas: tuple[float, float]) -> None:
        every = list(parameters)
        points = [p for p in every if isinstance(p, geoopt.ManifoldParameter)]
        flat = [p for p in every if not isinstance(p, geoopt.ManifoldParameter)]
        groups: list[dict[str, Any]] = [{"params": flat, "fused": True}]
        if points:
            groups.append({"params": points, "stabilize": 1})
        super().__init__(groups, lr=lr, betas=betas)
        self._on_balls = geoopt.optim.RiemannianAdam(points, lr=lr, betas=betas) if points else None

    @torch.no_grad()
    def step(self, closure: Callable[[], float] | None = None) -> None:  # type: ignore[override]
        """Update the parameters of both kinds."""
        groups = self.param_groups
        self.param_groups = groups[:1]
        try:
            super().step(closure)
        finally:
            self.param_groups = groups
        if self._on_balls is not None:
            self._on_balls.param_groups, self._on_balls.state = groups[1:], self.state
            self._on_balls.step()
