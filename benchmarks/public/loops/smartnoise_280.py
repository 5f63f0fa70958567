"""PATE-GAN for tables: the student's gradients are never cleared.

Source: github.com/opendp/smartnoise-sdk issue 280, confirmed and corrected by the maintainers.
Its optimizer steps with the sum of all gradients so far, also of those that the generator's loss has left in it.
"""

import torch
import torch.nn.functional as F
from torch import Tensor, nn

import trainwright
from benchmarks.public.case import Case
from benchmarks.public.materials import batches, mlp
from trainwright.diagnosis.watch import Watch

CASE = Case(
    kind="adversarial",
    cause="gradients_not_cleared",
    symptoms=(
        "wiring",
        "exploding",
        "oscillation",
        "spike",
        "critic_dominance",
        "generator_dominance",
        "discriminator_guessing",
        "vanishing_losses",
        "off_data",
        "mode_collapse",
        "mode_dropping",
    ),
    spoils="nothing visible",
    source="opendp/smartnoise-sdk#280",
    also=("gradients_of_other_loss",),
    seconds=12,
)
NUM_TEACHERS, EMBEDDING, COLUMNS = 3, 16, 6


def table(rows: int) -> Tensor:
    """Return rows of four numbers and a one-hot pair of categories."""
    g = torch.Generator().manual_seed(0)
    kind = torch.randint(2, (rows,), generator=g)
    centre = torch.tensor([[0.5, -0.3, 0.4, 0.0], [-0.4, 0.5, 0.1, -0.5]])[kind]
    mixing = torch.tensor([[0.2, 0.1, 0.0, 0.0], [0.0, 0.15, 0.1, 0.0], [0.0, 0.0, 0.15, 0.1], [0.05, 0.0, 0.0, 0.15]])
    return torch.cat(
        [(centre + torch.randn(rows, 4, generator=g) @ mixing).clamp(-1, 1), F.one_hot(kind, 2).float()], 1
    )


class Generator(nn.Module):
    """Noise -> rows."""

    def __init__(self) -> None:
        super().__init__()
        self.net = nn.Sequential(
            nn.Linear(EMBEDDING, 96),
            nn.BatchNorm1d(96),
            nn.ReLU(),
            nn.Linear(96, 96),
            nn.BatchNorm1d(96),
            nn.ReLU(),
            nn.Linear(96, COLUMNS),
        )

    def forward(self, z: Tensor) -> Tensor:
        """Return rows."""
        out = self.net(z)
        return torch.cat([torch.tanh(out[:, :4]), F.gumbel_softmax(out[:, 4:], tau=0.4)], 1)


def loop(fixed: bool) -> Watch:
    """Train; ``fixed`` is the repaired twin."""
    torch.manual_seed(280)
    data, batch_size = table(3000), 200
    generator, student = Generator(), mlp(COLUMNS, 96, 96, 1)
    teachers = [mlp(COLUMNS, 96, 96, 1) for _ in range(NUM_TEACHERS)]
    optimizer_g = torch.optim.Adam(generator.parameters(), lr=5e-4, betas=(0.5, 0.9))
    scheduler_g = torch.optim.lr_scheduler.CosineAnnealingLR(optimizer_g, 1500, eta_min=2e-5)
    optimizer_s = torch.optim.Adam(student.parameters(), lr=2e-3, betas=(0.5, 0.9))
    optimizer_t = [torch.optim.Adam(t.parameters(), lr=4e-4, betas=(0.5, 0.9)) for t in teachers]
    loaders = [batches(part, batch_size, seed=i) for i, part in enumerate(data.chunk(NUM_TEACHERS))]
    criterion = nn.BCEWithLogitsLoss()
    label_real, label_fake = torch.ones(batch_size, 1), torch.zeros(batch_size, 1)

    @torch.no_grad()
    def sample(n: int) -> Tensor:
        generator.eval()
        rows = generator(torch.randn(n, EMBEDDING))
        generator.train()
        return rows

    watch = trainwright.watch(total=1500, sample=sample, real=data)
    for step in range(1500):
        for teacher, optimizer, loader in zip(teachers, optimizer_t, loaders, strict=True):
            fake = generator(torch.randn(batch_size, EMBEDDING)).detach()
            loss_t = criterion(teacher(next(loader)), label_real) + criterion(teacher(fake), label_fake)
            optimizer.zero_grad()
            loss_t.backward()
            optimizer.step()

        for _ in range(4):
            fake = generator(torch.randn(batch_size, EMBEDDING)).detach()
            with torch.no_grad():
                votes = (
                    sum((torch.sigmoid(teacher(fake)) + 0.05 * torch.randn(batch_size, 1)) for teacher in teachers)
                    / NUM_TEACHERS
                )
                votes = votes.clamp(0, 1)
            loss_s = criterion(student(fake), votes)
            if fixed:
                optimizer_s.zero_grad()
            loss_s.backward()
            optimizer_s.step()

        loss_g = criterion(student(generator(torch.randn(batch_size, EMBEDDING))), label_real)
        optimizer_g.zero_grad()
        loss_g.backward()
        optimizer_g.step()
        scheduler_g.step()
        watch(step, teacher_loss=loss_t, student_loss=loss_s, generator_loss=loss_g)
    return watch
