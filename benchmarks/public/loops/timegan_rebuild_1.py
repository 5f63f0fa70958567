"""TimeGAN: in the joint training, the loss of embedder and recovery is computed, but its gradient is not.

Source: github.com/AlanDongMu/TimeGAN_PytorchRebuild issue 1, closed; the author confirms the missing call.
Their optimizers clear the gradients and step without any, so that both networks stay as the short first phase left them.
"""

import torch
import torch.nn.functional as F
from torch import Tensor, nn

import trainwright
from benchmarks.public.case import Case
from benchmarks.public.materials import batches
from trainwright.diagnosis.watch import Watch

CASE = Case(
    kind="adversarial",
    cause="not_trained",
    symptoms=("wiring", "frozen_network", "plateau", "off_data", "blur", "mode_dropping"),
    spoils="samples",
    source="AlanDongMu/TimeGAN_PytorchRebuild#1",
    also=("optimizer_never_steps", "parameters_not_optimized"),
    seconds=13,
)
SEQ_LEN, FEATURES, HIDDEN = 12, 3, 16


def sine_data(no: int) -> Tensor:
    """Return sine waves (no, SEQ_LEN, FEATURES) in [0, 1]."""
    g = torch.Generator().manual_seed(0)
    freq, phase = (
        0.15 + 0.35 * torch.rand(no, 1, FEATURES, generator=g),
        6.28 * torch.rand(no, 1, FEATURES, generator=g),
    )
    return (torch.sin(freq * torch.arange(SEQ_LEN)[None, :, None] * 2 + phase) + 1) / 2


class Net(nn.Module):
    """GRU and a linear layer with a sigmoid."""

    def __init__(self, inputs: int, outputs: int, last: nn.Module | None = None) -> None:
        super().__init__()
        self.rnn, self.fc, self.last = (
            nn.GRU(inputs, HIDDEN, batch_first=True),
            nn.Linear(HIDDEN, outputs),
            last or nn.Sigmoid(),
        )

    def forward(self, x: Tensor) -> Tensor:
        """Return the outputs (n, t, outputs)."""
        return self.last(self.fc(self.rnn(x)[0]))


class TimeGAN:
    """Five networks, each with its optimizer."""

    def __init__(self, fixed: bool, lr: float = 3e-3) -> None:
        self.fixed = fixed
        self.embedder, self.recovery = Net(FEATURES, HIDDEN), Net(HIDDEN, FEATURES)
        self.generator, self.supervisor = Net(FEATURES, HIDDEN), Net(HIDDEN, HIDDEN)
        self.discriminator = Net(HIDDEN, 1, nn.Identity())
        self.optim = {
            name: torch.optim.Adam(
                getattr(self, name).parameters(), lr=lr if name != "discriminator" else lr / 3, betas=(0.5, 0.999)
            )
            for name in ("embedder", "recovery", "generator", "supervisor", "discriminator")
        }

    def zero(self, *names: str) -> None:
        """Clear gradients."""
        for name in names:
            self.optim[name].zero_grad()

    def step(self, *names: str) -> None:
        """Step optimizers."""
        for name in names:
            self.optim[name].step()

    def gen_synth_data(self, n: int) -> Tensor:
        """Return series (n, SEQ_LEN * FEATURES)."""
        with torch.no_grad():
            return self.recovery(self.supervisor(self.generator(torch.rand(n, SEQ_LEN, FEATURES)))).flatten(1)

    def train_embedder(self, x: Tensor, join_train: bool) -> Tensor:
        """Train embedder and recovery."""
        self.zero("embedder", "recovery")
        h = self.embedder(x)
        e_loss0 = 10 * F.mse_loss(self.recovery(h), x).sqrt()
        if not join_train:
            e_loss0.backward()
            loss = e_loss0
        else:
            g_loss_s = F.mse_loss(self.supervisor(h)[:, :-1], h[:, 1:])
            loss = e_loss0 + 0.1 * g_loss_s
            if self.fixed:
                loss.backward()
        self.step("embedder", "recovery")
        return loss.detach()

    def train_supervisor(self, x: Tensor) -> Tensor:
        """Train the supervisor on real codes."""
        self.zero("supervisor")
        h = self.embedder(x).detach()
        loss = F.mse_loss(self.supervisor(h)[:, :-1], h[:, 1:])
        loss.backward()
        self.step("supervisor")
        return loss.detach()

    def train_generator(self, x: Tensor) -> Tensor:
        """Train generator and supervisor."""
        self.zero("generator", "supervisor")
        h = self.embedder(x).detach()
        e_hat = self.generator(torch.rand_like(x))
        h_hat = self.supervisor(e_hat)
        x_hat = self.recovery(h_hat)
        fake, fake_e = self.discriminator(h_hat), self.discriminator(e_hat)
        adversarial = F.binary_cross_entropy_with_logits(fake, torch.ones_like(fake))
        adversarial = adversarial + F.binary_cross_entropy_with_logits(fake_e, torch.ones_like(fake_e))
        moments = (x_hat.std(0) - x.std(0)).abs().mean() + (x_hat.mean(0) - x.mean(0)).abs().mean()
        g_loss_s = F.mse_loss(self.supervisor(h)[:, :-1], h[:, 1:])
        loss = adversarial + 10 * g_loss_s.sqrt() + 10 * moments
        loss.backward()
        self.step("generator", "supervisor")
        return loss.detach()

    def train_discriminator(self, x: Tensor) -> Tensor:
        """Train the discriminator."""
        self.zero("discriminator")
        with torch.no_grad():
            h, e_hat = self.embedder(x), self.generator(torch.rand_like(x))
            h_hat = self.supervisor(e_hat)
        real, fake, fake_e = self.discriminator(h), self.discriminator(h_hat), self.discriminator(e_hat)
        loss = F.binary_cross_entropy_with_logits(real, torch.ones_like(real))
        loss = loss + F.binary_cross_entropy_with_logits(fake, torch.zeros_like(fake))
        loss = loss + F.binary_cross_entropy_with_logits(fake_e, torch.zeros_like(fake_e))
        if loss > 0.15:
            loss.backward()
            self.step("discriminator")
        return loss.detach()


def loop(fixed: bool) -> Watch:
    """Train; ``fixed`` is the repaired twin."""
    torch.manual_seed(11)
    ori_data, model = sine_data(2000), TimeGAN(fixed)
    loader = batches(ori_data, 64)
    for _ in range(60):
        model.train_embedder(next(loader), join_train=False)
    for _ in range(60):
        model.train_supervisor(next(loader))
    watch = trainwright.watch(total=500, sample=model.gen_synth_data, real=ori_data.flatten(1))
    for step in range(500):
        g_loss = model.train_generator(next(loader))
        g_loss = model.train_generator(next(loader))
        e_loss = model.train_embedder(next(loader), join_train=True)
        d_loss = model.train_discriminator(next(loader))
        watch(step, g_loss=g_loss, e_loss=e_loss, d_loss=d_loss)
    return watch
