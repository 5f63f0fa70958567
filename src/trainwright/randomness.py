"""Random numbers derived from (seed, step): nothing about randomness is ever stored, and resuming is exact.

What a step draws for each sample, :func:`uniform` and :func:`normal`, every process draws for the whole batch and keeps its
rows: so any number of processes train on the numbers that one would have drawn.
"""

import hashlib
from collections.abc import Callable
from dataclasses import dataclass

import torch
from torch import Tensor


def derive(*parts: object) -> int:
    """A 63-bit seed from any words and numbers, stable across machines and Python versions."""
    digest = hashlib.sha256(":".join(map(str, parts)).encode()).digest()
    return int.from_bytes(digest[:8], "little") >> 1


@dataclass(frozen=True)
class _Share:
    """Which part of a batch this process has, and what all processes draw from; None: torch's own generator."""

    rank: int = 0
    processes: int = 1
    common: torch.Generator | None = None


_share = _Share()


def seed_step(seed: int, step: int, salt: int, rank: int = 0, processes: int = 1) -> None:
    """Seeds everything random of one step; ``salt`` counts rollbacks, so that a retry takes another path.

    torch's own functions, which nn.Dropout uses, differ in each process; :func:`uniform` and :func:`normal` are rows of one draw.
    """
    global _share
    torch.manual_seed(derive("step", seed, step, rank, salt))
    common = torch.Generator().manual_seed(derive("step", seed, step, 0, salt)) if processes > 1 else None
    _share = _Share(rank, processes, common)


def uniform(*shape: int) -> Tensor:
    """This process's rows of U[0, 1) numbers on the CPU, so that a seed means the same on every device.

    Args:
        shape: its first number counts this process's samples, or is a multiple of that with a sample's rows beside each other.
    """
    return _rows(torch.rand, shape)


def normal(*shape: int) -> Tensor:
    """As :func:`uniform`, from N(0, 1)."""
    return _rows(torch.randn, shape)


def stratified(count: int) -> Tensor:
    """(count,) numbers in [0, 1), one in each of the equal stretches that the whole batch divides it into."""
    first = _share.rank * count
    return (torch.arange(first, first + count) + uniform(count)) / (count * _share.processes)


def _rows(draw: Callable[..., Tensor], shape: tuple[int, ...]) -> Tensor:
    if _share.common is None:
        return draw(shape)
    mine, *rest = shape
    return draw((mine * _share.processes, *rest), generator=_share.common)[_share.rank * mine :][:mine]
