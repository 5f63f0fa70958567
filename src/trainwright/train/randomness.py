"""Random numbers derived from (seed, step): nothing about randomness is ever stored, and resuming is exact."""

import hashlib

import torch


def derive(*parts: object) -> int:
    """A 63-bit seed from any words and numbers, stable across machines and Python versions."""
    digest = hashlib.sha256(":".join(map(str, parts)).encode()).digest()
    return int.from_bytes(digest[:8], "little") >> 1


def seed_step(seed: int, step: int, rank: int, salt: int) -> None:
    """Seeds torch's global generators for one step; ``salt`` counts rollbacks, so that a retry takes another path."""
    torch.manual_seed(derive("step", seed, step, rank, salt))
