"""Comparison of samples with real images in a cheap feature space: pixels pooled to 8 x 8 and scaled by the real data.

Every value is relative to real data. Definitions and sources are given at the functions.
"""

from collections.abc import Mapping

import torch
import torch.nn.functional as F
from torch import Tensor

from trainwright.metrics.neighbours import manifold_metrics, nearest_distance, radii
from trainwright.metrics.reference_split import parts

POOLED = 8  # side of the pooled image; 8 x 8 keeps the content of a thumbnail
PLACES = 16  # at most, in a series
KEPT = 32  # principal components of the real images
NEIGHBOURS = 5
OFF, AMONG = 0.15, 0.6  # precision and coverage: below it samples are off the data, above it among them
BINS = 20
DUPLICATE = 0.25  # share of the real images' median nearest distance; a smaller distance counts as a duplicate
ENERGY = 1e-12


class SampleProbe:
    """Measurement of samples against a fixed set of real images.

    Args:
        real: (n, C, H, W) in [-1, 1], training images as the reference; vectors (n, D) are accepted, without texture.
        held_out: (m, C, H, W), real images outside the training set; may be empty.
        train: (N, C, H, W), the training images among which copies are searched; by default ``real``.
        appearance: measure texture and colour; off for images that only visualise other data.
    """

    def __init__(self, real: Tensor, held_out: Tensor, train: Tensor | None = None, *, appearance: bool = True) -> None:
        real = real.float()
        pooled = _pool(real)
        self.mean = pooled.mean(0)
        self.scale = pooled.std().clamp_min(1e-6)
        _, _, axes = torch.linalg.svd((pooled - self.mean).double(), full_matrices=False)
        self.axes = axes[:KEPT].T.float()
        self.real = self._features(real)
        self.train = self.real if train is None else self._features(train.float())
        self.held_out = self._features(held_out.float()) if len(held_out) else None
        self.k = min(NEIGHBOURS, len(self.real) - 1)
        self.radius = radii(self.real, self.k)
        self.spread = _pairwise(self.real)
        self.level, self.usual = (float(real.mean()), float(real.std())), (real.mean(0), real.std(0))
        self.texture = texture(real) if appearance and real.ndim == 4 else None
        self.channels = real.mean((2, 3)) if real.ndim == 4 else None
        self.bins = _means(self.real, BINS)
        self.counts = _share(self.real, self.bins)
        self.own_nearest = float(_nearest_other(self.real).median())
        self.unseen = None
        if self.held_out is not None and len(self.held_out) >= 8:
            self.unseen = float(nearest_distance(self.held_out, self.train).median())

    def _features(self, images: Tensor) -> Tensor:
        return torch.as_tensor(((_pool(images) - self.mean) / self.scale) @ self.axes)

    def ceiling(self, count: int) -> dict[str, float]:
        """Return the values that real images reach when compared with other real images.

        They are the best values to expect from ``count`` samples of a perfect generator.
        """
        first, second = parts(self.real, count, least=NEIGHBOURS + 1)
        if min(len(first), len(second)) <= NEIGHBOURS:
            return {}
        found = manifold_metrics(first, second, NEIGHBOURS)
        return {f"real/{name}": found[name] for name in ("coverage", "precision", "recall", "density")}

    def measure(self, fake: Tensor, prefix: str = "samples") -> dict[str, float]:
        """Return signals of samples (n, C, H, W) in [-1, 1]; only ``finite_share`` if one is not finite, nothing if they are few."""
        fake = fake.float().cpu()
        if len(fake) <= NEIGHBOURS + 1:
            return {}
        finite = torch.isfinite(fake).flatten(1).all(1)
        if not bool(finite.all()):
            return {f"{prefix}/finite_share": float(finite.float().mean())}
        features = self._features(fake)
        found = manifold_metrics(self.real, features, self.k, self.radius)
        found["diversity_ratio"] = _pairwise(features) / max(self.spread, 1e-12)
        found["ndb"] = _different(_share(features, self.bins), len(features), self.counts, len(self.real))
        found["duplicate_share"] = float((_nearest_other(features) < DUPLICATE * self.own_nearest).float().mean())
        ratio = self._scaled(fake, found)
        if ratio is not None:
            found["range_ratio"] = ratio
        if self.unseen:
            found["nearest_training_ratio"] = float(nearest_distance(features, self.train).median()) / self.unseen
        if self.texture is not None and self.channels is not None:
            found.update(self._appearance(fake, self.texture, self.channels))
        return {f"{prefix}/{name}": value for name, value in found.items()}

    def _scaled(self, fake: Tensor, found: Mapping[str, float]) -> float | None:
        """Return how many times as wide samples are as real data, if this is all that is wrong with them.

        They lie off the data, and among them once their mean and deviation are those of the data: of all numbers, or of each
        place where samples are normalized (within -1 to 1, or of mean 0 and deviation 1) and the data are not.
        """
        own, deviation = float(fake.std()), float(self.usual[1].square().mean().sqrt())
        if max(found["precision"], found["coverage"]) > OFF or min(own, deviation) <= 0:
            return None
        inside = 0.5 < float(fake.abs().max()) <= 1.05 or (0.7 < own < 1.4 and abs(float(fake.mean())) < 0.3)
        ways = [(fake - fake.mean()) / own * self.level[1] + self.level[0]]
        if inside and not 1 / 3 < deviation < 3:
            ways.append((fake - fake.mean(0)) / fake.std(0).clamp_min(1e-9) * self.usual[1] + self.usual[0])
        for scaled in ways:
            again = manifold_metrics(self.real, self._features(scaled), self.k, self.radius)
            if min(again["precision"], again["coverage"]) > AMONG:
                return own / deviation
        return None

    def measure_diversity(self, fake: Tensor, prefix: str) -> dict[str, float]:
        """Return only diversity and coverage, for a second set of samples."""
        fake = fake.float().cpu()
        if len(fake) <= NEIGHBOURS + 1 or not bool(torch.isfinite(fake).all()):
            return {}
        features = self._features(fake)
        inside = torch.cdist(self.real, features) < self.radius[:, None]
        spread = _pairwise(features) / max(self.spread, 1e-12)
        return {f"{prefix}/diversity_ratio": spread, f"{prefix}/coverage": float(inside.any(1).float().mean())}

    def _appearance(self, fake: Tensor, real: dict[str, float], channels: Tensor) -> dict[str, float]:
        own, found = texture(fake), {}
        found["lattice_share"] = own["lattice"]
        found["lattice_ratio"] = own["lattice"] / max(real["lattice"], 1e-4)
        found["nyquist"] = own["nyquist"]
        found["nyquist_ratio"] = own["nyquist"] / max(real["nyquist"], 1e-3)
        found["top_octave_ratio"] = own["top_octave"] / max(real["top_octave"], ENERGY)
        found["contrast_ratio"] = own["contrast"] / max(real["contrast"], 1e-6)
        shift = (fake.mean((0, 2, 3)) - channels.mean(0)) / channels.std(0).clamp_min(1e-3)
        found["channel_shift"] = float(shift.abs().max())
        if len(shift) >= 3:
            found["hue_shift"] = float((shift[:3] - shift[:3].mean()).abs().max())
        return found


def texture(images: Tensor) -> dict[str, float]:
    """Return second moments of images (n, C, H, W), averaged over images.

    Returns:
        lattice: variance of the means of the four 2 x 2 sub-lattices, over the variance of the image. Photographs have 0.002, white
        noise 3/(H W), untrained transposed convolutions about 0.3.
        nyquist: power at (N/2, 0), (0, N/2) and (N/2, N/2) over that of neighbouring bins; about 1 in photographs.
        top_octave: power in frequencies above half the Nyquist frequency.
        contrast: standard deviation of the pixels of an image.
    """
    height, width = images.shape[2:]
    even = images[:, :, : height // 2 * 2, : width // 2 * 2]
    blocks = torch.stack([even[:, :, i::2, j::2].mean((2, 3)) for i in (0, 1) for j in (0, 1)])
    variance = images.var((2, 3)).mean()
    lattice = float(blocks.var(0, unbiased=False).mean() / variance.clamp_min(1e-8))
    grey = even.mean(1)
    power = torch.fft.fft2(grey - grey.mean((1, 2), keepdim=True)).abs().square().mean(0)
    h, w = power.shape
    near = [(h // 2, 1), (h // 2, 2), (1, w // 2), (2, w // 2), (h // 2 - 1, w // 2), (h // 2 - 2, w // 2)]
    neighbours = torch.stack([power[i % h, j % w] for i, j in near]).mean()
    peaks = torch.stack([power[h // 2, 0], power[0, w // 2], power[h // 2, w // 2]]).mean()
    rows, columns = torch.fft.fftfreq(h).abs()[:, None], torch.fft.fftfreq(w).abs()[None]
    top = power[torch.maximum(rows, columns) > 0.25].mean() / (h * w)
    return {
        "lattice": lattice,
        "nyquist": float(peaks / neighbours.clamp_min(ENERGY)),
        "top_octave": float(top),
        "contrast": float(images.std((1, 2, 3)).mean()),
    }


def _pool(images: Tensor) -> Tensor:
    """Return features (n, F): vectors as they are, series (n, T, F) at up to 16 places, images and the frames of clips in 8 x 8."""
    if images.ndim == 2:
        return images
    if images.ndim == 3:
        sides = min(PLACES, images.shape[1]), min(PLACES, images.shape[2])
        return F.adaptive_avg_pool2d(images[:, None], sides).flatten(1)
    side = min(POOLED, images.shape[-1])
    return F.adaptive_avg_pool2d(images.flatten(1, -3), side).flatten(1)


def _pairwise(points: Tensor) -> float:
    """Return the mean squared distance of two different points: twice the total unbiased variance."""
    return float(2 * points.var(0).sum())


def _nearest_other(points: Tensor) -> Tensor:
    between = torch.cdist(points, points)
    between.fill_diagonal_(float("inf"))
    return between.min(1).values


def _means(points: Tensor, k: int, rounds: int = 10) -> Tensor:
    """Compute the bins of NDB by deterministic k-means, started from farthest points."""
    chosen = [points[0]]
    nearest = torch.cdist(points, points[:1])[:, 0]
    for _ in range(min(k, len(points)) - 1):
        chosen.append(points[int(nearest.argmax())])
        nearest = torch.minimum(nearest, torch.cdist(points, chosen[-1][None])[:, 0])
    centres = torch.stack(chosen)
    for _ in range(rounds):
        owner = torch.cdist(points, centres).argmin(1)
        counts = torch.bincount(owner, minlength=len(centres)).clamp_min(1)
        centres = torch.zeros_like(centres).index_add_(0, owner, points) / counts[:, None]
    return centres


def _share(points: Tensor, centres: Tensor) -> Tensor:
    return torch.bincount(torch.cdist(points, centres).argmin(1), minlength=len(centres)) / len(points)


def _different(p: Tensor, n: int, q: Tensor, m: int) -> float:
    """Compute NDB/K (Richardson & Weiss 2018): share of bins whose proportions differ.

    The criterion is a two-proportion z-test at 5 %.
    """
    pooled = (p * n + q * m) / (n + m)
    error = (pooled * (1 - pooled) * (1 / n + 1 / m)).sqrt().clamp_min(1e-9)
    return float(((p - q).abs() / error > 1.96).float().mean())
