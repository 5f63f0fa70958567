"""Random numbers derived from (seed, step), so that no random state is stored and resuming is exact.

For draws per sample, :func:`uniform` and :func:`normal`, every process draws the whole batch and keeps its own rows. Any number of
processes therefore train on the numbers that one process would draw.
"""

import hashlib
from collections.abc import Callable
from dataclasses import dataclass

import torch
from torch import Tensor


def derive(*parts: object) -> int:
    """Return a 63-bit seed from any words and numbers, stable across machines and Python versions."""
    digest = hashlib.sha256(":".join(map(str, parts)).encode()).digest()
    return int.from_bytes(digest[:8], "little") >> 1


@dataclass(frozen=True)
class _Share:
    """This process's part of a batch, and the generator common to all processes; None: torch's own generator."""

    rank: int = 0
    processes: int = 1
    common: torch.Generator | None = None


_share = _Share()


def seed_step(seed: int, step: int, salt: int, rank: int = 0, processes: int = 1) -> None:
    """Seed all random numbers of one step; ``salt`` counts rollbacks, so that a retry takes another path.

    torch's own functions, which nn.Dropout uses, differ in each process. :func:`uniform` and :func:`normal` return rows of one draw.
    """
    global _share
    torch.manual_seed(derive("step", seed, step, rank, salt))
    common = torch.Generator().manual_seed(derive("step", seed, step, 0, salt)) if processes > 1 else None
    _share = _Share(rank, processes, common)


def uniform(*shape: int) -> Tensor:
    """Return this process's rows of U[0, 1) numbers, drawn on the CPU to be equal on every device.

    Args:
        shape: the first number counts this process's samples, or is a multiple of it with a sample's rows next to each other.
    """
    return _rows(torch.rand, shape)


def normal(*shape: int) -> Tensor:
    """Return rows as :func:`uniform` does, from N(0, 1)."""
    return _rows(torch.randn, shape)


def stratified(count: int) -> Tensor:
    """Return (count,) numbers in [0, 1): [0, 1) is divided equally among the whole batch, one number from each part."""
    first = _share.rank * count
    return (torch.arange(first, first + count) + uniform(count)) / (count * _share.processes)


def _rows(draw: Callable[..., Tensor], shape: tuple[int, ...]) -> Tensor:
    if _share.common is None:
        return draw(shape)
    mine, *rest = shape
    return draw((mine * _share.processes, *rest), generator=_share.common)[_share.rank * mine :][:mine]
