"""A DCGAN in a plain script, and a WGAN-GP in a trainer class."""

from typing import Any

import torch
import torch.nn.functional as F
from torch import Tensor, nn

import trainwright
from benchmarks.public.materials import batches, discriminator, generator, images
from trainwright.diagnosis.watch import Watch

PLAIN: dict[str, tuple[str, ...]] = {
    "g_step_on_d_parameters": ("parameters_not_optimized", "parameters_shared", "not_trained"),
    "d_never_cleared": ("gradients_not_cleared",),
    "g_gets_gradients_of_d": ("gradients_of_other_loss",),
    "g_label_fake": ("labels_do_not_oppose",),
    "d_labels_equal": ("labels_do_not_oppose",),
    "d_sees_real_only": ("labels_do_not_oppose", "term_left_out"),
    "sigmoid_twice": ("sigmoid_twice",),
    "softmax_of_one": ("output_activation", "not_trained"),
    "data_0_1": ("data_range",),
    "data_0_255": ("data_range",),
    "relu_output": ("output_activation", "data_range"),
    "d_lr_high": ("critic_lr_too_high", "lr_ratio", "lr_too_high"),
    "g_lr_high": ("generator_lr_too_high", "generator_outruns", "lr_too_high"),
    "g_lr_low": ("lr_too_low", "lr_ratio", "critic_lr_too_high"),
    "noise_once": ("noise_drawn_once",),
    "noise_once_for_batch": ("noise_drawn_once",),
    "uniform_training_normal_sampling": ("noise_distribution_mismatch", "temperature"),
    "same_real_batch": ("same_batch_every_step",),
    "fake_detached_for_g": ("not_trained",),
    "g_optimizer_of_old_network": ("parameters_not_optimized", "not_trained"),
    "g_optimizer_not_stepped": ("optimizer_never_steps",),
    "d_optimizer_not_stepped": ("optimizer_never_steps",),
    "schedule_per_batch": ("lr_reaches_zero_early",),
    "clip_tiny": ("clipping_too_tight",),
    "weight_decay": ("weight_decay_too_high",),
    "channels_viewed": ("data_layout",),
    "g_frozen": ("not_trained",),
    "init_std_1": ("initialization", "lr_too_high"),
    "zero_init": ("initialization", "dead_units"),
    "g_in_eval": ("trained_in_eval_mode", "running_statistics_not_updated"),
    "minimax": ("flat_loss", "labels_do_not_oppose", "saturating_loss"),
    "d_ten_steps": ("too_many_critic_steps",),
    "momentum": ("momentum_too_high",),
    "swapped_hinge": ("labels_do_not_oppose", "wrong_sign"),
    "broadcast_labels": ("loss_shapes_broadcast",),
    "augment_real_only": ("augmentation_of_real_only",),
}


def plain(fault: str) -> Watch:
    """Train a DCGAN with losses as numbers."""
    torch.manual_seed(0)
    data = images("sprites")
    if fault == "data_0_1":
        data = (data + 1) / 2
    if fault == "data_0_255":
        data = (data + 1) * 127.5
    if fault == "channels_viewed":
        data = data.permute(0, 2, 3, 1).contiguous().view(-1, 3, 16, 16)
    last = {"relu_output": nn.ReLU()}.get(fault)
    netG = generator(last=last)
    netD = discriminator(last={"softmax_of_one": nn.Softmax(0)}.get(fault))
    if fault == "softmax_of_one":
        netD = nn.Sequential(*list(netD)[:-2], nn.Flatten(1), nn.Softmax(1), nn.Flatten(0))
    if fault == "sigmoid_twice":
        netD = nn.Sequential(*list(netD)[:-1], nn.Sigmoid())

    def weights_init(m: nn.Module) -> None:
        if isinstance(m, (nn.Conv2d, nn.ConvTranspose2d)):
            nn.init.normal_(m.weight, 0.0, {"init_std_1": 1.0, "zero_init": 0.0}.get(fault, 0.02))

    netG.apply(weights_init)
    netD.apply(weights_init)
    lr_d = {"d_lr_high": 2e-2}.get(fault, 2e-4)
    lr_g = {"g_lr_high": 3e-2, "g_lr_low": 1e-6}.get(fault, 1e-3)
    beta = 0.95 if fault == "momentum" else 0.5
    decay = 100.0 if fault == "weight_decay" else 0.0
    optD = torch.optim.Adam(netD.parameters(), lr=lr_d, betas=(beta, 0.999))
    make: Any = torch.optim.AdamW if decay else torch.optim.Adam
    target = netD if fault == "g_step_on_d_parameters" else netG
    optG = make(target.parameters(), lr=lr_g, betas=(beta, 0.999), weight_decay=decay)
    if fault == "g_optimizer_of_old_network":
        netG = generator()
        netG.apply(weights_init)
    if fault == "g_frozen":
        for p in netG.parameters():
            p.requires_grad_(False)
        netG[1].bias = nn.Parameter(torch.zeros(48))
        optG = torch.optim.Adam([p for p in netG.parameters() if p.requires_grad], lr=1e-3)
    if fault == "g_in_eval":
        netG.eval()
    steps = 250
    schedule = torch.optim.lr_scheduler.StepLR(optG, 10, 0.5) if fault == "schedule_per_batch" else None
    bce = nn.BCELoss() if fault in ("softmax_of_one",) else nn.BCEWithLogitsLoss()
    nz, size = 64, 32
    fixed_z = torch.randn(size, nz)
    stream = batches(data, size)
    held = next(stream)

    @torch.no_grad()
    def sample(n: int) -> Tensor:
        return netG(torch.randn(n, nz))

    watch = trainwright.watch(total=steps, sample=sample, real=data)
    for i in range(steps):
        for _ in range(10 if fault == "d_ten_steps" else 1):
            real = held if fault == "same_real_batch" else next(stream)
            if fault == "augment_real_only":
                real = (real + 0.6 * torch.randn(len(real), 3, 1, 1)).clamp(-1, 1).flip(2)
            if fault == "noise_once":
                noise = fixed_z
            elif fault == "noise_once_for_batch":
                noise = torch.randn(1, nz).expand(size, nz)
            elif fault == "uniform_training_normal_sampling":
                noise = torch.rand(size, nz)
            else:
                noise = torch.randn(size, nz)
            ones, zeros = torch.ones(size), torch.zeros(size)
            if fault == "broadcast_labels":
                ones, zeros = ones[:, None], zeros[:, None]
            fake = netG(noise)
            if fault != "d_never_cleared":
                netD.zero_grad()
            out_real, out_fake = netD(real), netD(fake if fault == "g_gets_gradients_of_d" else fake.detach())
            if fault == "broadcast_labels":
                errD = F.mse_loss(out_real, ones) + F.mse_loss(out_fake, zeros)
            elif fault == "swapped_hinge":
                errD = F.relu(1 - out_real).mean() + F.relu(1 - out_fake).mean()
            elif fault == "d_labels_equal":
                errD = bce(out_real, ones) + bce(out_fake, ones)
            elif fault == "d_sees_real_only":
                errD = bce(out_real, ones)
            else:
                errD = bce(out_real, ones) + bce(out_fake, zeros)
            errD.backward()
            if fault != "d_optimizer_not_stepped":
                optD.step()
        if fault != "g_gets_gradients_of_d":
            optG.zero_grad()
        if fault == "g_gets_gradients_of_d":
            fake = netG(torch.randn(size, nz))
        output = netD(fake.detach() if fault == "fake_detached_for_g" else fake)
        if fault == "broadcast_labels":
            errG = F.mse_loss(output, ones)
        elif fault == "swapped_hinge":
            errG = -output.mean()
        elif fault == "g_label_fake":
            errG = bce(output, zeros)
        elif fault == "minimax":
            errG = -bce(output, zeros)
        else:
            errG = bce(output, ones)
        errG.backward()
        if fault == "clip_tiny":
            nn.utils.clip_grad_norm_(netG.parameters(), 1e-9)
        if fault != "g_optimizer_not_stepped":
            optG.step()
        if fault == "g_gets_gradients_of_d":
            optG.zero_grad()
        if schedule is not None:
            schedule.step()
        watch(i, Loss_D=errD.item(), Loss_G=errG.item())
    return watch


WGAN: dict[str, tuple[str, ...]] = {
    "g_sign": ("wrong_sign", "labels_do_not_oppose"),
    "d_sign": ("wrong_sign", "labels_do_not_oppose"),
    "penalty_without_graph": ("penalty_without_graph",),
    "penalty_tiny": ("penalty_too_small", "critic_unbounded"),
    "penalty_huge": ("penalty_too_large",),
    "norm_over_channels": ("penalty_formula",),
    "batch_norm": ("batch_norm_in_critic",),
    "sigmoid": ("output_activation",),
    "one_critic_step": ("too_few_critic_steps",),
    "penalty_of_real_only": ("penalty_formula",),
    "penalty_not_added": ("term_left_out", "critic_unbounded"),
    "lr_high": ("lr_too_high", "critic_lr_too_high", "generator_lr_too_high"),
    "critic_never_steps": ("optimizer_never_steps",),
}


class WGANTrainer:
    """Trains a WGAN-GP as one finds it in a class."""

    def __init__(self, fault: str) -> None:
        """Make networks and optimizers."""
        self.fault = fault
        self.G = generator(width=16)
        self.D = discriminator(norm=fault == "batch_norm", last=nn.Sigmoid() if fault == "sigmoid" else None, width=16)
        lr = 3e-2 if fault == "lr_high" else 5e-4
        self.G_opt = torch.optim.Adam(self.G.parameters(), lr=lr, betas=(0.0, 0.9))
        self.D_opt = torch.optim.Adam(self.D.parameters(), lr=lr, betas=(0.0, 0.9))
        self.losses: dict[str, list[float]] = {"G": [], "D": [], "GP": [], "gradient_norm": []}
        self.num_steps = 0
        self.gp_weight = {"penalty_tiny": 1e-4, "penalty_huge": 1e5}.get(fault, 10.0)
        self.critic_iterations = 1 if fault == "one_critic_step" else 5

    def _critic_train_iteration(self, data: Tensor) -> None:
        generated = self.sample_generator(len(data)).detach()
        d_real, d_generated = self.D(data), self.D(generated)
        gradient_penalty = self._gradient_penalty(data, generated)
        self.D_opt.zero_grad()
        d_loss = d_generated.mean() - d_real.mean()
        if self.fault == "d_sign":
            d_loss = -d_loss
        if self.fault != "penalty_not_added":
            d_loss = d_loss + gradient_penalty
        d_loss.backward()
        if self.fault != "critic_never_steps":
            self.D_opt.step()
        self.losses["D"].append(d_loss.item())
        self.losses["GP"].append(gradient_penalty.item())

    def _generator_train_iteration(self, n: int) -> None:
        self.G_opt.zero_grad()
        g_loss = -self.D(self.sample_generator(n)).mean()
        if self.fault == "g_sign":
            g_loss = -g_loss
        g_loss.backward()
        self.G_opt.step()
        self.losses["G"].append(g_loss.item())

    def _gradient_penalty(self, real: Tensor, generated: Tensor) -> Tensor:
        alpha = torch.rand(len(real), 1, 1, 1)
        x = alpha * real + (1 - alpha) * generated
        if self.fault == "penalty_of_real_only":
            x = real.clone()
        x.requires_grad_()
        score = self.D(x)
        graph = self.fault != "penalty_without_graph"
        (g,) = torch.autograd.grad(score, x, torch.ones_like(score), create_graph=graph, retain_graph=True)
        norm = g.norm(2, dim=1) if self.fault == "norm_over_channels" else g.flatten(1).norm(2, dim=1)
        return self.gp_weight * ((norm - 1) ** 2).mean()

    def sample_generator(self, n: int) -> Tensor:
        """Return n images."""
        return self.G(torch.randn(n, 64))


def wgan(fault: str) -> Watch:
    """Train a WGAN-GP."""
    torch.manual_seed(0)
    data = images("emoji")
    trainer = WGANTrainer(fault)
    steps = 200
    watch = trainwright.watch(total=steps, sample=lambda n: trainer.sample_generator(n).detach(), real=data)
    stream = batches(data, 32)
    for i in range(steps):
        for _ in range(trainer.critic_iterations):
            trainer._critic_train_iteration(next(stream))
        trainer._generator_train_iteration(32)
        watch(i, D=trainer.losses["D"][-1], G=trainer.losses["G"][-1], GP=trainer.losses["GP"][-1])
    return watch


LOOPS = {"gan": (plain, PLAIN), "wgan": (wgan, WGAN)}
