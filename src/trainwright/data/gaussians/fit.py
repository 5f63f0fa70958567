"""Fitting Gaussians to images: a batch at a time, by Adam, on one device.

Adaptive fits follow Image-GS: 30 % of the places uniformly at random, 70 % by squared Sobel gradient, half of the Gaussians first and
an eighth more four times where the error is largest. Fits in slots begin on a lattice and are held near it by a quadratic prior,
which makes each slot's Gaussian a smooth function of the image. Every image of a batch has its own learning rate. When it no longer
improves the rate falls to a tenth, and when it stops again the image leaves the batch.
"""

import hashlib
import math
from dataclasses import dataclass

import torch
import torch.nn.functional as F
from torch import Tensor

from trainwright.data.gaussians import variables
from trainwright.data.gaussians.config import Fit
from trainwright.data.gaussians.order import morton
from trainwright.data.gaussians.render import Canvas, largest, paint, reaching, render, weigh
from trainwright.metrics.image_quality import psnr, ssim

CHECK = 25  # steps between checks of the error, and between updates of which Gaussians reach which tile
PATIENCE = 2  # checks without a gain after which a rate falls
GAIN = 0.1  # dB that count as a gain; Image-GS's
ADD_AT = (
    0.1,
    0.2,
    0.3,
    0.4,
)  # shares of the steps at which an eighth is added; Image-GS: 500, 1000, 1500, 2000 of 5000
LAST = 0.75  # share of the steps after which every rate has fallen
WIDEST = 5.0  # largest σ, in halves of the mean distance
MOST = 96  # Gaussians that may take part in a tile during a fit; the final image counts all
NOISE = 0.08  # standard deviation of a pixel's error that the prior of slots is weighed against
PRIOR = (0.2, 0.2, 0.2, 0.3, 0.3)  # standard deviations of place (in halves of the mean distance), l, p and q in slots
# Both found by fitting real images twice, once with noise of 0.02 on them: with these, 85 % or more of the variance of every group
# is reproduced; with a prior four times wider rotation is pure noise (LOG.md).


@dataclass(frozen=True)
class Fitted:
    """One image's Gaussians and how well they render.

    Attributes:
        set: (N, 5 + C) float32 on the CPU, as :mod:`trainwright.data.gaussians.render` defines.
        psnr: of the exact rendering, clamped to [0, 1], in dB; at most 99.
        ssim: structural similarity in [-1, 1].
        steps: optimizer steps taken.
    """

    set: Tensor
    psnr: float
    ssim: float
    steps: int


def fit(images: Tensor, settings: Fit, names: list[str] | None = None) -> list[Fitted]:
    """Fit ``settings.count`` Gaussians to each image.

    Args:
        images: (B, C, H, W) in [0, 1], on the device to compute on.
        settings: see :class:`~trainwright.data.gaussians.config.Fit`.
        names: the images' own random streams; by default their position. The same name gives the same places.

    Returns:
        One :class:`Fitted` for each image. A failed fit has a non-finite set; the caller names the image.
    """
    canvas = Canvas(*images.shape[2:])
    work = Work(images, settings, canvas, names or [str(i) for i in range(len(images))])
    values, steps = work.run()
    sets = variables.to_sets(settings.variables, values, canvas)
    with torch.no_grad():
        shown = render(sets, canvas, settings.blend, settings.top_k).clamp(0, 1)
    quality = zip(psnr(shown, images, 1.0, (1, 2, 3)).tolist(), ssim(shown, images, 1.0).tolist(), strict=True)
    return [Fitted(s, p, q, n) for s, (p, q), n in zip(sets.float().cpu(), quality, steps, strict=True)]


def spacing(canvas: Canvas, count: int) -> float:
    """Mean distance of ``count`` places in pixels."""
    return math.sqrt(canvas.width * canvas.height / count)


class Work:
    """State of one batch: variables, Adam's moments, and each image's rate, best error and completion."""

    def __init__(self, images: Tensor, settings: Fit, canvas: Canvas, names: list[str]) -> None:
        self.settings, self.canvas = settings, canvas
        self.target = canvas.cut(images)
        self.images = images
        self.streams = [torch.Generator().manual_seed(_seed(settings.places_seed, name)) for name in names]
        count = settings.count
        self.sigma = spacing(canvas, count) / 2
        self.slots = settings.layout == "slots"
        self.waves = [0.0, *ADD_AT] if settings.progressive and not self.slots and count >= 16 else [0.0]
        self.added = _shares(count, len(self.waves))
        if self.slots:
            places = lattice(count, canvas).to(images).expand(len(images), -1, -1)
            sigma = torch.full_like(places[..., 0], self.sigma)
        else:
            places, sigma = self._draw(_gradient(images), self.added[0], uniform=0.3)
        self.anchor = places if self.slots else None
        self.values = variables.begin(settings.variables, places, sigma, self._colours(images, places))
        if settings.blend == "sum":
            self.values[..., 5:] *= 0.3  # about what neighbours at this spacing add up from
        self.rates = variables.rates(settings.variables, self.sigma, images.shape[1]).to(images)
        self.rate = torch.ones(len(images)).to(images)
        self.best = torch.full((len(images),), math.inf).to(images)
        self.waited = torch.zeros(len(images)).to(images)
        self._restart()

    def run(self) -> tuple[Tensor, list[int]]:
        """Fit all images to the end: return variables (B, N, 5 + C) and the steps of each."""
        total, batch = self.settings.max_steps, len(self.values)
        alive = torch.arange(batch)
        done: dict[int, tuple[Tensor, int]] = {}
        waves = {round(share * total): n for share, n in zip(self.waves[1:], self.added[1:], strict=True)}
        for step in range(total):
            if step in waves:
                self._grow(waves[step])
            if step % CHECK == 0 or step in waves:
                self.measure()
            error = self.step()
            if (step + 1) % CHECK == 0 and step + 1 > max(waves, default=0):
                stay = self._judge(error, late=step + 1 >= LAST * total)
                for i in torch.nonzero(~stay).flatten().tolist():
                    done[int(alive[i])] = (self.values[i], step + 1)
                alive = alive[stay.cpu()]
                self._keep(stay)
                if not len(alive):
                    break
        for i, position in enumerate(alive.tolist()):
            done[position] = (self.values[i], total)
        return torch.stack([done[i][0] for i in range(batch)]), [done[i][1] for i in range(batch)]

    # ---- one step ----------------------------------------------------------------------------------------------------

    def step(self) -> Tensor:
        """One optimizer step; returns each image's mean squared error before it."""
        settings = self.settings
        values = self.values.requires_grad_()
        shapes = variables.shapes(settings.variables, values)
        shown = paint(shapes, values[..., 5:], self.index, self.canvas, settings.blend, keep=self.mask)
        difference = shown - self.target
        error = difference.detach().square().mean((1, 2, 3))
        if settings.loss == "l2":
            loss = difference.square().sum() / (2 * NOISE**2)
        else:
            image = self.canvas.assemble(shown)
            loss = difference.abs().mean() + 0.1 * (1 - ssim(image, self.images, 1.0)).mean()
            loss = loss * difference.numel() / NOISE
        if self.anchor is not None:
            loss = loss + self._prior(values, self.anchor)
        (gradient,) = torch.autograd.grad(loss, values)
        self._adam(gradient)
        return error

    def _adam(self, gradient: Tensor) -> None:
        """Adam (betas 0.9, 0.99) with a rate for each image and variable; images come and go, so the state is plain tensors."""
        self.age += 1
        with torch.no_grad():
            self.first.lerp_(gradient, 0.1)
            self.second.lerp_(gradient.square(), 0.01)
            unit = (self.first / (1 - 0.9**self.age)) / ((self.second / (1 - 0.99**self.age)).sqrt() + 1e-12)
            warm = min(1.0, self.age / 10)
            moved = self.values.detach() - warm * self.rate[:, None, None] * self.rates * unit
            self.values = variables.bound(self.settings.variables, moved, WIDEST * self.sigma)

    def _prior(self, values: Tensor, anchor: Tensor) -> Tensor:
        """Squares of how far slots are from their anchors and from round Gaussians of the first size."""
        away = torch.cat([values[..., :2] - anchor, values[..., 2:5]], -1)
        if self.settings.variables == "inverse_scale":
            shape = torch.stack([(values[..., 2] * self.sigma).abs().clamp_min(variables.TINY).log(),
                                 (values[..., 3] * self.sigma).abs().clamp_min(variables.TINY).log(),
                                 torch.zeros_like(values[..., 4])], -1)  # fmt: skip
            away = torch.cat([away[..., :2], shape], -1)
        else:
            away = away - values.new_tensor([0, 0, math.log(self.sigma), 0, 0])
        width = values.new_tensor(PRIOR) * values.new_tensor([self.sigma, self.sigma, 1, 1, 1])
        return (away / width).square().sum() / 2

    # ---- between steps -----------------------------------------------------------------------------------------------

    @torch.no_grad()
    def measure(self) -> None:
        """Find which Gaussians reach which tile and, for the normalised rule, which are strongest at each pixel.

        At the full rate all weights count: a mask that is some steps old would hold Gaussians back from where they move.
        """
        shapes = variables.shapes(self.settings.variables, self.values)
        self.index = reaching(shapes, self.canvas, MOST)
        self.mask = None
        late = self.rate < 1
        if self.settings.blend == "normalised" and self.index.shape[-1] > self.settings.top_k and bool(late.any()):
            mask = largest(weigh(shapes, self.index, self.canvas), self.settings.top_k)
            self.mask = torch.where(late.repeat_interleave(self.index.shape[1])[:, None, None], mask, 1.0)

    def _judge(self, error: Tensor, late: bool) -> Tensor:
        """Lower the rates of images that stopped improving; return which images continue."""
        gained = 10 * torch.log10(self.best / error.clamp_min(1e-12)) >= GAIN
        self.waited = torch.where(gained, 0, self.waited + 1)
        self.best = torch.where(gained, error, self.best)
        good = -10 * error.clamp_min(1e-12).log10() >= self.settings.enough
        stopped, full = good | (self.waited >= PATIENCE) | ~torch.isfinite(error), self.rate == 1.0
        falls = full & (stopped | late)
        self.rate = torch.where(falls, 0.1, self.rate)
        self.waited = torch.where(falls, 0, self.waited)
        self.best = torch.where(falls, math.inf, self.best)
        return full | ~stopped

    def _keep(self, stay: Tensor) -> None:
        """Remove finished images from the batch."""
        if bool(stay.all()):
            return
        pick = torch.nonzero(stay).flatten()
        for name in ("values", "first", "second", "target", "images", "rate", "best", "waited", "index"):
            setattr(self, name, getattr(self, name)[pick])
        if self.anchor is not None:
            self.anchor = self.anchor[pick]
        self.streams = [self.streams[i] for i in pick.tolist()]
        if self.mask is not None and len(pick):
            tiles = self.canvas.rows * self.canvas.columns
            self.mask = self.mask.view(len(stay), tiles, *self.mask.shape[1:])[pick].flatten(0, 1)

    def _restart(self) -> None:
        self.age = 0
        self.first, self.second = torch.zeros_like(self.values), torch.zeros_like(self.values)

    # ---- where Gaussians begin ---------------------------------------------------------------------------------------

    @torch.no_grad()
    def _grow(self, count: int) -> None:
        """Add ``count`` Gaussians to each image, at places drawn by squared error."""
        self.measure()
        shapes = variables.shapes(self.settings.variables, self.values)
        colours = self.values[..., 5:]
        shown = paint(shapes, colours, self.index, self.canvas, self.settings.blend, keep=self.mask)
        missing = self.canvas.assemble(self.target - shown)
        places, _ = self._draw(missing.square().sum(1), count, uniform=0.0)
        narrow = torch.full_like(places[..., 0], self.sigma / 2)  # they cover what the wide ones missed
        source = missing if self.settings.blend == "sum" else self.images
        fresh = variables.begin(self.settings.variables, places, narrow, self._colours(source, places))
        self.values = torch.cat([self.values.detach(), fresh], 1)
        self._restart()

    def _draw(self, density: Tensor, count: int, uniform: float) -> tuple[Tensor, Tensor]:
        """Draw places without repetition from ``density`` (B, H, W) and a uniform share.

        Returns:
            (B, count, 2) places and (B, count) half their expected distances, both in pixels: where places are rare, a
            Gaussian begins wide, so that nothing is left uncovered.
        """
        height, width = density.shape[1:]
        share = density.flatten(1).cpu().double()
        share = share / share.sum(1, keepdim=True).clamp_min(1e-30)
        mixed = uniform / (height * width) + (1 - uniform) * share + 1e-9
        again = count > height * width
        rows = zip(mixed, self.streams, strict=True)
        picks = torch.stack([torch.multinomial(m, count, replacement=again, generator=g) for m, g in rows])
        places = torch.stack([picks % width, picks // width], -1) + 0.5
        sigma = 0.5 / (count * mixed.gather(1, picks)).sqrt()
        return places.to(density), sigma.clamp(0.7 * self.sigma, 4 * self.sigma).to(density)

    def _colours(self, source: Tensor, places: Tensor) -> Tensor:
        """(B, n, C): what ``source`` (B, C, H, W) shows at ``places`` (B, n, 2)."""
        x = places[..., 0].long().clamp(0, source.shape[3] - 1)
        y = places[..., 1].long().clamp(0, source.shape[2] - 1)
        flat = (y * source.shape[3] + x)[:, None].expand(-1, source.shape[1], -1)
        return source.flatten(2).gather(2, flat).transpose(1, 2)


def lattice(count: int, canvas: Canvas) -> Tensor:
    """(count, 2) places in pixels in Morton order: rows of a brick pattern, as square as the count allows.

    512 on 64x64: 32 rows of 16, every other row moved by half a step: each place has four neighbours 2.8 pixels away.
    """
    ratio = canvas.height / canvas.width
    rows = max(1, round(math.sqrt(2 * count * ratio)))
    share = [count // rows + (row < count % rows) for row in range(rows)]
    points = []
    for row, columns in enumerate(share):
        step = canvas.width / max(1, columns)
        shift = step / 4 * (1 if row % 2 else -1)
        y = (row + 0.5) * canvas.height / rows
        points += [[(column + 0.5) * step + shift, y] for column in range(columns)]
    found = torch.tensor(points)
    return found[morton(found / canvas.size(found))]


def _shares(count: int, waves: int) -> list[int]:
    """Return the number of Gaussians that each wave adds: half and four eighths, or all at once."""
    if waves == 1:
        return [count]
    eighth = count // 8
    return [count - eighth * (waves - 1), *[eighth] * (waves - 1)]


def _gradient(images: Tensor) -> Tensor:
    """Squared Sobel gradient of the mean over channels: (B, H, W)."""
    grey = F.pad(images.mean(1, keepdim=True), (1, 1, 1, 1), mode="replicate")
    kernel = torch.tensor([[1.0, 0, -1], [2, 0, -2], [1, 0, -1]]).to(images)[None, None]
    return (F.conv2d(grey, kernel).square() + F.conv2d(grey, kernel.transpose(2, 3)).square())[:, 0]


def _seed(seed: int, name: str) -> int:
    return int.from_bytes(hashlib.sha256(f"{seed}:{name}".encode()).digest()[:7], "little")
