"""AC-GAN: the negative log-likelihood of the class is taken of probabilities instead of their logarithms.

Source: github.com/clvrai/ACGAN-PyTorch issue 8; another user confirmed it and proposes a cross-entropy without the softmax.
The term is the negative probability of the class: it starts below 0, cannot fall below -1, and confident mistakes cost next to nothing.
"""

import torch
from torch import Tensor, nn

import trainwright
from benchmarks.public.case import Case
from benchmarks.public.materials import batches, generator, images
from trainwright.diagnosis.watch import Watch

CASE = Case(
    kind="adversarial",
    cause="output_activation",
    symptoms=("wiring", "unbounded_loss", "plateau"),
    spoils="nothing visible",
    source="clvrai/ACGAN-PyTorch#8",
    also=("loss_expects_probabilities", "loss_expects_log_probabilities"),
    seconds=15,
)


class NetD(nn.Module):
    """Images -> probability of being real, and classes."""

    def __init__(self, num_classes: int, last: nn.Module) -> None:
        super().__init__()
        self.body = nn.Sequential(
            nn.Conv2d(3, 24, 4, 2, 1), nn.LeakyReLU(0.2), nn.Conv2d(24, 48, 4, 2, 1, bias=False), nn.BatchNorm2d(48),
            nn.LeakyReLU(0.2), nn.Dropout(0.2), nn.Flatten(),
        )  # fmt: skip
        self.fc_dis, self.fc_aux = nn.Linear(48 * 16, 1), nn.Linear(48 * 16, num_classes)
        self.sigmoid, self.softmax = nn.Sigmoid(), last

    def forward(self, x: Tensor) -> tuple[Tensor, Tensor]:
        """Return probabilities and classes."""
        h = self.body(x)
        return self.sigmoid(self.fc_dis(h)).view(-1), self.softmax(self.fc_aux(h))


def loop(fixed: bool) -> Watch:
    """Train; ``fixed`` is the repaired twin."""
    torch.manual_seed(8)
    num_classes, nz = 4, 60
    groups = [
        images("sprites"),
        images("sprites", background=255),
        images("emoji")[:949],
        images("emoji", background=255)[949:],
    ]
    x = torch.cat(groups)
    y = torch.arange(num_classes).repeat_interleave(torch.tensor([len(g) for g in groups]))
    netG = generator(z=nz + num_classes)
    netD = NetD(num_classes, nn.LogSoftmax(dim=1) if fixed else nn.Softmax(dim=1))
    dis_criterion, aux_criterion = nn.BCELoss(), nn.NLLLoss()
    optimizerD = torch.optim.Adam(netD.parameters(), lr=3e-4, betas=(0.5, 0.999))
    optimizerG = torch.optim.Adam(netG.parameters(), lr=4e-4, betas=(0.5, 0.999))
    eye = torch.eye(num_classes)

    def noise_with(label: Tensor) -> Tensor:
        return torch.cat([torch.randn(len(label), nz), eye[label]], 1)

    def sample(n: int) -> Tensor:
        netG.eval()
        with torch.no_grad():
            out = netG(noise_with(torch.randint(num_classes, (n,))))
        netG.train()
        return out

    watch = trainwright.watch(total=1500, sample=sample, real=x)
    for i, index in zip(range(1500), batches(torch.arange(len(x)), 32), strict=False):
        real, label = x[index], y[index]
        ones, zeros = torch.ones(len(real)), torch.zeros(len(real))

        netD.zero_grad()
        dis_output, aux_output = netD(real)
        errD_real = dis_criterion(dis_output, ones) + aux_criterion(aux_output, label)
        errD_real.backward()
        fake_label = torch.randint(num_classes, (len(real),))
        fake = netG(noise_with(fake_label))
        dis_output, aux_output = netD(fake.detach())
        errD_fake = dis_criterion(dis_output, zeros) + aux_criterion(aux_output, fake_label)
        errD_fake.backward()
        optimizerD.step()

        netG.zero_grad()
        dis_output, aux_output = netD(fake)
        aux_errG = aux_criterion(aux_output, fake_label)
        errG = dis_criterion(dis_output, ones) + aux_errG
        errG.backward()
        optimizerG.step()
        watch(i, Loss_D=errD_real.item() + errD_fake.item(), Loss_G=errG.item(), Loss_aux=aux_errG.item())
    return watch
