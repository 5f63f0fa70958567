"""Comparison of sampled sequences of symbols with real ones: diversity, frequencies of symbols and of pairs."""

import torch
from torch import Tensor

MOST_SYMBOLS = 600  # of an alphabet whose pairs are counted


class TokenProbe:
    """Measurement of samples against real sequences.

    Args:
        real: ids (n, L), or one-hot (n, L, K) or flattened (n, L K).
    """

    def __init__(self, real: Tensor) -> None:
        self.one_hot = real.is_floating_point()
        self.real = real[torch.linspace(0, len(real) - 1, min(len(real), 1024)).long()]
        self.spread = _distance(self.real)
        self.distinct = _distinct(self.real)
        self.mean = self.real.float().mean(0) if self.one_hot else None
        self.size = int(self.real.max()) + 1 if not self.one_hot else 0
        self.ceiling: dict[int, float] = {}  # distance of the pairs of so many real sequences from those of the others

    def measure(self, samples: Tensor) -> dict[str, float]:
        """Return signals of samples in the form of the real data; empty if their form differs or there are fewer than 8."""
        samples = samples.cpu()
        if samples.shape[1:] != self.real.shape[1:] or len(samples) < 8 or samples.is_floating_point() != self.one_hot:
            if (
                samples.numel() != 0
                and samples[0].numel() == self.real[0].numel()
                and samples.is_floating_point() == self.one_hot
            ):
                samples = samples.reshape(len(samples), *self.real.shape[1:])
            else:
                return {}
        if self.one_hot and not bool(torch.isfinite(samples).all()):
            return {}
        found = {
            "samples/diversity_ratio": _distance(samples) / max(self.spread, 1e-12),
            "samples/duplicate_share": 1 - _distinct(samples) / max(self.distinct, 1e-12),
        }
        if self.mean is None:
            own, other = (
                torch.bincount(x.flatten().long().clamp(0, self.size - 1), minlength=self.size).float()
                for x in (self.real, samples)
            )
            found["samples/symbol_distance"] = float((own / own.sum() - other / other.sum()).abs().sum() / 2)
            if self.size <= MOST_SYMBOLS and samples.ndim == 2 and samples.shape[1] > 3:
                found["samples/pair_distance"] = _apart(self._pairs(samples), self._pairs(self.real))
                found["real/pair_distance"] = self._ceiling(len(samples))
        return found

    def _ceiling(self, count: int) -> float:
        """Return the mean distance of the pairs of ``count`` real sequences from those of the other ones."""
        if count not in self.ceiling:
            few = min(count, len(self.real) // 2)
            own = torch.Generator().manual_seed(0)
            orders = [torch.randperm(len(self.real), generator=own) for _ in range(4)]
            each = [_apart(self._pairs(self.real[o[:few]]), self._pairs(self.real[o[few:]])) for o in orders]
            self.ceiling[count] = sum(each) / len(each)
        return self.ceiling[count]

    def _pairs(self, x: Tensor) -> Tensor:
        """Return the frequencies of pairs of neighbours (size * size,)."""
        ids = x.long().clamp(0, self.size - 1)
        counts = torch.bincount((ids[:, :-1] * self.size + ids[:, 1:]).flatten(), minlength=self.size**2).float()
        return counts / counts.sum().clamp_min(1)


def _apart(a: Tensor, b: Tensor) -> float:
    """Return the total variation between two distributions, from 0 to 1."""
    return float((a - b).abs().sum() / 2)


def _distance(x: Tensor) -> float:
    """Return the mean share of positions in which two different sequences differ."""
    x = x[:256]
    half = len(x) // 2
    if half < 1:
        return 0.0
    a, b = x[:half], x[half : 2 * half]
    return float((a.float() - b.float()).abs().mean()) if x.is_floating_point() else float((a != b).float().mean())


def _distinct(x: Tensor) -> float:
    flat = x.flatten(1)
    return len(torch.unique(flat, dim=0)) / max(1, len(flat))
