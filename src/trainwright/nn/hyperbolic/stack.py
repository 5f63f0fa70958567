"""WuBu stack: vectors -> nested balls -> vectors. Rows are independent of each other."""

import torch
from torch import Tensor, nn

from trainwright.nn.hyperbolic.ball import at_boundary
from trainwright.nn.hyperbolic.level import HyperbolicLevel, LevelOutput, Nesting, Passage
from trainwright.nn.hyperbolic.rotation import PHI


def phi_curvature(level: int) -> float:
    """Compute the φ option's factor on the curvature of level i: φ^((i mod 4) - 1.5)."""
    return PHI ** (level % 4 - 1.5)


class Stack(nn.Module):
    """Network from vectors (..., width_in) to vectors (..., widths[-1]) through nested balls.

    Args:
        width_in: width of the input vectors.
        widths: of the levels.
        curvatures: one for each level, or a single one for all.
        nesting: configuration of the levels.
        phi_curvature_on: multiplies the curvatures by :func:`phi_curvature`.
    """

    def __init__(
        self,
        width_in: int,
        widths: tuple[int, ...],
        curvatures: tuple[float, ...],
        nesting: Nesting,
        phi_curvature_on: bool = False,
    ) -> None:
        super().__init__()
        if len(curvatures) == 1:
            curvatures = curvatures * len(widths)
        count = len(widths)
        self.into = nn.Linear(width_in, widths[0]) if width_in != widths[0] else nn.Identity()
        self.norm = nn.LayerNorm(widths[0])
        self.levels = nn.ModuleList(
            HyperbolicLevel(
                width,
                curvature * (phi_curvature(i) if phi_curvature_on else 1.0),
                nesting,
                first=i == 0,
                followed=i < count - 1,
            )
            for i, (width, curvature) in enumerate(zip(widths, curvatures, strict=True))
        )
        pairs = zip(self._levels(), self._levels()[1:], strict=False)
        self.passages = nn.ModuleList(Passage(here, there, nesting, i) for i, (here, there) in enumerate(pairs))
        whole = sum(widths)
        self.out = nn.Linear(whole, widths[-1]) if whole != widths[-1] else nn.Identity()
        self.apply(_initialise)
        self.at_boundary = torch.zeros(())  # share of the last forward's points at the boundary

    def _levels(self) -> list[HyperbolicLevel]:
        return list(self.levels)  # type: ignore[arg-type]

    def forward(self, x: Tensor) -> Tensor:
        """Map vectors (..., width_in) to (..., widths[-1])."""
        levels = self._levels()
        given = LevelOutput(levels[0].lift(self.norm(self.into(x))))
        tangents: list[Tensor] = []
        shares = [at_boundary(given.point, levels[0].c)]
        for i, level in enumerate(levels):
            if i:
                given = self.passages[i - 1](given, levels[i - 1], level)
                shares.append(at_boundary(given.point, level.c))
            given, tangent = level(given)
            tangents.append(tangent)
            if i < len(self.passages):
                shares.append(at_boundary(given.point, level.c))
        self.at_boundary = torch.stack(shares).mean()
        return self.out(torch.cat(tangents, dim=-1))


def euclidean(width_in: int, widths: tuple[int, ...], nesting: Nesting, parameters: int) -> nn.Module:
    """Build the Euclidean control: a plain stack of residual layers on the same widths.

    Its number of parameters is as near to ``parameters`` as possible.
    """

    def made(hidden: int) -> nn.Module:
        layers: list[nn.Module] = [nn.Linear(width_in, widths[-1]), nn.LayerNorm(widths[-1])]
        layers += [_Residual(widths[-1], hidden, nesting.dropout) for _ in widths]
        return nn.Sequential(*layers)

    sizes = {hidden: sum(p.numel() for p in made(hidden).parameters()) for hidden in (1, 2)}
    each = sizes[2] - sizes[1]
    network = made(max(1, round((parameters - sizes[1]) / each) + 1))
    network.apply(_initialise)
    return network


class _Residual(nn.Module):
    def __init__(self, width: int, hidden: int, dropout: float) -> None:
        super().__init__()
        self.layers = nn.Sequential(
            nn.Linear(width, hidden), nn.GELU(), nn.Dropout(dropout), nn.Linear(hidden, width), nn.LayerNorm(width)
        )

    def forward(self, x: Tensor) -> Tensor:
        return x + self.layers(x)


def _initialise(module: nn.Module) -> None:
    """Draw Xavier-uniform weights and zero biases for linear layers, as the video VAE-GAN guide does.

    Rotations keep their identity.
    """
    if isinstance(module, nn.Linear) and not hasattr(module, "parametrizations"):
        nn.init.xavier_uniform_(module.weight)
        if module.bias is not None:
            nn.init.zeros_(module.bias)
