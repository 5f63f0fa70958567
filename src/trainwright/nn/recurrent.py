"""Stack of LSTM layers with support for inputs that are the same at every step.

Weights and equations are those of ``nn.LSTM`` (Hochreiter & Schmidhuber 1997). On a CPU the steps of a layer run in one autograd node,
in a layout in which each gate is contiguous. An input that is the same at every step is multiplied once. On other devices ``nn.LSTM``
itself runs. ``benchmarks/speed.py`` measures the difference.
"""

from typing import Any

import torch
import torch.nn.functional as F
from torch import Tensor, nn

State = tuple[Tensor, Tensor]  # (B, hidden) output and cell of one layer


class Recurrent(nn.Module):
    """Stack of ``layers`` LSTM layers of width ``hidden`` with dropout between them.

    Args:
        width: of the input that changes from step to step; 0 for none.
        constant: width of the input that is the same at every step; 0 for none.
        hidden: width of the cells.
        layers: number of layers.
        dropout: share of the outputs of each layer but the last that is dropped in training.
    """

    def __init__(self, width: int, constant: int, hidden: int, layers: int, dropout: float) -> None:
        super().__init__()
        self.width, self.dropout = width, dropout
        self.layers = nn.ModuleList(nn.LSTM(width + constant if i == 0 else hidden, hidden) for i in range(layers))

    def forward(
        self,
        x: Tensor | None,
        constant: Tensor | None = None,
        steps: int | None = None,
        states: list[State] | None = None,
    ) -> tuple[Tensor, list[State]]:
        """Run over a whole sequence.

        Args:
            x: (T, B, width), or None if nothing changes from step to step.
            constant: (B, constant), joined to every step.
            steps: T, where ``x`` is None.
            states: of each layer before the first step; None: zeros.

        Returns:
            (T, B, hidden) outputs of the last layer, and the states after the last step.
        """
        found: list[State] = []
        out: Tensor | None = x
        for i, layer in enumerate(self.layers):
            assert isinstance(layer, nn.LSTM)
            given = constant if i == 0 else None
            out, state = run_layer(layer, out, given, steps, None if states is None else states[i])
            found.append(state)
            if i < len(self.layers) - 1 and self.dropout:
                out = F.dropout(out, self.dropout, self.training)
        assert out is not None
        return out, found


def run_layer(
    layer: nn.LSTM, x: Tensor | None, constant: Tensor | None, steps: int | None, state: State | None
) -> tuple[Tensor, State]:
    """Run one layer over all steps; see :class:`Recurrent`."""
    some = x if x is not None else constant
    assert some is not None
    length = len(x) if x is not None else steps
    assert length is not None
    if some.device.type != "cpu" or length == 1:
        parts = [
            p for p in (x, None if constant is None else constant.expand(length, *constant.shape)) if p is not None
        ]
        before = None if state is None else (state[0][None], state[1][None])
        out, (h, c) = layer(torch.cat(parts, -1), before)
        return out, (h[0], c[0])
    weight, recurrent = layer.get_parameter("weight_ih_l0"), layer.get_parameter("weight_hh_l0")
    bias = layer.get_parameter("bias_ih_l0") + layer.get_parameter("bias_hh_l0")
    width = 0 if x is None else x.shape[-1]
    fixed = bias.expand(some.shape[-2], -1) if constant is None else F.linear(constant, weight[:, width:], bias)
    if x is None:
        x = some.new_zeros(length, some.shape[-2], 0)
    if state is None:
        zeros = some.new_zeros(some.shape[-2], layer.hidden_size, dtype=torch.float32)
        state = (zeros, zeros)
    with torch.autocast("cpu", enabled=False):
        joint = _sigmoids_first(torch.cat([weight[:, :width], recurrent], 1))
        given = (x.float(), _sigmoids_first(fixed.t().float()), joint, *state)
        outs, c = Steps.apply(given[0].transpose(1, 2), *given[1:3], given[3].t(), given[4].t())
    out = outs.transpose(1, 2)
    return out, (out[-1], c.t())


def _sigmoids_first(rows: Tensor) -> Tensor:
    """Reorder rows of the gates i, f, g, o to i, f, o, g: the three sigmoid gates become contiguous."""
    i, f, g, o = rows.chunk(4)
    return torch.cat([i, f, o, g])


class Steps(torch.autograd.Function):
    """Steps of one layer, features first: the input of a step is a column [x; h] for each sequence of the batch.

    Inputs: x (T, D, B), constant part of the gates (4h, B), weights (4h, D + h), h and c (h, B). Outputs: (T, h, B), last cell.
    """

    @staticmethod
    def forward(ctx: Any, x: Tensor, fixed: Tensor, weight: Tensor, h: Tensor, c: Tensor) -> tuple[Tensor, Tensor]:
        """Run the steps in order, and keep the values that backward needs."""
        (length, width, batch), hidden = x.shape, len(h)
        seen = x.new_empty(length + 1, width + hidden, batch)
        seen[:-1, :width], seen[0, width:] = x, h
        acts, cells = x.new_empty(length, 4 * hidden, batch), x.new_empty(length + 1, hidden, batch)
        cells[0] = c
        tanhs = x.new_empty(length, hidden, batch)
        for now, column, before, after, tanh, out in zip(
            acts.unbind(), seen[:-1].unbind(), cells[:-1].unbind(), cells[1:].unbind(), tanhs.unbind(), seen[1:, width:].unbind(),
            strict=True,
        ):  # fmt: skip
            torch.addmm(fixed, weight, column, out=now)
            now[: 3 * hidden].sigmoid_()
            i, f, o, g = now.chunk(4)
            g.tanh_()
            torch.mul(f, before, out=after)
            after.addcmul_(i, g)
            torch.tanh(after, out=tanh)
            torch.mul(o, tanh, out=out)
        ctx.save_for_backward(acts, cells, seen, tanhs, weight)
        return seen[1:, width:], cells[-1].clone()

    @staticmethod
    def backward(ctx: Any, d_outs: Tensor, d_cell: Tensor) -> tuple[Tensor | None, ...]:
        """Run backward through the steps; the gradient of the weights is summed at the end."""
        acts, cells, seen, tanhs, weight = ctx.saved_tensors
        length, hidden, batch = tanhs.shape
        width = seen.shape[1] - hidden
        i, f, o, g = acts.chunk(4, 1)
        gates = torch.empty_like(
            acts
        )  # d cell / d gate before its activation, for o d output / d gate: for all steps at once
        a, b, c, d = gates.chunk(4, 1)
        torch.mul(i, 1 - i, out=a).mul_(g)
        torch.mul(f, 1 - f, out=b).mul_(cells[:-1])
        torch.mul(o, 1 - o, out=c).mul_(tanhs)
        torch.mul(g, g, out=d).neg_().add_(1).mul_(i)
        through = torch.mul(tanhs, tanhs).neg_().add_(1).mul_(o)  # d output / d cell
        back, d_seen = weight.t().contiguous(), torch.empty_like(seen)
        d_seen[-1].zero_()
        dc = d_cell.clone()
        for t in range(length - 1, -1, -1):
            dh = d_seen[t + 1, width:].add_(d_outs[t])
            dc.addcmul_(dh, through[t])
            now = gates[t]
            now[: 2 * hidden].view(2, hidden, batch).mul_(dc)
            now[2 * hidden : 3 * hidden].mul_(dh)
            now[3 * hidden :].mul_(dc)
            dc.mul_(f[t])
            torch.mm(back, now, out=d_seen[t])
        d_weight = torch.addbmm(torch.zeros_like(weight), gates, seen[:-1].transpose(1, 2))
        return d_seen[:-1, :width], gates.sum(0), d_weight, d_seen[0, width:], dc
