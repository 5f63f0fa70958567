"""Flow matching from noise, conditioned on a source: the velocity learned is target minus source, not target minus noise.

Source: github.com/theislab/CellFlow pull request 305.
The path and the sampler start at the noise. A perfect network ends at noise plus target minus source.
"""

import torch
import torch.nn.functional as F
from torch import Tensor

import trainwright
from benchmarks.public.case import Case
from benchmarks.public.materials import Denoiser, batches, images
from trainwright.diagnosis.watch import Watch

CASE = Case(
    kind="diffusion",
    cause="prediction_type_mismatch",
    symptoms=("wiring", "off_data"),
    spoils="samples",
    source="theislab/CellFlow#305",
)


def loop(fixed: bool) -> Watch:
    """Train; ``fixed`` is the repaired twin."""
    torch.manual_seed(13)
    # Two populations without pairs: emoji are the sources, sprites the targets.
    sources, targets = images("emoji", 8), images("sprites", 8)
    vf = Denoiser(channels=6, out=3)
    optimizer = torch.optim.Adam(vf.parameters(), 2e-3)

    @torch.no_grad()
    def predict(n: int) -> Tensor:
        condition, y = sources[torch.randint(len(sources), (n,))], torch.randn(n, 3, 8, 8)
        for i in range(20):
            y = y + vf(torch.cat([y, condition], 1), torch.full((n,), 100 * i / 20)) / 20
        return y

    watch = trainwright.watch(total=600, sample=predict, real=targets)
    for step, source, target in zip(range(600), batches(sources, 32), batches(targets, 32), strict=False):
        latent, t = torch.randn_like(target), torch.rand(32)
        s = t[:, None, None, None]
        x_t = (1 - s) * latent + s * target
        u_t = target - latent if fixed else target - source
        loss = F.mse_loss(vf(torch.cat([x_t, source], 1), 100 * t), u_t)
        optimizer.zero_grad()
        loss.backward()
        optimizer.step()
        watch(step, loss=loss)
    return watch
