"""Generation of levels from codes: all steps at once, or in order, where each step sees the elements before it."""

import torch
from torch import Tensor

from trainwright.families.sequence_vae.config import NetworkConfig
from trainwright.families.sequence_vae.context import TileCanvas, counted, point_context
from trainwright.families.sequence_vae.likelihood import MixtureLikelihood, draw_symbol
from trainwright.families.sequence_vae.moves import Moves
from trainwright.families.sequence_vae.networks import Decoder
from trainwright.families.sequence_vae.rules import SokobanRules, repair


def generate_points(decoder: Decoder, z: Tensor, own: torch.Generator, model: NetworkConfig, moves: Moves) -> Tensor:
    """Generate points (B, T, 2) from (B, latent): means of a Gaussian, or draws of a mixture."""
    steps = int(decoder.length)
    raw = None if decoder.sees else decoder(z, steps)
    if raw is not None and model.likelihood == "gaussian":
        return raw.transpose(0, 1)
    points, visible = torch.zeros(len(z), steps, 2, device=z.device), torch.ones(len(z), steps, device=z.device)
    last, states = points[:, 0], None
    for t in range(steps):
        seen = None
        if raw is None:
            seen = point_context(points[:, : t + 1], visible[:, : t + 1], steps)[:, -1]
            out, states = decoder.run(z, 1, seen[None], states)
            now = out[0]
        else:
            now = raw[t]
        if model.likelihood == "gaussian":
            last = now
        else:
            mixture = MixtureLikelihood.of(now, model.components, moves.bounds(steps), moves.around(seen))
            last = moves.after(last, mixture.draw(own), steps)
        points[:, t] = last
    return points


def generate_tiles(decoder: Decoder, z: Tensor, own: torch.Generator, ruled: bool) -> Tensor:
    """Generate symbol numbers (B, H, W) from (B, latent), drawn row by row.

    The logits of a decoder without context are computed for all tiles at once.
    """
    rows, columns = decoder.rows, decoder.columns
    canvas = TileCanvas(len(z), rows, columns, decoder.symbols, z.device)
    rules = SokobanRules(canvas) if ruled else None
    all_logits = None if decoder.sees else decoder(z, rows * columns)
    states, drawn_from = None, []
    for row in range(rows):
        for column in range(columns):
            if all_logits is not None:
                logits = all_logits[row * columns + column]
            else:
                near = decoder.embed(canvas.near(row, column)).flatten(1)
                place = torch.cat([decoder.row.weight[row], decoder.column.weight[column]]).expand(len(z), -1)
                seen = torch.cat([near, place, counted(canvas.counts)], -1)
                raw, states = decoder.run(z, 1, seen[None], states)
                logits = raw[0]
            allowed = None if rules is None else rules.allowed(row, column)
            canvas.put(row, column, draw_symbol(logits.float(), allowed, own))
            drawn_from.append(logits)
    boards = canvas.boards.clone()
    return repair(boards, torch.stack(drawn_from, 1).unflatten(1, (rows, columns))) if ruled else boards
