"""Fitted images on disk, stored by image content and fit settings, so that nothing is fitted twice.

An interrupted fit resumes where it stopped, because every finished group of images is written at once. The fits of a data set are
stored together in one entry of the array cache.
"""

import hashlib
import json
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
import torch
from safetensors import SafetensorError, safe_open
from safetensors.torch import save_file

from trainwright.data.array_cache import Entry, Writer, cache_root, cached, writing
from trainwright.data.cache import ImageSet, Progress
from trainwright.data.cache import load as load_images
from trainwright.data.gaussians.config import GaussianData
from trainwright.data.gaussians.fit import Fitted
from trainwright.data.gaussians.folder import is_fit_folder, read_folder
from trainwright.data.gaussians.pool import fit_groups
from trainwright.data.gaussians.sets import GaussianSets
from trainwright.errors import UserError
from trainwright.files import atomic_path

VERSION = 1
GROUP = 4  # images fitted together; 8 or 16 are no faster an image on a CPU


@dataclass(frozen=True)
class _Kept:
    """The folder of fits of one kind."""

    folder: Path

    def file(self, digest: str) -> Path:
        """Return the file of an image's fit, whether it exists or not."""
        return self.folder / digest[:2] / f"{digest}.safetensors"

    def write(self, digest: str, found: Fitted) -> None:
        """Write one fit atomically."""
        facts = {"psnr": repr(found.psnr), "ssim": repr(found.ssim), "steps": str(found.steps)}
        with atomic_path(self.file(digest)) as temporary:
            save_file({"set": found.set.contiguous()}, temporary, metadata=facts)

    def read(self, digest: str) -> Fitted | None:
        """Return a stored fit, or None if there is none or the file is damaged."""
        try:
            with safe_open(self.file(digest), framework="pt") as handle:
                facts = handle.metadata()
                return Fitted(handle.get_tensor("set"), float(facts["psnr"]), float(facts["ssim"]), int(facts["steps"]))
        except (OSError, SafetensorError, KeyError, TypeError, ValueError):
            return None


def load(config: GaussianData, progress: Progress | None = None) -> GaussianSets:
    """Return the fits of every image of ``config.source``: from a folder of fits, from the cache, or fitted now.

    Args:
        config: the images and how to fit them.
        progress: called with (done, total) images.

    Raises:
        UserError: no such folder, a file that is not an image, an image that cannot be fitted (by name), or a folder of fits
            that were made with other settings.
    """
    source = Path(config.source).expanduser()
    if is_fit_folder(source):
        return read_folder(source, config)
    images = load_images(config)
    settings = _settings(config)
    kept = _Kept(cache_root() / "gaussians" / "fits" / _hash(settings))
    key = _hash({**settings, "digests": images.digests, "on_error": config.on_error})

    def make(writer: Writer) -> dict[str, Any]:
        _fit_missing(images, kept, config, progress or (lambda done, total: None))
        return _assemble(images, kept, config, writer)

    with writing("the fitted images"):
        return _gaussian_sets(cached("gaussian_sets", key, make), images)


def _settings(config: GaussianData) -> dict[str, Any]:
    fit = config.fitting.model_dump(mode="json")
    return {"version": VERSION, **fit, "size": config.size, "channels": config.channels}


def _hash(value: Any) -> str:
    return hashlib.sha256(json.dumps(value, sort_keys=True).encode()).hexdigest()[:32]


def _fit_missing(images: ImageSet, kept: _Kept, config: GaussianData, progress: Progress) -> None:
    """Fit every image content that has no fit yet, a group at a time, in content order."""
    first = {digest: i for i, digest in reversed(list(enumerate(images.digests)))}
    missing = sorted(digest for digest in first if kept.read(digest) is None)
    groups = [missing[i : i + GROUP] for i in range(0, len(missing), GROUP)]
    done = len(first) - len(missing)
    progress(done, len(first))

    def jobs() -> Iterator[tuple[np.ndarray, list[str]]]:
        for group in groups:
            yield np.stack([images.pixels[first[digest]] for digest in group]), group

    for group, results in fit_groups(jobs(), config):
        for digest, found in zip(group, results, strict=True):
            if not bool(torch.isfinite(found.set).all()):
                name = images.names[first[digest]]
                if config.on_error == "fail":
                    raise UserError(
                        f"data: {name} cannot be fitted: its Gaussians became infinite. Remove it, skip such images "
                        "with data.on_error=skip, or try fitting.variables=log_covariance."
                    )
            kept.write(digest, found)
        done += len(group)
        progress(done, len(first))


def _assemble(images: ImageSet, kept: _Kept, config: GaussianData, writer: Writer) -> dict[str, Any]:
    shape = (config.fitting.count, 5 + config.channels)
    facts: dict[str, Any] = {"rows": [], "psnr": [], "ssim": [], "steps": [], "skipped": []}
    for row, digest in enumerate(images.digests):
        found = kept.read(digest)
        assert found is not None and tuple(found.set.shape) == shape
        if not bool(torch.isfinite(found.set).all()):
            facts["skipped"].append([images.names[row], "cannot be fitted: its Gaussians became infinite"])
            continue
        writer.append("sets", found.set.numpy().astype("<f4")[None])
        facts["rows"].append(row)
        for key in ("psnr", "ssim", "steps"):
            facts[key].append(getattr(found, key))
    if not facts["rows"]:
        raise UserError(f"data: none of the images in {config.source!r} could be fitted.")
    return facts


def _gaussian_sets(entry: Entry, images: ImageSet) -> GaussianSets:
    facts, rows = entry.facts, entry.facts["rows"]
    return GaussianSets(
        sets=entry.arrays["sets"],
        pixels=images.pixels if len(rows) == len(images.names) else images.pixels[rows],
        digests=[images.digests[row] for row in rows],
        names=[images.names[row] for row in rows],
        skipped=[*images.skipped, *((name, reason) for name, reason in facts["skipped"])],
        psnr=np.array(facts["psnr"]),
        ssim=np.array(facts["ssim"]),
        steps=np.array(facts["steps"]),
    )
