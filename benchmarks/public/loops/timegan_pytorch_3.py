"""TimeGAN: the discriminator's recurrent layer reads the batch as time.

Source: github.com/zwzhang123/TimeGAN-pytorch issue 3.
The layer is built without ``batch_first``, while all series are (batch, time, features). Its state runs from
series to series, and each time step is judged by itself. Nothing tells the generator how a series goes on.
"""

import math

import torch
import torch.nn.functional as F
from torch import Tensor, nn

import trainwright
from benchmarks.public.case import Case
from trainwright.diagnosis.watch import Watch

CASE = Case(
    kind="adversarial",
    cause="batch_time_swapped",
    symptoms=(
        "wiring",
        "off_data",
        "mode_dropping",
        "mode_collapse",
        "plateau",
        "discriminator_guessing",
        "generator_dominance",
        "critic_dominance",
        "over_dispersion",
    ),
    spoils="samples",
    source="zwzhang123/TimeGAN-pytorch#3",
    also=("data_layout",),
    seconds=20,
)
SEQ_LEN, Z_DIM, HIDDEN_DIM = 12, 3, 20


def sine_data_generation(n: int) -> Tensor:
    """Return (n, 12, 2) in [0, 1]: two waves that share their frequency."""
    g = torch.Generator().manual_seed(3)
    t = torch.arange(SEQ_LEN) / SEQ_LEN
    freq = 0.8 + 0.8 * torch.rand(n, 1, 1, generator=g)
    phase = 2 * math.pi * torch.rand(n, 1, 1, generator=g) + torch.tensor([0.0, math.pi / 2])
    return (torch.sin(2 * math.pi * freq * t[:, None] + phase) + 1) / 2


class Recurrent(nn.Module):
    """GRU and a linear layer; the base of embedder, recovery, generator and supervisor."""

    def __init__(self, i: int, o: int, sigmoid: bool = True) -> None:
        super().__init__()
        self.rnn = nn.GRU(i, HIDDEN_DIM, batch_first=True)
        self.fc, self.sigmoid = nn.Linear(HIDDEN_DIM, o), sigmoid

    def forward(self, x: Tensor) -> Tensor:
        """Return a series."""
        out = self.fc(self.rnn(x)[0])
        return torch.sigmoid(out) if self.sigmoid else out


class Discriminator(nn.Module):
    """A score for each step of a latent series."""

    def __init__(self, batch_first: bool) -> None:
        super().__init__()
        self.rnn = nn.GRU(HIDDEN_DIM, HIDDEN_DIM, batch_first=batch_first)
        self.fc = nn.Linear(HIDDEN_DIM, 1)

    def forward(self, h: Tensor) -> Tensor:
        """Return the scores."""
        d_outputs, _ = self.rnn(h)
        return self.fc(d_outputs)


class TimeGAN:
    """Networks, and the phases of training."""

    def __init__(self, ori_data: Tensor, batch_size: int, batch_first: bool) -> None:
        self.ori_data, self.batch_size = ori_data, batch_size
        self.nete, self.netr = Recurrent(2, HIDDEN_DIM), Recurrent(HIDDEN_DIM, 2)
        self.netg, self.nets = Recurrent(Z_DIM, HIDDEN_DIM), Recurrent(HIDDEN_DIM, HIDDEN_DIM)
        self.netd = Discriminator(batch_first)
        self.optimizer_er = torch.optim.Adam([*self.nete.parameters(), *self.netr.parameters()], lr=3e-3)
        self.optimizer_s = torch.optim.Adam(self.nets.parameters(), lr=3e-3)
        self.optimizer_g = torch.optim.Adam(
            [*self.netg.parameters(), *self.nets.parameters()], lr=2e-3, betas=(0.5, 0.99)
        )
        self.optimizer_d = torch.optim.Adam(self.netd.parameters(), lr=2e-3, betas=(0.5, 0.99))

    def batch(self) -> Tensor:
        """Return some of the data."""
        return self.ori_data[torch.randint(len(self.ori_data), (self.batch_size,))]

    def noise(self, n: int) -> Tensor:
        """Return noise: numbers of the whole series, and new ones for each step."""
        return torch.cat([torch.randn(n, 1, Z_DIM - 1).expand(-1, SEQ_LEN, -1), torch.rand(n, SEQ_LEN, 1)], 2)

    def train_one_iter_er(self) -> Tensor:
        """Train embedder and recovery."""
        x = self.batch()
        err_er = F.mse_loss(self.netr(self.nete(x)), x)
        self.optimizer_er.zero_grad()
        (10 * err_er.sqrt()).backward()
        self.optimizer_er.step()
        return err_er.detach()

    def train_one_iter_s(self) -> Tensor:
        """Train the supervisor to tell the next latent step."""
        h = self.nete(self.batch()).detach()
        err_s = F.mse_loss(self.nets(h)[:, :-1], h[:, 1:])
        self.optimizer_s.zero_grad()
        err_s.backward()
        self.optimizer_s.step()
        return err_s.detach()

    def train_one_iter_g(self) -> Tensor:
        """Train generator and supervisor."""
        x = self.batch()
        h = self.nete(x).detach()
        h_hat = self.nets(self.netg(self.noise(self.batch_size)))
        x_hat = self.netr(h_hat)
        y_fake = self.netd(h_hat)
        err_g_u = F.binary_cross_entropy_with_logits(y_fake, torch.ones_like(y_fake))
        err_s = F.mse_loss(self.nets(h)[:, :-1], h[:, 1:])
        err_g_v1 = ((x_hat.var(0) + 1e-6).sqrt() - (x.var(0) + 1e-6).sqrt()).abs().mean()
        err_g_v2 = (x_hat.mean(0) - x.mean(0)).abs().mean()
        err_g = err_g_u + 10 * err_s.sqrt() + 5 * (err_g_v1 + err_g_v2)
        self.optimizer_g.zero_grad()
        err_g.backward()
        self.optimizer_g.step()
        return err_g.detach()

    def train_one_iter_d(self) -> Tensor:
        """Train the discriminator."""
        with torch.no_grad():
            h, h_hat = self.nete(self.batch()), self.nets(self.netg(self.noise(self.batch_size)))
        y_real, y_fake = self.netd(h), self.netd(h_hat)
        err_d = F.binary_cross_entropy_with_logits(y_real, torch.ones_like(y_real))
        err_d = err_d + F.binary_cross_entropy_with_logits(y_fake, torch.zeros_like(y_fake))
        self.optimizer_d.zero_grad()
        err_d.backward()
        self.optimizer_d.step()
        return err_d.detach()

    def generation(self, n: int) -> Tensor:
        """Return n series, flat."""
        return self.netr(self.nets(self.netg(self.noise(n)))).flatten(1)


def loop(fixed: bool) -> Watch:
    """Train; ``fixed`` is the repaired twin."""
    torch.manual_seed(3)
    ori_data, iterations = sine_data_generation(2000), 600
    model = TimeGAN(ori_data, batch_size=64, batch_first=fixed)
    for _ in range(250):
        err_er = model.train_one_iter_er()
    for _ in range(120):
        model.train_one_iter_s()
    watch = trainwright.watch(total=iterations, sample=model.generation, real=ori_data.flatten(1))
    for it in range(iterations):
        err_g = model.train_one_iter_g()
        if it % 4 == 0:
            err_er = model.train_one_iter_er()
        err_d = model.train_one_iter_d()
        watch(it, err_er=err_er, err_g=err_g, err_d=err_d)
    return watch
