"""Multinomial diffusion of segmentation maps: embedded classes are reshaped in the wrong order of axes.

Source: github.com/ehoogeboom/multinomial_diffusion issue 1, confirmed and corrected by the author.
The embedding is moved to (batch, 1, width, height, dim) and then called (batch, dim, height, width). Each
channel mixes all features of a few neighbours, so that convolutions see no map.
"""

import torch
import torch.nn.functional as F
from torch import Tensor, nn

import trainwright
from benchmarks.public.case import Case
from benchmarks.public.materials import Denoiser, alphas
from trainwright.diagnosis.watch import Watch

CASE = Case(
    kind="diffusion",
    cause="data_layout",
    symptoms=("wiring", "off_data", "plateau", "slow", "blur", "mode_dropping", "over_dispersion"),
    spoils="samples",
    source="ehoogeboom/multinomial_diffusion#1",
    also=("axes_swapped", "batch_time_swapped"),
    seconds=19,
)
CLASSES, SIZE, STEPS, DIM = 4, 8, 24, 8


def street_scenes(n: int) -> Tensor:
    """Return maps (n, 1, SIZE, SIZE) of classes: sky, road, houses, a tree."""
    g = torch.Generator().manual_seed(1)
    x = torch.zeros(n, 1, SIZE, SIZE, dtype=torch.long)

    def draw(low: int, high: int) -> int:
        return int(torch.randint(low, high, (1,), generator=g))

    for scene in x[:, 0]:
        horizon = draw(5, 7)
        scene[horizon:] = 1
        for left in range(draw(0, 2), SIZE, 4):
            scene[horizon - draw(2, 5) : horizon, left : left + draw(2, 4)] = 2
        middle = draw(1, SIZE - 1)
        scene[horizon - 2 : horizon, middle - 1 : middle + 2] = 3
        scene[horizon, middle] = 3
    return x


class SegmentationUnet(nn.Module):
    """Returns logits of the classes of the clean map."""

    def __init__(self, order: tuple[int, ...]) -> None:
        super().__init__()
        self.order = order
        self.embedding = nn.Embedding(CLASSES, DIM)
        self.unet = Denoiser(DIM, 16, total=STEPS, out=CLASSES)

    def forward(self, time: Tensor, x: Tensor) -> Tensor:
        """Return logits (n, CLASSES, H, W)."""
        b, c, h, w = x.shape
        x = self.embedding(x).permute(*self.order)
        return self.unet(x.reshape(b, c * DIM, h, w), time)


class MultinomialDiffusion:
    """Diffusion that replaces classes by random ones."""

    def __init__(self, denoise_fn: nn.Module) -> None:
        self._denoise_fn = denoise_fn
        bar = alphas(STEPS, "cosine")
        self.cumprod_alpha, self.alpha = bar, bar / torch.cat([torch.ones(1), bar[:-1]])

    def q_pred(self, onehot: Tensor, t: Tensor) -> Tensor:
        """Return probabilities at step t; step -1 is the clean map."""
        a = torch.where(t < 0, torch.ones(()), self.cumprod_alpha[t.clamp(min=0)]).view(-1, 1, 1, 1)
        return a * onehot + (1 - a) / CLASSES

    def q_posterior(self, start: Tensor, x_t: Tensor, t: Tensor) -> Tensor:
        """Return probabilities of the step before."""
        a = self.alpha[t].view(-1, 1, 1, 1)
        p = (a * self.onehot(x_t) + (1 - a) / CLASSES) * self.q_pred(start, t - 1)
        return p / p.sum(1, keepdim=True)

    @staticmethod
    def onehot(x: Tensor) -> Tensor:
        """Return (n, CLASSES, H, W)."""
        return F.one_hot(x[:, 0], CLASSES).permute(0, 3, 1, 2).float()

    @staticmethod
    def draw(p: Tensor) -> Tensor:
        """Return classes (n, 1, H, W) drawn with these probabilities."""
        gumbel = -(-torch.rand_like(p).clamp(1e-9).log()).log()
        return (p.clamp(1e-9).log() + gumbel).argmax(1, keepdim=True)

    def nll_bound(self, x: Tensor) -> tuple[Tensor, Tensor]:
        """Return the divergence of a random step and the cross-entropy of the clean map."""
        t, start = torch.randint(0, STEPS, (len(x),)), self.onehot(x)
        x_t = self.draw(self.q_pred(start, t))
        logits = self._denoise_fn(t, x_t)
        true, model = self.q_posterior(start, x_t, t), self.q_posterior(logits.softmax(1), x_t, t)
        kl = (true * (true.clamp(1e-9).log() - model.clamp(1e-9).log())).sum(1)
        return STEPS * kl.sum((1, 2)).mean() / (SIZE * SIZE), F.cross_entropy(logits, x[:, 0])

    @torch.no_grad()
    def sample(self, num_samples: int) -> Tensor:
        """Return maps."""
        x = torch.randint(0, CLASSES, (num_samples, 1, SIZE, SIZE))
        for i in range(STEPS - 1, -1, -1):
            t = torch.full((num_samples,), i)
            x = self.draw(self.q_posterior(self._denoise_fn(t, x).softmax(1), x, t))
        return x.float()


def loop(fixed: bool) -> Watch:
    """Train; ``fixed`` is the repaired twin."""
    torch.manual_seed(1)
    dataset = street_scenes(2000)
    model = SegmentationUnet((0, 1, 4, 2, 3) if fixed else (0, 1, 3, 2, 4))
    diffusion = MultinomialDiffusion(model)
    optimizer = torch.optim.Adam(model.parameters(), lr=2e-3)
    scheduler = torch.optim.lr_scheduler.CosineAnnealingLR(optimizer, 800)
    watch = trainwright.watch(total=800, sample=diffusion.sample, real=dataset.float())
    for iteration in range(800):
        x = dataset[torch.randint(len(dataset), (32,))]
        bound, ce = diffusion.nll_bound(x)
        loss = bound + 0.1 * ce
        optimizer.zero_grad()
        loss.backward()
        optimizer.step()
        scheduler.step()
        watch(iteration, loss=loss.item(), bound=bound.item(), cross_entropy=ce.item())
    return watch
