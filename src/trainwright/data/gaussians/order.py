"""The Morton (Z-order) curve: one number for each place, near places mostly near in the order."""

import torch
from torch import Tensor

BITS = 16


def codes(places: Tensor) -> Tensor:
    """(..., 2) places in [0, 1] -> (...) int64 codes: the bits of x and y interleaved, y's above x's, 16 of each."""
    cells = (places.double().clamp(0, 1) * (2**BITS - 1)).round().long()
    code = torch.zeros_like(cells[..., 0])
    for bit in range(BITS):
        code |= ((cells[..., 0] >> bit) & 1) << (2 * bit)
        code |= ((cells[..., 1] >> bit) & 1) << (2 * bit + 1)
    return code


def morton(places: Tensor) -> Tensor:
    """(..., N, 2) -> (..., N) indices that sort the places along the curve; equal codes keep their order."""
    return torch.sort(codes(places), dim=-1, stable=True).indices
