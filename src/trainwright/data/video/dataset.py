"""Videos as the training loop uses them: windows of frames with the flow between them."""

from dataclasses import dataclass

import numpy as np
import torch
from torch import Tensor

from trainwright.data.cache import Progress
from trainwright.data.images import to_signed
from trainwright.data.stream import batch_indices
from trainwright.data.video.config import VideoData
from trainwright.data.video.store import Footage, load
from trainwright.data.video.windows import split_windows
from trainwright.errors import UserError
from trainwright.randomness import uniform


@dataclass(frozen=True)
class Clips:
    """A data set of windows, split, ready for training."""

    config: VideoData
    footage: Footage
    train: np.ndarray  # first frame of each window
    held_out: np.ndarray

    @classmethod
    def open(cls, config: VideoData, progress: Progress | None = None) -> "Clips":
        """Decode the videos, or read them from the cache, and split them; see :func:`trainwright.data.video.store.load` for errors."""
        footage = load(config, progress)
        train, held_out = split_windows(footage, config)
        if len(train) < 2:
            longest = max(end - first for first, end in footage.shots)
            raise UserError(
                f"data: {config.source!r} leaves {len(train)} windows of {config.span} frames for training; at least 2 are needed "
                f"(its longest shot has {longest} frames). Give longer videos, or lower data.context, data.predict or data.skip."
            )
        return cls(config, footage, train, held_out)

    def __len__(self) -> int:
        return len(self.train)

    @property
    def identity(self) -> str:
        """Hash of all frames."""
        return self.footage.identity

    @property
    def skipped(self) -> list[tuple[str, str]]:
        """(name, reason) of files that were skipped."""
        return self.footage.skipped

    def windows(self, starts: np.ndarray) -> np.ndarray:
        """(n, frames, S, S, 7) bytes: three of colour, then the two float16 numbers of the flow."""
        places = starts[:, None] + np.arange(self.config.frames) * self.config.skip
        colour = self.footage.frames[places]
        out = np.zeros((*colour.shape[:-1], 7), np.uint8)
        out[..., :3] = colour
        if self.footage.flow is not None:
            out[..., 3:] = np.ascontiguousarray(self.footage.flow[places]).view(np.uint8)
        return out

    def fetch(self, seed: int, start: int, size: int) -> np.ndarray:
        """Raw training batch, as :meth:`windows`."""
        return self.windows(self.train[batch_indices(seed, start, size, len(self.train))])

    def prepare(self, raw: Tensor) -> Tensor:
        """Bytes of windows on any device -> (B, frames, 5, S, S) float (red, green, blue, flow), some of them mirrored or rotated."""
        clips = unpacked(raw)
        if self.config.turn:
            turned, quarters = uniform(len(clips)) < self.config.turn, 1 + (3 * uniform(len(clips))).long()
            for quarter in (1, 2, 3):
                chosen = (turned & (quarters == quarter)).to(clips.device)
                clips[chosen] = turn(clips[chosen], quarter)
        mirrored = (uniform(len(clips)) < self.config.flip).to(clips.device)
        return torch.where(mirrored[:, None, None, None, None], mirror(clips), clips)

    def some(self, part: str, count: int) -> Tensor:
        """Up to ``count`` windows of ``train`` or ``held_out``, evenly spread over them: (n, frames, 5, S, S)."""
        return unpacked(torch.from_numpy(self.windows(self._spread(part, count))))

    def images(self, part: str, count: int) -> Tensor:
        """The first frame after the context of each of :meth:`some`: (n, 3, S, S)."""
        places = self._spread(part, count) + self.config.context * self.config.skip
        return to_signed(torch.from_numpy(self.footage.frames[places]))

    def _spread(self, part: str, count: int) -> np.ndarray:
        """First frames of up to ``count`` windows."""
        starts = {"train": self.train, "held_out": self.held_out}[part]
        if not len(starts):
            return starts
        return starts[np.unique(np.linspace(0, len(starts) - 1, min(count, len(starts))).round().astype(int))]


def unpacked(raw: Tensor) -> Tensor:
    """(..., S, S, 7) bytes -> (..., 5, S, S) float."""
    colour = raw[..., :3].float().div_(127.5).sub_(1)
    flow = raw[..., 3:].contiguous().view(torch.float16).float()
    return torch.cat([colour, flow], dim=-1).movedim(-1, -3).contiguous()


def turn(clips: Tensor, quarters: int) -> Tensor:
    """Rotate by ``quarters`` quarter turns to the left: motion to the right becomes motion upwards."""
    turned = clips.rot90(quarters, (-2, -1))
    right, down = turned[..., 3, :, :], turned[..., 4, :, :]
    for _ in range(quarters):
        right, down = down, -right
    return torch.cat([turned[..., :3, :, :], torch.stack([right, down], dim=-3)], dim=-3)


def mirror(clips: Tensor) -> Tensor:
    """Left and right exchanged; flow to the right becomes flow to the left."""
    turned = clips.flip(-1)
    signs = torch.tensor([1.0, 1.0, 1.0, -1.0, 1.0], device=clips.device)
    return turned * signs[:, None, None]
