"""Encoder and decoders over sequences, time first: (T, B, ...).

The encoder gives the mean and log-variance of z, (B, latent) each. Decoders give (T, B, width), the parameters of
the likelihood of each step.
"""

import torch
from torch import Tensor, nn

from trainwright.families.sequence_vae.config import NetworkConfig
from trainwright.families.sequence_vae.context import NEIGHBOURS, POINT_WIDTH, board_context, counted, point_context
from trainwright.nn.recurrent import Recurrent, State

KEPT = 512  # posteriors of training levels that samples are drawn from
PLACE = 8  # length of the embedding of a row or column


class Encoder(nn.Module):
    """LSTM over the level, and two linear heads on the last layer's cell (or output) after the last step."""

    def __init__(self, model: NetworkConfig, symbols: int) -> None:
        super().__init__()
        hidden = model.encoder_hidden or model.hidden_dim
        self.embed = nn.Embedding(symbols, model.embedding) if symbols else None
        width = model.embedding if symbols else 2
        self.lstm = Recurrent(width, 0, hidden, model.encoder_layers, model.encoder_dropout)
        self.mean, self.log_variance = nn.Linear(hidden, model.latent_dim), nn.Linear(hidden, model.latent_dim)
        self.cell = model.summary == "cell"

    def forward(self, levels: Tensor) -> tuple[Tensor, Tensor]:
        """Encode points (B, T, 2) or symbols (B, T) to mean and log-variance, each (B, latent)."""
        x = levels if self.embed is None else self.embed(levels)
        _, states = self.lstm(x.transpose(0, 1))
        output, cell = states[-1]
        seen = cell if self.cell else output
        return self.mean(seen), self.log_variance(seen)


class Decoder(nn.Module):
    """LSTM from z, and with ``autoregressive`` the elements before, to one vector for each step.

    Args:
        model: sizes.
        out: numbers for each step.
        symbols: of the alphabet; 0 for points.
        columns: of the map; the context of a symbol has its row and column, and the symbols above it.
        rows: of the map.
        points: of a level, where there are no symbols; the buffer ``length`` holds the number of steps, which samples need.
    """

    length: Tensor
    codes: Tensor  # (KEPT, L) means of training levels' posteriors, or none
    widths: Tensor  # their standard deviations

    def __init__(self, model: NetworkConfig, out: int, symbols: int, rows: int, columns: int, points: int) -> None:
        super().__init__()
        self.register_buffer("length", torch.tensor(rows * columns if symbols else points))
        hidden, latent = model.decoder_hidden or model.hidden_dim, model.latent_dim
        self.before = nn.Sequential(nn.Linear(latent, latent), nn.ReLU()) if model.decoder_input_layer else None
        self.sees = model.decoder == "autoregressive"
        width = 0
        if self.sees and symbols:
            self.embed = nn.Embedding(symbols + 1, model.embedding)  # one more: outside of the map, or not visible
            self.row, self.column = nn.Embedding(rows, PLACE), nn.Embedding(columns, PLACE)
            width = NEIGHBOURS * model.embedding + 2 * PLACE + 2 * symbols
        elif self.sees:
            width = POINT_WIDTH
        self.lstm = Recurrent(width, latent, hidden, model.decoder_layers, model.decoder_dropout)
        self.out = nn.Linear(hidden, out)
        # a decoder that sees the level so far ignores z unless z has a short path to the output (Dieng et al. 2019)
        self.skip = nn.Linear(latent, out, bias=False) if self.sees else None
        self.symbols, self.rows, self.columns = symbols, rows, columns
        kept = KEPT if model.prior == "posteriors" else 0
        self.register_buffer("codes", torch.zeros(kept, latent), persistent=kept > 0)
        self.register_buffer("widths", torch.ones(kept, latent), persistent=kept > 0)

    def forward(self, z: Tensor, steps: int, before: Tensor | None = None) -> Tensor:
        """Decode (B, latent) to (T, B, out); ``before`` (T, B, width) is the context of each step."""
        return self.run(z, steps, before, None)[0]

    def run(
        self, z: Tensor, steps: int, before: Tensor | None, states: list[State] | None
    ) -> tuple[Tensor, list[State]]:
        """Decode from given states, and return the states after the last step too."""
        given = z if self.before is None else self.before(z)
        output, states = self.lstm(before, given, steps, states)
        raw: Tensor = self.out(output)
        return raw if self.skip is None else raw + self.skip(z), states

    # ---- prior of samples ----------------------------------------------------------------------------------------------

    @torch.no_grad()
    def follow(self, mean: Tensor, log_variance: Tensor) -> None:
        """Keep posteriors (B, L) of training levels, repeated if there are fewer than ``KEPT``."""
        index = torch.arange(len(self.codes), device=mean.device) % len(mean)
        self.codes.copy_(mean[index])
        self.widths.copy_((0.5 * log_variance[index]).exp())

    def prior(self, count: int, own: torch.Generator) -> Tensor:
        """Draw ``count`` vectors z for samples: (count, L)."""
        noise = torch.randn(count, self.codes.shape[1], generator=own).to(self.codes)
        if not len(self.codes):
            return noise
        chosen = torch.randint(len(self.codes), (count,), generator=own).to(self.codes.device)
        return self.codes[chosen] + self.widths[chosen] * noise

    def prior_moments(self) -> tuple[Tensor, Tensor]:
        """Mean and variance (L,) of z for samples."""
        if not len(self.codes):
            return self.codes.new_zeros(self.codes.shape[1]), self.codes.new_ones(self.codes.shape[1])
        return self.codes.mean(0), self.codes.var(0) + self.widths.square().mean(0)

    # ---- context of a step ---------------------------------------------------------------------------------------------

    def points_before(self, points: Tensor, visible: Tensor) -> Tensor:
        """Compute the context (T, B, POINT_WIDTH) of points (B, T, 2), where ``visible`` (B, T) is 1."""
        return point_context(points, visible, points.shape[1]).transpose(0, 1)

    def symbols_before(self, boards: Tensor, visible: Tensor) -> Tensor:
        """Compute the context (T, B, width) of symbol numbers (B, H, W), where ``visible`` (B, H, W) is 1.

        It has the neighbours before a tile, its row and column, and the counts so far.
        """
        near, counts = board_context(boards, self.symbols)
        near = torch.where(visible[..., None].bool(), near, self.symbols)
        place = self.places(len(boards))
        seen = torch.cat([self.embed(near).flatten(3), place, counted(counts)], -1)
        return seen.flatten(1, 2).transpose(0, 1)

    def places(self, batch: int) -> Tensor:
        """Embeddings of row and column of every tile: (B, H, W, 2 * PLACE)."""
        rows = self.row.weight[:, None].expand(self.rows, self.columns, PLACE)
        columns = self.column.weight[None].expand(self.rows, self.columns, PLACE)
        return torch.cat([rows, columns], -1).expand(batch, -1, -1, -1)
