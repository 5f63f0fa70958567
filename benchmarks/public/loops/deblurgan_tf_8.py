"""DeblurGAN: the critic's loss is that of a WGAN without the penalty on its gradient.

Source: github.com/LeeDoYup/DeblurGAN-tf issue 8, found and corrected by the author.
Nothing bounds the critic's slope. Its scores grow without end, and with them the adversarial part of the
generator's gradient, next to which the content loss no longer counts.
"""

import torch
import torch.nn.functional as F
from torch import Tensor, nn

import trainwright
from benchmarks.public.case import Case
from benchmarks.public.materials import batches, images
from trainwright.diagnosis.watch import Watch

CASE = Case(
    kind="adversarial",
    cause="critic_unbounded",
    symptoms=(
        "wiring",
        "unbounded_loss",
        "exploding",
        "critic_dominance",
        "oscillation",
        "off_data",
        "colour_cast",
        "checkerboard",
        "mode_dropping",
        "mode_collapse",
        "blur",
    ),
    spoils="samples",
    source="LeeDoYup/DeblurGAN-tf#8",
    also=("penalty_too_small", "term_left_out"),
    seconds=30,
)


def motion_blur(sharp: Tensor) -> Tensor:
    """Return images that are smeared along one of four directions."""
    k = torch.zeros(4, 5, 5)
    for i in range(5):
        k[0, 2, i] = k[1, i, 2] = k[2, i, i] = k[3, i, 4 - i] = 0.2
    n = len(sharp)
    which = torch.arange(n) % 4
    weight = k[which].repeat_interleave(3, 0)[:, None]
    padded = F.pad(sharp, (2, 2, 2, 2), mode="replicate").reshape(1, 3 * n, 20, 20)
    return F.conv2d(padded, weight, groups=3 * n).view(n, 3, 16, 16)


class ResBlock(nn.Module):
    """Residual block."""

    def __init__(self, ch: int) -> None:
        super().__init__()
        self.layers = nn.Sequential(
            nn.Conv2d(ch, ch, 3, 1, 1),
            nn.InstanceNorm2d(ch, affine=True),
            nn.ReLU(),
            nn.Conv2d(ch, ch, 3, 1, 1),
        )

    def forward(self, x: Tensor) -> Tensor:
        """Return the features."""
        return x + self.layers(x)


class Generator(nn.Module):
    """Blurred images -> sharp images."""

    def __init__(self, ch: int = 16) -> None:
        super().__init__()
        self.body = nn.Sequential(
            nn.Conv2d(3, ch, 5, 1, 2),
            nn.ReLU(),
            ResBlock(ch),
            ResBlock(ch),
            ResBlock(ch),
            nn.Conv2d(ch, 3, 3, 1, 1),
        )

    def forward(self, blur: Tensor) -> Tensor:
        """Return the restored images."""
        return (blur + self.body(blur)).clamp(-1, 1)


class Critic(nn.Module):
    """Scores of images."""

    def __init__(self, ch: int = 16) -> None:
        super().__init__()
        self.layers = nn.Sequential(
            nn.Conv2d(3, ch, 4, 2, 1),
            nn.LeakyReLU(0.2),
            nn.Conv2d(ch, 2 * ch, 4, 2, 1),
            nn.LeakyReLU(0.2),
            nn.Flatten(),
            nn.Linear(2 * ch * 16, 64),
            nn.LeakyReLU(0.2),
            nn.Linear(64, 1),
        )

    def forward(self, x: Tensor) -> Tensor:
        """Return one score for each image."""
        return self.layers(x)


def gradient_penalty(D: nn.Module, sharp: Tensor, gene: Tensor) -> Tensor:
    """Return how far the critic's slope is from one, between real and restored images."""
    epsilon = torch.rand(len(sharp), 1, 1, 1)
    x_hat = (epsilon * sharp + (1 - epsilon) * gene).requires_grad_()
    (grad_d_x_hat,) = torch.autograd.grad(D(x_hat).sum(), x_hat, create_graph=True)
    return (grad_d_x_hat.flatten(1).norm(dim=1) - 1).square().mean()


def loop(fixed: bool) -> Watch:
    """Train; ``fixed`` is the repaired twin."""
    torch.manual_seed(8)
    args = {"batch_size": 12, "critic_updates": 3, "max_step": 800, "LAMBDA_A": 30.0, "learning_rate": 5e-4}
    if fixed:
        args["wgan_gp_lambda"] = 10.0
    sharp_images = images("sprites", background=255)
    blur_images = motion_blur(sharp_images)
    G, D = Generator(), Critic()
    D_optim = torch.optim.Adam(D.parameters(), lr=args["learning_rate"], betas=(0.5, 0.9))
    G_optim = torch.optim.Adam(G.parameters(), lr=args["learning_rate"], betas=(0.5, 0.9))
    loader = batches(torch.arange(len(sharp_images)), int(args["batch_size"]))

    def restore(n: int) -> Tensor:
        return G(blur_images[torch.randperm(len(blur_images))[:n]])

    watch = trainwright.watch(total=int(args["max_step"]), sample=restore, real=sharp_images)
    for step in range(int(args["max_step"])):
        for _ in range(int(args["critic_updates"])):
            index = next(loader)
            blur, sharp = blur_images[index], sharp_images[index]
            gene = G(blur).detach()
            D_loss = D(gene).mean() - D(sharp).mean()
            if "wgan_gp_lambda" in args:
                D_loss = D_loss + args["wgan_gp_lambda"] * gradient_penalty(D, sharp, gene)
            D_optim.zero_grad()
            D_loss.backward()
            D_optim.step()

        gene = G(blur)
        G_loss = -D(gene).mean()
        content_loss = (gene - sharp).square().mean()
        G_optim.zero_grad()
        (G_loss + args["LAMBDA_A"] * content_loss).backward()
        G_optim.step()
        watch(step, D_loss=D_loss.item(), G_loss=G_loss.item(), content_loss=content_loss.item())
    return watch
