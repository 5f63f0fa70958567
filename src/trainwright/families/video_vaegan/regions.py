"""Golden-aspect regions (GAAD): boxes from golden cuts of the frame and along a golden spiral.

The published boxes depend only on the size of the frame. Every frame of every clip has the same boxes, so a condition from them is a
constant. :func:`adapted` moves them towards motion and contrast: it cuts their sum in the golden ratio, not the frame's length.

A box is (x1, y1, x2, y2) in pixels, x to the right and y down.
"""

import math
from collections import deque
from typing import Literal

import torch
from torch import Tensor

PHI = (1 + math.sqrt(5)) / 2
EDGE = 1e-5
DEPTH = 6
Box = tuple[float, float, float, float]
Kind = Literal["subdivide", "spiral", "hybrid"]


def boxes(kind: Kind, width: int, height: int, count: int, least: float) -> Tensor:
    """Compute the published boxes.

    Args:
        kind: ``subdivide``, ``spiral``, or ``hybrid``: half of either, golden cuts first.
        width: of the frame, in pixels.
        height: of the frame, in pixels.
        count: number of boxes.
        least: smallest side of a golden cut, in pixels.

    Returns:
        (count, 4).
    """
    if kind == "subdivide":
        found = subdivide(width, height, count, least)
    elif kind == "spiral":
        found = spiral(width, height, count)
    else:
        half = count // 2
        found = [*subdivide(width, height, half, least), *spiral(width, height, count - half)]
    return torch.tensor(found)


def subdivide(width: float, height: float, count: int, least: float) -> list[Box]:
    """List the ``count`` largest of the frame and its golden cuts, made breadth first.

    The last one is repeated if there are fewer. Many areas are mathematically equal, because they are powers of φ; equal ones
    stay in the order of the cuts.
    """
    if count == 0:
        return []
    found: list[Box] = [(0.0, 0.0, float(width), float(height))]
    waiting: deque[tuple[Box, int]] = deque([(found[0], 0)])
    while waiting and len(found) < 3 * count:
        (x1, y1, x2, y2), depth = waiting.popleft()
        w, h = x2 - x1, y2 - y1
        if min(w, h) < least or depth > DEPTH:
            continue
        if w > h + EDGE or (abs(w - h) <= EDGE and w > least * PHI):
            cut = x1 + w / PHI
            pieces = [(x1, y1, cut, y2), (cut, y1, x2, y2)]
        elif h > w + EDGE:
            cut = y1 + h / PHI
            pieces = [(x1, y1, x2, cut), (x1, cut, x2, y2)]
        else:
            continue
        for piece in pieces:
            if min(piece[2] - piece[0], piece[3] - piece[1]) >= least:
                found.append(piece)
                waiting.append((piece, depth + 1))
    once = list({tuple(round(side, 3) for side in box): box for box in reversed(found)}.values())[::-1]
    largest = sorted(once, key=lambda b: -round((b[2] - b[0]) * (b[3] - b[1]), 3))[:count]
    return [*largest, *[largest[-1]] * (count - len(largest))]


def spiral(width: float, height: float, count: int) -> list[Box]:
    """List squares along a golden spiral from the middle of the frame outwards, smaller the farther out."""
    short, middle = min(width, height), (width / 2, height / 2)
    centres = [(*middle, 0.25)] if count else []
    step, growth = PHI * 2 * math.pi / max(1, count - 1), math.log(PHI) / (math.pi / 2)
    for i in range(count - 1):
        angle = i * step
        radius = min(0.05 * short * math.exp(growth * angle), 0.6 * max(width, height))
        x = min(max(middle[0] + radius * math.cos(angle), 0.0), float(width))
        y = min(max(middle[1] + radius * math.sin(angle), 0.0), float(height))
        centres.append((x, y, max(0.05, 0.2 * math.exp(-0.5 * radius / (0.1 * short)))))
    return [_square(x, y, short * scale / 2, width, height) for x, y, scale in centres]


def _square(x: float, y: float, half: float, width: float, height: float) -> Box:
    x1, y1 = max(0.0, x - half), max(0.0, y - half)
    x2, y2 = min(width - EDGE, x + half), min(height - EDGE, y + half)
    return x1, y1, max(x2, x1 + EDGE), max(y2, y1 + EDGE)


def adapted(published: Tensor, activity: Tensor, strength: float = 0.5) -> Tensor:
    """Move the boxes towards the activity in each clip.

    Axes are stretched where activity is high. A coordinate t in [0, 1] moves to the position below which a share t of the mass
    lies. The mass is ``strength`` parts of ``activity``, and the rest is spread evenly. So a golden cut divides the activity in
    the golden ratio, and the spiral winds about its middle.

    Args:
        published: (R, 4) boxes.
        activity: (B, H, W), not negative: motion, or contrast.
        strength: in [0, 1]; 0 gives the published boxes.

    Returns:
        (B, R, 4); no box is narrower than (1 - strength) times a tenth of its published width.
    """
    height, width = activity.shape[1:]
    places = {0: _stretched(activity.sum(dim=1), strength), 1: _stretched(activity.sum(dim=2), strength)}
    sides = {0: width, 1: height}
    corners = [_interpolate(places[i % 2], published[:, i] / sides[i % 2]) * sides[i % 2] for i in range(4)]
    return torch.stack(corners, dim=-1)


def _stretched(mass: Tensor, strength: float) -> Tensor:
    """Compute the share of the mass (B, n) below each border between pixels: (B, n + 1)."""
    whole = mass.sum(dim=1, keepdim=True)
    even = torch.full_like(mass, 1.0 / mass.shape[1])
    shares = torch.where(whole > 0, mass / whole.clamp_min(1e-12), even)
    below = (strength * shares + (1 - strength) * even).cumsum(dim=1)
    return torch.cat([torch.zeros_like(below[:, :1]), below / below[:, -1:]], dim=1)


def _interpolate(below: Tensor, t: Tensor) -> Tensor:
    """Find the positions (B, R) in [0, 1] at which the cumulative shares (B, n + 1) reach the shares ``t`` (R,)."""
    wanted = t.to(below).expand(len(below), -1).contiguous()
    right = torch.searchsorted(below, wanted).clamp(1, below.shape[1] - 1)
    low, high = below.gather(1, right - 1), below.gather(1, right)
    part = ((wanted - low) / (high - low).clamp_min(1e-9)).clamp(0, 1)
    return (right - 1 + part) / (below.shape[1] - 1)


def as_condition(found: Tensor, width: int, height: int) -> Tensor:
    """Convert boxes (..., R, 4) to the condition of FiLM (..., 4 R): centre and size as shares of the frame."""
    x1, y1, x2, y2 = found.unbind(-1)
    parts = [(x1 + x2) / 2 / width, (y1 + y2) / 2 / height, (x2 - x1) / width, (y2 - y1) / height]
    return torch.stack(parts, dim=-1).flatten(-2)


def grid(width: int, height: int, count: int) -> Tensor:
    """Compute the first ``count`` cells of an even grid, row by row: (count, 4).

    The grid has at least ``count`` cells that are as square as possible.
    """
    columns = math.ceil(math.sqrt(count * width / height))
    rows = math.ceil(count / columns)
    w, h = width / columns, height / rows
    cells = [(c * w, r * h, (c + 1) * w, (r + 1) * h) for r in range(rows) for c in range(columns)]
    return torch.tensor(cells[:count])
