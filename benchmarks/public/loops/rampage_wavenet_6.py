"""WaveNet: the first causal convolution sees the value that has to be predicted.

Source: github.com/rampage644/wavenet pull request 6, merged.
All layers use the mask of the later ones, which includes the present. The loss vanishes, and generation is at a loss.
"""

import torch
import torch.nn.functional as F
from torch import Tensor, nn

import trainwright
from benchmarks.public.case import Case
from benchmarks.public.materials import batches, levels
from trainwright.diagnosis.watch import Watch

CASE = Case(
    kind="autoregressive",
    cause="targets_in_input",
    symptoms=("wiring", "off_data", "mode_collapse", "mode_dropping", "overfitting", "trivial_baseline"),
    spoils="samples",
    source="rampage644/wavenet#6",
    also=("targets_misaligned", "exposure_bias"),
)


class CausalConv(nn.Module):
    """Convolution over the past; mask A excludes the present, mask B includes it."""

    def __init__(self, a: int, b: int, dilation: int, mask_type: str) -> None:
        super().__init__()
        self.left, self.mask_type = dilation, mask_type
        self.conv = nn.Conv1d(a, b, 2, dilation=dilation)

    def forward(self, x: Tensor) -> Tensor:
        """Return the outputs."""
        if self.mask_type == "A":
            x = F.pad(x, (1, 0))[:, :, :-1]
        return self.conv(F.pad(x, (self.left, 0)))


class WaveNet(nn.Module):
    """Gated convolutions with growing dilations."""

    def __init__(self, vocab: int, first: str, width: int = 48) -> None:
        super().__init__()
        self.embed, self.first = nn.Embedding(vocab, 24), CausalConv(24, width, 1, first)
        self.gates = nn.ModuleList(CausalConv(width, 2 * width, d, "B") for d in (1, 2, 4, 8))
        self.last = nn.Conv1d(width, vocab, 1)

    def forward(self, x: Tensor) -> Tensor:
        """Return scores: (n, length) -> (n, vocab, length)."""
        h = self.first(self.embed(x).transpose(1, 2))
        for gate in self.gates:
            a, b = gate(h).chunk(2, 1)
            h = h + a.tanh() * b.sigmoid()
        return self.last(h)


def loop(fixed: bool) -> Watch:
    """Train; ``fixed`` is the repaired twin."""
    torch.manual_seed(60)
    data, alphabet = levels()
    net = WaveNet(len(alphabet), "A" if fixed else "B")
    optimizer = torch.optim.Adam(net.parameters(), 2e-3)

    @torch.no_grad()
    def generate(n: int) -> Tensor:
        x = torch.zeros(n, 16, dtype=torch.long)
        for i in range(16):
            x[:, i] = torch.multinomial(net(x)[:, :, i].softmax(1), 1)[:, 0]
        return x

    watch = trainwright.watch(total=900, sample=generate, real=data)
    for step, batch in zip(range(900), batches(data, 32), strict=False):
        loss = F.cross_entropy(net(batch), batch)
        optimizer.zero_grad()
        loss.backward()
        optimizer.step()
        watch(step, loss=loss)
    return watch
