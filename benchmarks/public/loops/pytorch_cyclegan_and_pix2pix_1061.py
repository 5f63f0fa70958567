"""pix2pix on a data set of one's own: A and B are cropped at different places.

Source: github.com/junyanz/pytorch-CycleGAN-and-pix2pix issue 1061; the reporter found it by looking at the
saved images.
Each of the two folders has its own transform, and each transform draws its own random crop, so the target is
shifted against the input by up to four pixels at random. The L1 loss is least for an average over all shifts,
and the translations are smeared.
"""

from types import SimpleNamespace

import torch
from torch import Tensor, nn

import trainwright
from benchmarks.public.case import Case
from benchmarks.public.materials import images
from trainwright.diagnosis.watch import Watch

CASE = Case(
    kind="adversarial",
    cause="labels_mismatched",
    symptoms=(
        "wiring",
        "blur",
        "off_data",
        "plateau",
        "mean_regression",
        "trivial_baseline",
        "critic_dominance",
    ),
    spoils="samples",
    source="junyanz/pytorch-CycleGAN-and-pix2pix#1061",
    also=("targets_misaligned", "pairs_misaligned", "augmentation_differs"),
    seconds=25,
)


class PairedDataset:
    """Grey pictures (A) and the same pictures in colour (B)."""

    def __init__(self, opt: SimpleNamespace) -> None:
        self.opt = opt
        self.B = images("sprites", side=opt.load_size, background=255)
        self.A = self.B.mean(1, keepdim=True).expand(-1, 3, -1, -1).contiguous()

    def get_params(self) -> dict:
        """Return a random crop position."""
        span = self.opt.load_size - self.opt.crop_size + 1
        return {"x": int(torch.randint(span, ())), "y": int(torch.randint(span, ()))}

    def crop(self, img: Tensor, params: dict) -> Tensor:
        """Return the part of an image."""
        x, y, size = params["x"], params["y"], self.opt.crop_size
        return img[:, y : y + size, x : x + size]

    def __getitem__(self, index: int) -> dict:
        params = self.get_params()
        A = self.crop(self.A[index], params)
        B = self.crop(self.B[index], params if self.opt.dataset_mode == "aligned" else self.get_params())
        return {"A": A, "B": B}

    def __len__(self) -> int:
        return len(self.A)


class UnetGenerator(nn.Module):
    """U-Net of two levels."""

    def __init__(self, ngf: int) -> None:
        super().__init__()
        self.down1 = nn.Sequential(nn.Conv2d(3, ngf, 3, 1, 1), nn.LeakyReLU(0.2))
        self.down2 = nn.Sequential(
            nn.Conv2d(ngf, 2 * ngf, 4, 2, 1),
            nn.BatchNorm2d(2 * ngf),
            nn.LeakyReLU(0.2),
        )
        self.down3 = nn.Sequential(nn.Conv2d(2 * ngf, 4 * ngf, 4, 2, 1), nn.BatchNorm2d(4 * ngf), nn.ReLU())
        self.up1 = nn.Sequential(
            nn.ConvTranspose2d(4 * ngf, 2 * ngf, 4, 2, 1),
            nn.BatchNorm2d(2 * ngf),
            nn.ReLU(),
        )
        self.up2 = nn.Sequential(nn.ConvTranspose2d(4 * ngf, ngf, 4, 2, 1), nn.BatchNorm2d(ngf), nn.ReLU())
        self.out = nn.Sequential(nn.Conv2d(2 * ngf, 3, 3, 1, 1), nn.Tanh())

    def forward(self, x: Tensor) -> Tensor:
        """Return the translated images."""
        d1 = self.down1(x)
        d2 = self.down2(d1)
        u1 = self.up1(self.down3(d2))
        return self.out(torch.cat([self.up2(torch.cat([u1, d2], 1)), d1], 1))


class Pix2PixModel:
    """Networks, optimizers and losses."""

    def __init__(self, opt: SimpleNamespace) -> None:
        self.opt = opt
        self.netG = UnetGenerator(opt.ngf)
        self.netD = nn.Sequential(
            nn.Conv2d(6, opt.ndf, 4, 2, 1),
            nn.LeakyReLU(0.2),
            nn.Conv2d(opt.ndf, 2 * opt.ndf, 4, 2, 1),
            nn.BatchNorm2d(2 * opt.ndf),
            nn.LeakyReLU(0.2),
            nn.Conv2d(2 * opt.ndf, 1, 3, 1, 1),
        )
        self.criterionGAN, self.criterionL1 = nn.BCEWithLogitsLoss(), nn.L1Loss()
        self.optimizer_G = torch.optim.Adam(self.netG.parameters(), lr=opt.lr, betas=(opt.beta1, 0.999))
        self.optimizer_D = torch.optim.Adam(self.netD.parameters(), lr=opt.lr, betas=(opt.beta1, 0.999))

    def set_input(self, batch: dict) -> None:
        """Take a batch."""
        self.real_A, self.real_B = batch["A"], batch["B"]

    def gan_loss(self, prediction: Tensor, target_is_real: bool) -> Tensor:
        """Return the adversarial loss of a map of scores."""
        return self.criterionGAN(prediction, torch.full_like(prediction, float(target_is_real)))

    def backward_D(self) -> None:
        """Compute the discriminator's gradients."""
        pred_fake = self.netD(torch.cat([self.real_A, self.fake_B.detach()], 1))
        pred_real = self.netD(torch.cat([self.real_A, self.real_B], 1))
        self.loss_D_fake, self.loss_D_real = self.gan_loss(pred_fake, False), self.gan_loss(pred_real, True)
        ((self.loss_D_fake + self.loss_D_real) * 0.5).backward()

    def backward_G(self) -> None:
        """Compute the generator's gradients."""
        self.loss_G_GAN = self.gan_loss(self.netD(torch.cat([self.real_A, self.fake_B], 1)), True)
        self.loss_G_L1 = self.criterionL1(self.fake_B, self.real_B) * self.opt.lambda_L1
        (self.loss_G_GAN + self.loss_G_L1).backward()

    def optimize_parameters(self) -> None:
        """Do a step of both networks."""
        self.fake_B = self.netG(self.real_A)
        self.netD.requires_grad_(True)
        self.optimizer_D.zero_grad()
        self.backward_D()
        self.optimizer_D.step()
        self.netD.requires_grad_(False)
        self.optimizer_G.zero_grad()
        self.backward_G()
        self.optimizer_G.step()

    def get_current_losses(self) -> dict:
        """Return the losses as numbers."""
        return {name: getattr(self, "loss_" + name).item() for name in ("G_GAN", "G_L1", "D_real", "D_fake")}


def loop(fixed: bool) -> Watch:
    """Train; ``fixed`` is the repaired twin."""
    torch.manual_seed(1061)
    opt = SimpleNamespace(
        load_size=20,
        crop_size=16,
        batch_size=16,
        ngf=24,
        ndf=24,
        lr=4e-4,
        beta1=0.5,
        lambda_L1=100.0,
        n_steps=800,
        dataset_mode="aligned" if fixed else "unaligned",
    )
    dataset, model = PairedDataset(opt), Pix2PixModel(opt)
    middle = slice(2, 18)

    def translate(n: int) -> Tensor:
        index = torch.randint(len(dataset), (n,))
        return model.netG(dataset.A[index][:, :, middle, middle])

    watch = trainwright.watch(total=opt.n_steps, sample=translate, real=dataset.B[:, :, middle, middle])
    for step in range(opt.n_steps):
        items = [dataset[int(i)] for i in torch.randint(len(dataset), (opt.batch_size,))]
        model.set_input({k: torch.stack([item[k] for item in items]) for k in ("A", "B")})
        model.optimize_parameters()
        watch(step, **model.get_current_losses())
    return watch
