"""Distances between sampled latents, compared with those between real latents.

They are the ``sample_diversity/metrics`` of the latent diffusion guide, with a target. The mean distance of independent vectors with
variance v in each dimension is 2 v. It has no healthy upper limit, so alone it rates noise and over-dispersed samplers as healthy.
Its ratio to the distance of real latents has the target 1.
"""

import torch
from torch import Tensor

from trainwright.metrics.image_quality import psnr

SEEN = 16  # samples, as in the latent diffusion guide
BLOCKS = 16  # largest number of blocks of real latents
QUARTER = 6.02  # dB, a quarter of the squared error
CEILING = 126.0  # dB, of equal images


def pairwise_mse(latents: Tensor) -> dict[str, float]:
    """Compute mean squared differences per dimension over all pairs of (n, ...) latents.

    Returns:
        ``pairwise_mse_mean``, ``_std``, ``_min``, ``_max``.
    """
    flat = latents.flatten(1).double()
    distances = torch.pdist(flat).square() / flat.shape[1]
    found = {"mean": distances.mean(), "std": distances.std(), "min": distances.min(), "max": distances.max()}
    return {f"pairwise_mse_{name}": float(value) for name, value in found.items()}


def diversity_signals(samples: Tensor, real: Tensor) -> dict[str, float]:
    """Compute signals of up to 16 sampled latents, compared with up to 256 real ones, both scaled.

    The real statistics are means over blocks. Each block has the same number of latents as there are samples, because the
    smallest and the largest distance depend on that number.
    """
    samples = samples[:SEEN]
    if len(samples) < 3 or len(real) < 3 or not bool(torch.isfinite(samples).all()):
        return {}
    own = pairwise_mse(samples)
    size = min(len(samples), len(real))
    many = min(BLOCKS, len(real) // size)
    # each block has latents from all over the set: neighbours are often of one folder or series
    blocks = [pairwise_mse(real[i : many * size : many]) for i in range(many)]
    reference = {name: sum(block[name] for block in blocks) / len(blocks) for name in own}
    return {
        **{f"sample_diversity/{name}": value for name, value in own.items()},
        **{f"real_diversity/{name}": value for name, value in reference.items()},
        "sample_diversity/ratio": own["pairwise_mse_mean"] / max(reference["pairwise_mse_mean"], 1e-12),
    }


def reproduced(samples: Tensor, images: Tensor, decoded: Tensor) -> dict[str, float]:
    """Measure how closely samples reproduce the images of an overfitting run, all (n, C, H, W) in [-1, 1].

    Args:
        samples: of stage two.
        images: the originals.
        decoded: the originals after encoding and decoding, the best result that stage two can reach.

    Returns:
        ``overfit/psnr``: PSNR of samples against their nearest image. ``overfit/least_psnr``: PSNR of the image that is reproduced
        worst, against its nearest sample. ``overfit/found_share``: share of images with a sample whose error is below a quarter
        of the distance to the nearest other image. ``overfit/decoded_psnr``: PSNR of samples against the nearest decoded image,
        which excludes the autoencoder's error.
    """
    to_images, to_decoded = _decibels(samples, images), _decibels(samples, decoded)
    best = to_images.max(0).values
    nearest = _decibels(images, images).fill_diagonal_(0.0).max(0).values  # PSNR against the nearest other image
    return {
        "overfit/psnr": float(to_images.max(1).values.mean()),
        "overfit/least_psnr": float(best.min()),
        "overfit/found_share": float((best > nearest + QUARTER).double().mean()),
        "overfit/decoded_psnr": float(to_decoded.max(1).values.mean()),
    }


def _decibels(samples: Tensor, images: Tensor) -> Tensor:
    """Compute the PSNR of every sample against every image, (m, n)."""
    return psnr(samples[:, None].double(), images.double(), 2.0, (2, 3, 4), CEILING)
