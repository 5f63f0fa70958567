"""Encoder from frames to μ and log σ² of the latent.

Its parts are regions, nesting over regions, optional motion, nesting over frames, and the combination of the frames. In the program
of the video VAE-GAN guide the latent depended on the last *target* frame alone. No stack mixes frames, and of all encoded frames only
the last row was kept. The motion of that row was padding. Here every frame that the encoder sees affects the latent, and with
``model.motion`` so does the motion between frames.
"""

import torch
from torch import Tensor, nn

from trainwright.families.video_vaegan.config import NetworkConfig
from trainwright.families.video_vaegan.crops import axis_matrix, crop
from trainwright.nn.hyperbolic.level import Nesting
from trainwright.nn.hyperbolic.stack import Stack, euclidean

ROI, PATCH = 4, 16
MOVES = 3  # numbers that describe the motion of a region


class Encoder(nn.Module):
    """Network from clips and boxes to (μ, log σ²).

    Args:
        model: the recipe's networks.
        frames: number of frames that it sees.
    """

    def __init__(self, model: NetworkConfig, frames: int) -> None:
        super().__init__()
        self.model, self.frames = model, frames
        if model.patches == "roi_align":
            self.shallow: nn.Module = nn.Sequential(
                nn.Conv2d(3, model.cnn_channels, 3, padding=1), nn.GroupNorm(8, model.cnn_channels), nn.GELU()
            )
            width = model.cnn_channels * ROI * ROI
        else:
            self.shallow, width = nn.Identity(), 3 * PATCH * PATCH
        self.patch = nn.Linear(width, model.tangent_dim)
        self.regions = _stack(model, "s", model.tangent_dim)
        across = model.wubu_s[-1]
        if model.motion:
            self.move = nn.Linear(MOVES, model.tangent_dim)
            self.motion = _stack(model, "m", model.tangent_dim)
            across += model.wubu_m[-1]
        self.over_frames = _stack(model, "t", across)
        out = model.wubu_t[-1]
        if model.over_time == "attention":
            self.place = nn.Parameter(torch.zeros(frames, out))
            self.query = nn.Linear(out, 1)
        self.mean, self.log_variance = nn.Linear(out, model.latent_dim), nn.Linear(out, model.latent_dim)

    def forward(self, clips: Tensor, boxes: Tensor, motion_boxes: Tensor) -> tuple[Tensor, Tensor]:
        """Encode frames with flow (B, T, 5, S, S) and boxes (B, R, 4), (B, M, 4) to two (B, latent_dim)."""
        batch, frames = clips.shape[:2]
        maps = self.shallow(clips[:, :, :3].flatten(0, 1))
        kind = "roi_align" if self.model.patches == "roi_align" else "resize"
        each = boxes.repeat_interleave(frames, 0)
        crops = crop(maps, each, ROI if kind == "roi_align" else PATCH, kind)  # type: ignore[arg-type]
        found = self.regions(self.patch(crops.flatten(2))).mean(dim=1)
        if self.model.motion:
            moved = self.motion(self.move(moves(clips[:, :-1, 3:], motion_boxes))).mean(dim=2)
            arriving = torch.cat([moved[:, :1], moved], dim=1)  # the first frame is given the motion that leaves it
            found = torch.cat([found, arriving.flatten(0, 1)], dim=1)
        rows = self.over_frames(found).unflatten(0, (batch, frames))
        together = self._together(rows)
        return self.mean(together), self.log_variance(together).clamp(-20, 10)

    def _together(self, rows: Tensor) -> Tensor:
        if self.model.over_time == "last":
            return rows[:, -1]
        if self.model.over_time == "mean":
            return rows.mean(dim=1)
        rows = rows + self.place
        return (torch.softmax(self.query(rows), dim=1) * rows).sum(dim=1)

    def stacks(self) -> list[Stack]:
        """List the hyperbolic stacks."""
        return [m for m in self.modules() if isinstance(m, Stack)]


def moves(flow: Tensor, boxes: Tensor) -> Tensor:
    """Average the flow (B, T, 2, S, S) over boxes (B, M, 4): (B, T, M, 3).

    The three numbers are mean length, mean to the right and mean down, in pixels.
    """
    side = flow.shape[-1]
    fields = torch.cat([flow.square().sum(dim=2, keepdim=True).add(1e-12).sqrt(), flow], dim=2)
    across = axis_matrix(boxes[..., 0], boxes[..., 2], side, 1, "resize")[:, :, 0]
    down = axis_matrix(boxes[..., 1], boxes[..., 3], side, 1, "resize")[:, :, 0]
    return torch.einsum("bmh,btchw,bmw->btmc", down, fields, across)


def _stack(model: NetworkConfig, which: str, width_in: int) -> nn.Module:
    nesting = Nesting(
        rotate=model.wubu_rotation,
        phi_rotation=model.wubu_phi_rotation,
        unit=model.wubu_unit_tangents,
        in_ball=model.wubu_in_ball,
        dropout=model.wubu_dropout,
    )
    widths, curvatures = tuple(getattr(model, f"wubu_{which}")), tuple(getattr(model, f"wubu_{which}_curvatures"))
    stack = Stack(width_in, widths, curvatures, nesting, model.wubu_phi_curvature)
    if model.nesting == "wubu":
        return stack
    return euclidean(width_in, widths, nesting, sum(p.numel() for p in stack.parameters()))
