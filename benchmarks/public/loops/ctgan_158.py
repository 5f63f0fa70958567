"""CTGAN on a table of numbers alone: the critic is trained on the generator's output before its activations.

Source: github.com/sdv-dev/CTGAN issue 158; the maintainers found that the correction improves the results
quite a bit.
Rows are a tanh and a softmax for each column. Without discrete columns, the branch of the critic's step takes
the raw output for the fake rows, while the generator's step and sampling take the activated rows. The critic
never sees what the generator is scored on.
"""

import torch
import torch.nn.functional as F
from torch import Tensor, nn

import trainwright
from benchmarks.public.case import Case
from trainwright.diagnosis.watch import Watch

CASE = Case(
    kind="adversarial",
    cause="critic_sees_raw_output",
    symptoms=(
        "wiring",
        "off_data",
        "mode_dropping",
        "mode_collapse",
        "critic_dominance",
        "generator_dominance",
        "oscillation",
        "exploding",
        "over_dispersion",
    ),
    spoils="samples",
    source="sdv-dev/CTGAN#158",
    also=("output_activation", "activation_left_out", "critic_sees_other_fakes", "data_range"),
    seconds=20,
)


def raw_table(rows: int) -> Tensor:
    """Return age, log income and weekly hours of two kinds of people."""
    g = torch.Generator().manual_seed(158)
    kind = (torch.rand(rows, generator=g) < 0.6).float()
    noise = torch.randn(rows, 3, generator=g)
    age = torch.where(kind > 0, 46 + 8 * noise[:, 0], 24 + 3 * noise[:, 0])
    income = torch.where(kind > 0, 10.6 + 0.03 * (age - 46) + 0.25 * noise[:, 1], 8.8 + 0.35 * noise[:, 1])
    hours = torch.where(kind > 0, 40 + 2.5 * noise[:, 2], 14 + 4 * noise[:, 2])
    return torch.stack([age, income, hours], 1)


class DataTransformer:
    """Writes each number as its mode and its place in that mode."""

    def __init__(self, modes: int = 3) -> None:
        self.modes = modes

    def fit(self, data: Tensor) -> None:
        """Find modes of each column by k-means."""
        centres = torch.quantile(data, torch.linspace(0.1, 0.9, self.modes), dim=0).T
        for _ in range(30):
            nearest = (data.T[:, :, None] - centres[:, None, :]).abs().argmin(2)
            mask = F.one_hot(nearest, self.modes).float()
            centres = (mask * data.T[:, :, None]).sum(1) / mask.sum(1).clamp(min=1)
        squares = mask * (data.T[:, :, None] - centres[:, None, :]).square()
        spread = squares.sum(1) / mask.sum(1).clamp(min=1)
        self.means, self.stds = centres, spread.sqrt().clamp(min=1e-3)
        self.output_info = [info for _ in data.T for info in ((1, "tanh"), (self.modes, "softmax"))]
        self.output_dimensions = sum(n for n, _ in self.output_info)

    def transform(self, data: Tensor) -> Tensor:
        """Return the encoded rows."""
        out = []
        for j, column in enumerate(data.T):
            k = (column[:, None] - self.means[j]).abs().argmin(1)
            out += [
                ((column - self.means[j][k]) / (4 * self.stds[j][k])).clamp(-0.99, 0.99)[:, None],
                F.one_hot(k, self.modes).float(),
            ]
        return torch.cat(out, 1)

    def inverse_transform(self, rows: Tensor) -> Tensor:
        """Return numbers."""
        columns, st = [], 0
        for j in range(len(self.means)):
            k = rows[:, st + 1 : st + 1 + self.modes].argmax(1)
            columns.append(rows[:, st].clamp(-1, 1) * 4 * self.stds[j][k] + self.means[j][k])
            st += 1 + self.modes
        return torch.stack(columns, 1)


class Discriminator(nn.Module):
    """Score of packs of rows."""

    def __init__(self, input_dim: int, dim: int = 128, pac: int = 4) -> None:
        super().__init__()
        self.pac, self.pacdim = pac, input_dim * pac
        self.seq = nn.Sequential(
            nn.Linear(self.pacdim, dim),
            nn.LeakyReLU(0.2),
            nn.Dropout(0.2),
            nn.Linear(dim, dim),
            nn.LeakyReLU(0.2),
            nn.Dropout(0.2),
            nn.Linear(dim, 1),
        )

    def calc_gradient_penalty(self, real_data: Tensor, fake_data: Tensor, lambda_: float = 10) -> Tensor:
        """Return the penalty."""
        alpha = torch.rand(len(real_data) // self.pac, 1, 1)
        alpha = alpha.repeat(1, self.pac, real_data.size(1)).view_as(real_data)
        interpolates = (alpha * real_data + (1 - alpha) * fake_data).requires_grad_()
        scores = self(interpolates)
        gradients = torch.autograd.grad(scores, interpolates, torch.ones_like(scores), create_graph=True)[0]
        return ((gradients.reshape(-1, self.pacdim).norm(2, dim=1) - 1) ** 2).mean() * lambda_

    def forward(self, rows: Tensor) -> Tensor:
        """Return the scores."""
        return self.seq(rows.reshape(-1, self.pacdim))


class Residual(nn.Module):
    """Layer whose input is appended to its output."""

    def __init__(self, i: int, o: int) -> None:
        super().__init__()
        self.fc, self.bn = nn.Linear(i, o), nn.BatchNorm1d(o)

    def forward(self, x: Tensor) -> Tensor:
        """Return output and input."""
        return torch.cat([torch.relu(self.bn(self.fc(x))), x], 1)


class CTGAN:
    """Synthesizer."""

    def __init__(
        self,
        embedding_dim: int = 32,
        batch_size: int = 200,
        steps: int = 1200,
        patched: bool = True,
    ) -> None:
        self.embedding_dim, self.batch_size, self.steps, self.patched = (
            embedding_dim,
            batch_size,
            steps,
            patched,
        )

    def _apply_activate(self, data: Tensor) -> Tensor:
        data_t, st = [], 0
        for dim, activation in self.transformer.output_info:
            part = data[:, st : st + dim]
            data_t.append(torch.tanh(part) if activation == "tanh" else F.gumbel_softmax(part, tau=0.2))
            st += dim
        return torch.cat(data_t, 1)

    @torch.no_grad()
    def sample(self, n: int) -> Tensor:
        """Return n rows of the table."""
        self.generator.eval()
        rows = self._apply_activate(self.generator(torch.randn(n, self.embedding_dim)))
        self.generator.train()
        return self.transformer.inverse_transform(rows)

    def fit(self, table: Tensor) -> Watch:
        """Train."""
        self.transformer = DataTransformer()
        self.transformer.fit(table)
        train_data, e = self.transformer.transform(table), self.embedding_dim
        self.generator = nn.Sequential(
            Residual(e, 128), Residual(e + 128, 128), nn.Linear(e + 256, self.transformer.output_dimensions)
        )
        discriminator = Discriminator(self.transformer.output_dimensions)
        options = {"lr": 4e-4, "betas": (0.5, 0.9), "weight_decay": 1e-6}
        optimizer_g = torch.optim.Adam(self.generator.parameters(), **options)
        optimizer_d = torch.optim.Adam(discriminator.parameters(), **options)
        watch = trainwright.watch(total=self.steps, sample=self.sample, real=table)
        for i in range(self.steps):
            for _ in range(2):
                fake = self.generator(torch.randn(self.batch_size, e)).detach()
                fakeact = self._apply_activate(fake)
                real_cat = train_data[torch.randint(len(train_data), (self.batch_size,))]
                fake_cat = fakeact if self.patched else fake
                y_fake, y_real = discriminator(fake_cat), discriminator(real_cat)
                pen = discriminator.calc_gradient_penalty(real_cat, fake_cat)
                loss_d = -(y_real.mean() - y_fake.mean())
                optimizer_d.zero_grad()
                (pen + loss_d).backward()
                optimizer_d.step()

            fakeact = self._apply_activate(self.generator(torch.randn(self.batch_size, e)))
            loss_g = -discriminator(fakeact).mean()
            optimizer_g.zero_grad()
            loss_g.backward()
            optimizer_g.step()
            watch(i, loss_g=loss_g.detach(), loss_d=loss_d.detach())
        return watch


def loop(fixed: bool) -> Watch:
    """Train; ``fixed`` is the repaired twin."""
    torch.manual_seed(158)
    return CTGAN(patched=fixed).fit(raw_table(3000))
