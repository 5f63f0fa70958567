"""Outlines into sprites in the manner of pix2pixHD: the feature matching loss is added to the discriminator's loss.

Source: github.com/YuanxunLu/LiveSpeechPortraits issue 24; the author agreed and updated the code.
Feature matching should teach the generator. In the loss of the discriminator it asks for features that do not differ
between real and generated images: the discriminator makes itself blind, and the generator has no teacher.
"""

import torch
import torch.nn.functional as F
from torch import Tensor, nn, optim

import trainwright
from benchmarks.public.case import Case
from benchmarks.public.materials import batches, images
from trainwright.diagnosis.watch import Watch

CASE = Case(
    kind="adversarial",
    cause="term_in_wrong_loss",
    symptoms=(
        "wiring",
        "discriminator_guessing",
        "dead_critic",
        "off_data",
        "mode_collapse",
        "vanishing_losses",
        "generator_dominance",
        "plateau",
        "colour_cast",
        "variance_collapse",
        "mode_dropping",
        "loss_imbalance",
    ),
    spoils="samples",
    source="YuanxunLu/LiveSpeechPortraits#24",
    also=("labels_do_not_oppose", "term_without_gradient", "term_left_out", "discriminator_too_weak", "term_outweighs"),
    seconds=22,
)


class Feature2Face(nn.Module):
    """Small UNet from outlines to images."""

    def __init__(self, width: int = 24) -> None:
        super().__init__()
        self.down1, self.down2 = nn.Conv2d(1, width, 4, 2, 1), nn.Conv2d(width, 2 * width, 4, 2, 1)
        self.mid = nn.Conv2d(2 * width, 2 * width, 3, 1, 1)
        self.up1, self.up2 = nn.Conv2d(3 * width, width, 3, 1, 1), nn.Conv2d(width + 1, width, 3, 1, 1)
        self.last = nn.Conv2d(width, 3, 3, 1, 1)
        self.norm = nn.ModuleList([nn.GroupNorm(4, c) for c in (2 * width, 2 * width, width, width)])

    def forward(self, x: Tensor) -> Tensor:
        """Return images in [-1, 1]."""
        a = F.leaky_relu(self.down1(x), 0.2)
        b = F.leaky_relu(self.norm[0](self.down2(a)), 0.2)
        b = F.leaky_relu(self.norm[1](self.mid(b)), 0.2)
        c = F.leaky_relu(self.norm[2](self.up1(torch.cat([a, F.interpolate(b, scale_factor=2)], 1))), 0.2)
        d = F.leaky_relu(self.norm[3](self.up2(torch.cat([x, F.interpolate(c, scale_factor=2)], 1))), 0.2)
        return torch.tanh(self.last(d))


class Discriminator(nn.Module):
    """Patch discriminator that returns the features of its layers, scores last."""

    def __init__(self, width: int = 24) -> None:
        super().__init__()
        self.layers = nn.ModuleList(
            [
                nn.Sequential(nn.Conv2d(4, width, 3, 1, 1), nn.LeakyReLU(0.2)),
                nn.Sequential(nn.Conv2d(width, width, 4, 2, 1), nn.LeakyReLU(0.2)),
                nn.Sequential(nn.Conv2d(width, 2 * width, 4, 2, 1), nn.LeakyReLU(0.2)),
                nn.Conv2d(2 * width, 1, 3, 1, 1),
            ]
        )

    def forward(self, x: Tensor, condition: Tensor) -> list[Tensor]:
        """Return features."""
        out, h = [], torch.cat([x, condition], 1)
        for layer in self.layers:
            h = layer(h)
            out.append(h)
        return out


def edges(x: Tensor) -> Tensor:
    """Return the outline of sprites, (n, 1, 16, 16) of 0 and 1."""
    mask = (x.amax(1, keepdim=True) > -0.8).float()
    return mask + F.max_pool2d(-mask, 3, 1, 1)


def criterionFeat(pred_fake: list[Tensor], pred_real: list[Tensor]) -> Tensor:
    """Return the distance of features."""
    return sum((F.l1_loss(f, r) for f, r in zip(pred_fake[:-1], pred_real[:-1], strict=True)), torch.zeros(()))


def loop(fixed: bool) -> Watch:
    """Train; ``fixed`` is the repaired twin."""
    torch.manual_seed(24)
    data = images("sprites", 16)
    train, test = data[:-64], data[-64:]
    G, D = Feature2Face(), Discriminator()
    optimizer_G = optim.Adam(G.parameters(), lr=1e-3, betas=(0.5, 0.999))
    optimizer_D = optim.Adam(D.parameters(), lr=4e-4, betas=(0.5, 0.999))
    loader, n_iters, lambda_feat = batches(train, 32), 500, 10.0

    @torch.no_grad()
    def inference(n: int) -> Tensor:
        return G(edges(test[:n]))

    watch = trainwright.watch(total=n_iters, sample=inference, real=train)
    for i in range(n_iters):
        tgt_image = next(loader)
        feature_map = edges(tgt_image)
        fake_pred = G(feature_map)
        pred_real, pred_fake = D(tgt_image, feature_map), D(fake_pred.detach(), feature_map)
        loss_D = 0.5 * (((pred_real[-1] - 1) ** 2).mean() + (pred_fake[-1] ** 2).mean())
        loss_FM = criterionFeat(pred_fake, pred_real)
        optimizer_D.zero_grad()
        (loss_D if fixed else loss_D + lambda_feat * loss_FM).backward()
        optimizer_D.step()
        pred_fake = D(fake_pred, feature_map)
        loss_G_GAN = ((pred_fake[-1] - 1) ** 2).mean()
        loss_G = loss_G_GAN
        if fixed:
            with torch.no_grad():
                pred_real = D(tgt_image, feature_map)
            loss_FM = criterionFeat(pred_fake, pred_real)
            loss_G = loss_G_GAN + lambda_feat * loss_FM
        optimizer_G.zero_grad()
        loss_G.backward()
        optimizer_G.step()
        watch(i, loss_D=loss_D.item(), loss_G_GAN=loss_G_GAN.item(), loss_FM=loss_FM.item())
    return watch
