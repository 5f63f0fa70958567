"""All image metrics of samples compared with real data, with the floor that real data themselves reach."""

from torch import Tensor

from trainwright.metrics.features import BACKEND, Features
from trainwright.metrics.kid import kid
from trainwright.metrics.neighbours import manifold_metrics, memorisation
from trainwright.metrics.reference_split import parts

Row = dict[str, float | str | None]
NEIGHBOURS = 5


def evaluate_images(fake: Tensor, train: Tensor, held_out: Tensor, seed: int = 0) -> list[Row]:
    """Return rows of ``{"metric", "value", "spread", "better", "floor", "meaning"}``.

    Args:
        fake: (M, C, H, W) uint8 samples.
        train: (N, C, H, W) uint8 training images.
        held_out: (K, C, H, W) uint8 held-out images; may be few.
        seed: of KID's subsets and of the parts for the floor.

    Returns:
        One row for each metric that the counts allow; ``floor`` is the value for two parts of the training data,
        as unequal as real data and samples are.
    """
    network = Features()
    f, r, h = (network.of(x) for x in (fake, train, held_out))
    first, second = parts(r, len(f), seed, NEIGHBOURS + 1)
    rows: list[Row] = []
    if min(len(f), len(first)) > 1:
        value, spread = kid(r, f, seed=seed)
        floor, _ = kid(first, second, seed=seed)
        rows.append(_row("KID x1000", value, "lower", floor, "distance of the distributions; 0 is equal", spread))
    if min(len(f), len(first)) > NEIGHBOURS:
        values, floors = manifold_metrics(r, f, NEIGHBOURS), manifold_metrics(first, second, NEIGHBOURS)
        for name, meaning in MEANINGS.items():
            rows.append(_row(name, values[name], "higher", floors[name], meaning))
    if len(h):
        near = memorisation(f, r, h)
        for name, meaning in NEAREST.items():
            if name in near:
                rows.append(_row(name, near[name], "", None, meaning))
    return rows


MEANINGS = {
    "precision": "share of samples that look like some real image",
    "recall": "share of real images that some sample resembles",
    "density": "concentration of samples near real images; about 1 is ideal",
    "coverage": "share of real images with a sample in their neighbourhood",
}
NEAREST = {
    "nearest_training_distance": "median feature distance of a sample to its nearest training image",
    "nearest_training_distance_of_held_out": "the same for held-out real images",
    "nearest_training_ratio": "the first over the second; well below 1 means copying",
}


def _row(metric: str, value: float, better: str, floor: float | None, meaning: str, spread: float | None = None) -> Row:
    return {"metric": metric, "value": value, "spread": spread, "better": better, "floor": floor, "meaning": meaning}


def backend() -> str:
    """Return the name of the backend that every number was computed with."""
    return BACKEND
