"""Quality report of fitted images: a table, and a page of originals and fits."""

import base64
import csv
import io
from importlib.resources import files
from pathlib import Path

import numpy as np
import torch
from jinja2 import Environment
from torch import Tensor

from trainwright import __version__
from trainwright.data.gaussians.config import GaussianData
from trainwright.data.gaussians.folder import settings_of
from trainwright.data.gaussians.render import Canvas, render
from trainwright.data.gaussians.sets import GaussianSets
from trainwright.engine.grids import to_image
from trainwright.files import atomic_path, write_text

SHOWN = 24  # images on the page: the worst, and others spread over the ranks


def summary(found: GaussianSets, count: int) -> str:
    """Return one line: the number of images and the quality of their fits."""
    low, middle, high = np.percentile(found.psnr, [5, 50, 95])
    return (
        f"{len(found.names)} images as {count} Gaussians each: PSNR median {middle:.1f} dB (5 % below {low:.1f}, 5 % above "
        f"{high:.1f}), SSIM median {np.median(found.ssim):.3f}"
    )


def write_report(folder: Path, found: GaussianSets, config: GaussianData) -> Path:
    """Write ``quality.csv`` and ``quality.html`` into ``folder`` and return the page's path."""
    ranks = np.argsort(found.psnr)
    table = io.StringIO(newline="")
    writer = csv.writer(table)
    writer.writerow(["name", "psnr_db", "ssim", "steps"])
    for i in ranks:
        writer.writerow([found.names[i], f"{found.psnr[i]:.3f}", f"{found.ssim[i]:.4f}", int(found.steps[i])])
    with atomic_path(folder / "quality.csv") as temporary:
        temporary.write_text(table.getvalue(), encoding="utf-8", newline="")
    picks = ranks[np.unique(np.linspace(0, len(ranks) - 1, min(SHOWN, len(ranks))).round().astype(int))]
    source = (files("trainwright.report") / "fits.html.j2").read_text(encoding="utf-8")
    page = Environment(autoescape=True, trim_blocks=True, lstrip_blocks=True).from_string(source)
    text = page.render(
        summary=summary(found, config.fitting.count),
        settings=settings_of(config),
        skipped=found.skipped,
        images=_pairs(found, config, picks),
        version=__version__,
    )
    write_text(folder / "quality.html", text)
    return folder / "quality.html"


def _pairs(found: GaussianSets, config: GaussianData, picks: np.ndarray) -> list[dict[str, str]]:
    sets = torch.from_numpy(np.array(found.sets[picks]))
    fitted = render(sets, Canvas(config.size, config.size), config.fitting.blend, config.fitting.top_k).clamp(0, 1)
    return [
        {
            "name": found.names[i],
            "quality": f"{found.psnr[i]:.1f} dB, SSIM {found.ssim[i]:.3f}, {int(found.steps[i])} steps",
            "original": _uri(np.array(found.pixels[i])),
            "fitted": _uri(_bytes(fit)),
        }
        for i, fit in zip(picks, fitted, strict=True)
    ]


def _bytes(image: Tensor) -> np.ndarray:
    return (image * 255).round().to(torch.uint8).permute(1, 2, 0).numpy()


def _uri(image: np.ndarray) -> str:
    out = io.BytesIO()
    to_image(image).save(out, format="PNG")
    return "data:image/png;base64," + base64.b64encode(out.getvalue()).decode()
