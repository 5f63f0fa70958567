"""Distances between latents of samples, beside the same of real latents: the guide's ``sample_diversity/metrics``, with a target.

The mean distance of independent vectors with variance v in each dimension is 2 v: it has no upper limit that would be healthy, so
alone it calls noise and over-dispersed samplers healthy. Beside real latents it has one: the ratio 1.
"""

import torch
from torch import Tensor

from trainwright.metrics.image_quality import psnr

SEEN = 16  # samples, as in the guide
BLOCKS = 16  # of so many real latents each
QUARTER = 6.02  # dB
CEILING = 126.0  # dB, of equal images


def pairwise_mse(latents: Tensor) -> dict[str, float]:
    """Mean squared differences a dimension over all pairs of (n, ...) latents.

    Returns:
        ``pairwise_mse_mean``, ``_std``, ``_min``, ``_max``.
    """
    flat = latents.flatten(1).double()
    distances = torch.pdist(flat).square() / flat.shape[1]
    found = {"mean": distances.mean(), "std": distances.std(), "min": distances.min(), "max": distances.max()}
    return {f"pairwise_mse_{name}": float(value) for name, value in found.items()}


def beside_real(samples: Tensor, real: Tensor) -> dict[str, float]:
    """Signals of up to 16 sampled latents beside up to 256 real ones, both scaled.

    The real statistics are means over blocks of as many latents as there are samples: the smallest and the largest distance
    depend on the number.
    """
    samples = samples[:SEEN]
    if len(samples) < 3 or len(real) < 3 or not bool(torch.isfinite(samples).all()):
        return {}
    own = pairwise_mse(samples)
    size = min(len(samples), len(real))
    many = min(BLOCKS, len(real) // size)
    # each block has latents from all over the set: neighbours are often of one folder or series
    blocks = [pairwise_mse(real[i : many * size : many]) for i in range(many)]
    beside = {name: sum(block[name] for block in blocks) / len(blocks) for name in own}
    return {
        **{f"sample_diversity/{name}": value for name, value in own.items()},
        **{f"real_diversity/{name}": value for name, value in beside.items()},
        "sample_diversity/ratio": own["pairwise_mse_mean"] / max(beside["pairwise_mse_mean"], 1e-12),
    }


def reproduced(samples: Tensor, images: Tensor, decoded: Tensor) -> dict[str, float]:
    """How well samples give back the few images of an overfitting run, all (n, C, H, W) in [-1, 1].

    Args:
        samples: of stage two.
        images: the originals.
        decoded: the same through the autoencoder: the best that stage two can do.

    Returns:
        ``overfit/psnr``: dB of samples to their nearest image; ``overfit/least_psnr``: of the image that comes out worst, by its
        nearest sample; ``overfit/found_share``: images with a sample whose error is below a quarter of the distance to the nearest
        other image; ``overfit/decoded_psnr``: dB of samples to the nearest decoded image, which leaves the autoencoder's loss out.
    """
    to_pictures, to_decoded = _decibels(samples, images), _decibels(samples, decoded)
    best = to_pictures.max(0).values
    apart = _decibels(images, images).fill_diagonal_(0.0).max(0).values  # of the nearest other image
    return {
        "overfit/psnr": float(to_pictures.max(1).values.mean()),
        "overfit/least_psnr": float(best.min()),
        "overfit/found_share": float((best > apart + QUARTER).double().mean()),
        "overfit/decoded_psnr": float(to_decoded.max(1).values.mean()),
    }


def _decibels(samples: Tensor, images: Tensor) -> Tensor:
    """PSNR of every sample to every image, (m, n)."""
    return psnr(samples[:, None].double(), images.double(), 2.0, (2, 3, 4), CEILING)
