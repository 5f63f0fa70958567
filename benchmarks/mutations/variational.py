"""A convolutional VAE with a loss function, a conditional VAE of vectors, and a VQ-VAE whose module returns its loss."""

import torch
import torch.nn.functional as F
from torch import Tensor, nn

import trainwright
from benchmarks.public.materials import batches, images
from trainwright.diagnosis.watch import Watch

CONV: dict[str, tuple[str, ...]] = {
    "mean_error_sum_kl": ("reduction_mismatch", "beta_above_threshold"),
    "kl_sign": ("kl_sign", "wrong_sign"),
    "kl_without_exp": ("kl_sign", "kl_formula"),
    "kl_of_mean_only": ("kl_formula", "kl_sign"),
    "kl_left_out": ("term_left_out", "beta_too_small", "kl_weight_stays_zero"),
    "std_is_exp_logvar": ("deviation_formula", "kl_formula"),
    "no_noise": ("noise_not_used",),
    "noise_drawn_once": ("noise_drawn_once",),
    "noise_one_for_batch": ("noise_drawn_once",),
    "tanh_for_0_1": ("data_range", "output_activation"),
    "data_minus_1_1": ("data_range", "loss_outside_range"),
    "relu_on_mean": ("latent_activation",),
    "tanh_on_logvar": ("latent_activation",),
    "sampling_uniform": ("noise_distribution_mismatch", "temperature"),
    "sampling_wide": ("noise_distribution_mismatch", "temperature"),
    "sampling_zero": ("sampling_without_noise",),
    "beta_huge": ("beta_above_threshold",),
    "beta_reset": ("kl_weight_stays_zero",),
    "latent_of_one": ("latent_too_small",),
    "decoder_only_optimized": ("parameters_not_optimized",),
    "target_is_reconstruction": ("targets_in_input", "wrong_target"),
    "sigmoid_twice": ("sigmoid_twice",),
    "mu_logvar_swapped": ("outputs_swapped", "kl_sign", "kl_formula"),
    "layers_viewed": ("data_layout",),
    "lr_high": ("lr_too_high",),
    "lr_low": ("lr_too_low",),
    "never_cleared": ("gradients_not_cleared",),
    "samples_by_untrained_copy": (
        "samples_of_untrained_network",
        "ema_too_slow",
        "parameters_not_optimized",
        "not_trained",
    ),
    "eval_left_on": ("trained_in_eval_mode", "running_statistics_not_updated"),
    "detached_z": ("not_trained",),
    "skip_connection": ("strong_decoder", "targets_in_input"),
}


class VAE(nn.Module):
    """Images (n, 3, 16, 16) in 0..1."""

    def __init__(self, fault: str, z: int = 16) -> None:
        """Make encoder and decoder."""
        super().__init__()
        self.fault = fault
        self.encoder = nn.Sequential(
            nn.Conv2d(3, 24, 4, 2, 1),
            nn.BatchNorm2d(24),
            nn.ReLU(),
            nn.Conv2d(24, 48, 4, 2, 1),
            nn.ReLU(),
            nn.Flatten(),
        )
        self.fc_mu, self.fc_logvar = nn.Linear(768, z), nn.Linear(768, z)
        self.decoder_input = nn.Linear(z, 768)
        self.decoder = nn.Sequential(
            nn.Unflatten(1, (48, 4, 4)), nn.ReLU(), nn.ConvTranspose2d(48, 24, 4, 2, 1), nn.BatchNorm2d(24), nn.ReLU(),
            nn.ConvTranspose2d(24, 3, 4, 2, 1), nn.Tanh() if fault == "tanh_for_0_1" else nn.Sigmoid(),
        )  # fmt: skip
        self.skip = nn.Conv2d(3, 3, 1)
        self.register_buffer("eps", torch.randn(1, z))

    def encode(self, x: Tensor) -> tuple[Tensor, Tensor]:
        """Return mean and log-variance."""
        h = self.encoder(x)
        mu, logvar = self.fc_mu(h), self.fc_logvar(h)
        if self.fault == "relu_on_mean":
            mu = F.relu(mu)
        if self.fault == "tanh_on_logvar":
            logvar = torch.tanh(logvar)
        return mu, logvar

    def reparameterize(self, mu: Tensor, logvar: Tensor) -> Tensor:
        """Return z."""
        std = torch.exp(logvar if self.fault == "std_is_exp_logvar" else 0.5 * logvar)
        eps = torch.randn_like(std)
        if self.fault == "noise_drawn_once":
            eps = self.eps
        if self.fault == "noise_one_for_batch":
            eps = torch.randn(1, std.shape[1])
        if self.fault == "no_noise":
            return mu
        return mu + eps * std

    def decode(self, z: Tensor) -> Tensor:
        """Return images."""
        h = self.decoder_input(z.detach() if self.fault == "detached_z" else z)
        if self.fault == "layers_viewed":
            h = h.view(-1, 16, 48).permute(0, 2, 1).reshape(-1, 768)
        return self.decoder(h)

    def forward(self, x: Tensor) -> tuple[Tensor, Tensor, Tensor]:
        """Return reconstruction, mean, log-variance."""
        mu, logvar = self.encode(x)
        out = self.decode(self.reparameterize(mu, logvar))
        if self.fault == "skip_connection":
            out = torch.sigmoid(torch.logit(out, 1e-4) + self.skip(x) * 8 - 4)
        return out, mu, logvar


def loss_function(
    recon_x: Tensor, x: Tensor, mu: Tensor, logvar: Tensor, fault: str, beta: float
) -> tuple[Tensor, Tensor, Tensor]:
    """Return the loss and its terms."""
    if fault == "mu_logvar_swapped":
        mu, logvar = logvar, mu
    if fault == "sigmoid_twice":
        bce = F.binary_cross_entropy_with_logits(recon_x, x, reduction="sum") / len(x)
    elif fault == "mean_error_sum_kl":
        bce = F.mse_loss(recon_x, x)
    elif fault == "data_minus_1_1":
        bce = F.binary_cross_entropy_with_logits(recon_x, x, reduction="sum") / len(x)
    elif fault == "tanh_for_0_1":
        bce = F.mse_loss(recon_x, x, reduction="sum") / len(x)
    else:
        bce = F.mse_loss(
            recon_x, recon_x.detach() if fault == "target_is_reconstruction" else x, reduction="sum"
        ) / len(x)
    if fault == "kl_without_exp":
        kld = -0.5 * (1 + logvar - mu.pow(2) - logvar).sum(1).mean()
    elif fault == "kl_of_mean_only":
        kld = 0.5 * mu.pow(2).sum(1).mean()
    else:
        kld = -0.5 * (1 + logvar - mu.pow(2) - logvar.exp()).sum(1).mean()
    if fault == "kl_sign":
        kld = -kld
    loss = bce if fault == "kl_left_out" else bce + beta * kld
    return loss, bce, kld


def conv(fault: str) -> Watch:
    """Train a VAE."""
    torch.manual_seed(0)
    data = (images("emoji") + 1) / 2
    if fault == "data_minus_1_1":
        data = data * 2 - 1
    z = 1 if fault == "latent_of_one" else 16
    model = VAE(fault, z)
    used = VAE(fault, z) if fault == "samples_by_untrained_copy" else model
    held = model.decoder.parameters() if fault == "decoder_only_optimized" else model.parameters()
    lr = {"lr_high": 0.3, "lr_low": 1e-7}.get(fault, 2e-3)
    optimizer = torch.optim.Adam(held, lr=lr)
    steps = 300
    if fault == "eval_left_on":
        model.eval()

    @torch.no_grad()
    def sample(n: int) -> Tensor:
        used.eval()
        noise = torch.randn(n, z)
        if fault == "sampling_uniform":
            noise = torch.rand(n, z)
        if fault == "sampling_wide":
            noise = noise * 3
        if fault == "sampling_zero":
            noise = torch.zeros(n, z)
        out = used.decode(noise)
        if fault != "eval_left_on":
            used.train()
        return out

    watch = trainwright.watch(total=steps, sample=sample, real=data)
    beta = 0.0 if fault == "beta_reset" else 1.0
    for step, x in zip(range(steps), batches(data, 48), strict=False):
        if fault == "beta_reset":
            beta = min(1.0, 0.0 + step // 10**6)
        recon, mu, logvar = model(x)
        loss, bce, kld = loss_function(recon, x, mu, logvar, fault, 2e3 if fault == "beta_huge" else beta)
        if fault != "never_cleared":
            optimizer.zero_grad()
        loss.backward()
        optimizer.step()
        watch(step, loss=loss, reconstruction=bce, kl=kld)
    return watch


VQ: dict[str, tuple[str, ...]] = {
    "no_straight_through": ("not_trained", "term_without_gradient"),
    "codebook_loss_left_out": ("codebook_not_updated", "term_left_out", "not_trained"),
    "codebook_not_optimized": ("parameters_not_optimized",),
    "codebook_far": ("codebook_unused", "initialization"),
    "commitment_huge": ("beta_above_threshold", "term_drowned", "commitment_too_large"),
    "commitment_left_out": ("term_left_out", "codebook_unused"),
    "input_quantized": ("data_layout",),
    "lr_high": ("lr_too_high", "codebook_unused"),
    "decoder_of_unquantized": ("quantization_skipped", "codebook_unused", "codebook_not_updated"),
}


class VQVAE(nn.Module):
    """Images in -1..1 by way of 64 codes."""

    def __init__(self, fault: str) -> None:
        """Make the layers."""
        super().__init__()
        self.fault = fault
        self.enc = nn.Sequential(
            nn.Conv2d(3, 32, 4, 2, 1), nn.ReLU(), nn.Conv2d(32, 32, 4, 2, 1), nn.ReLU(), nn.Conv2d(32, 16, 1)
        )
        self.codebook = nn.Embedding(64, 16)
        with torch.no_grad():
            self.codebook.weight.uniform_(-1 / 64, 1 / 64)
            if fault == "codebook_far":
                self.codebook.weight.normal_(0, 30.0)
        self.dec = nn.Sequential(
            nn.Conv2d(16, 32, 3, 1, 1),
            nn.ReLU(),
            nn.ConvTranspose2d(32, 32, 4, 2, 1),
            nn.ReLU(),
            nn.ConvTranspose2d(32, 3, 4, 2, 1),
        )

    def forward(self, x: Tensor) -> tuple[Tensor, Tensor, Tensor]:
        """Return the reconstruction, its error and the loss of the codes."""
        z = self.enc(x)
        flat = z.permute(0, 2, 3, 1).reshape(-1, 16)
        if self.fault == "input_quantized":
            flat = z.reshape(-1, 16)
        distance = (
            flat.pow(2).sum(1, keepdim=True) - 2 * flat @ self.codebook.weight.T + self.codebook.weight.pow(2).sum(1)
        )
        index = distance.argmin(1)
        q = self.codebook(index)
        q = q.view(z.shape) if self.fault == "input_quantized" else q.view(len(x), 4, 4, 16).permute(0, 3, 1, 2)
        code, commit = F.mse_loss(q, z.detach()), F.mse_loss(z, q.detach())
        vq = code + {"commitment_huge": 300.0}.get(self.fault, 0.25) * commit
        if self.fault == "codebook_loss_left_out":
            vq = 0.25 * commit
        if self.fault == "commitment_left_out":
            vq = code
        out = q if self.fault == "no_straight_through" else z + (q - z).detach()
        if self.fault == "decoder_of_unquantized":
            out = z
        recon = self.dec(out)
        return recon, F.mse_loss(recon, x), vq


def vq(fault: str) -> Watch:
    """Train a VQ-VAE."""
    torch.manual_seed(0)
    data = images("sprites")
    model = VQVAE(fault)
    params = [
        p for n, p in model.named_parameters() if not (fault == "codebook_not_optimized" and n.startswith("codebook"))
    ]
    opt = torch.optim.Adam(params, lr=0.1 if fault == "lr_high" else 2e-3)
    steps = 300
    order = iter(batches(data, 32, seed=5))

    @torch.no_grad()
    def reconstruct(n: int) -> Tensor:
        x = torch.cat([next(order) for _ in range(-(-n // 32))])[:n]
        return model(x)[0]

    watch = trainwright.watch(total=steps, sample=reconstruct, real=data)
    for step, x in zip(range(steps), batches(data, 32), strict=False):
        _, recon_error, vq_loss = model(x)
        loss = recon_error + vq_loss
        opt.zero_grad()
        loss.backward()
        opt.step()
        watch(step, recon_error=recon_error.item(), vq_loss=vq_loss.item())
    return watch


LOOPS = {"vae": (conv, CONV), "vqvae": (vq, VQ)}
