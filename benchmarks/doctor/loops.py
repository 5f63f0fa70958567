"""Two typical training loops with the doctor in two lines: a GAN and a VAE on small real images."""

from collections.abc import Callable, Mapping
from typing import Any

import torch
import torch.nn.functional as F
from torch import Tensor, nn

from trainwright.diagnosis.watch import Watch

SIDE = 16


def images(data: str) -> tuple[Tensor, Tensor]:
    """Return (training, held-out) images, (n, 3, 16, 16) in [-1, 1]."""
    from trainwright.catalog import load
    from trainwright.data.images import Images

    _, config = load("wgan_gp/tiny", (f"data={data}", f"size={SIDE}"))
    found = Images.open(config.data)
    return found.images("train", 10_000), found.images("held_out", 512)


def dense(*widths: int, last: nn.Module | None = None) -> nn.Sequential:
    """Linear layers with leaky rectifiers."""
    layers: list[nn.Module] = []
    for a, b in zip(widths, widths[1:], strict=False):
        layers += [nn.Linear(a, b), nn.LeakyReLU(0.2)]
    return nn.Sequential(*layers[:-1], *([last] if last else []))


def conv_generator(latent: int, width: int, kernel: int) -> nn.Sequential:
    """4 -> 8 -> 16 pixels by transposed convolutions of stride 2."""
    pad, extra = (1, 0) if kernel == 4 else (kernel // 2, 1)
    return nn.Sequential(
        nn.Linear(latent, 2 * width * 16),
        nn.Unflatten(1, (2 * width, 4, 4)),
        nn.ReLU(),
        nn.ConvTranspose2d(2 * width, width, kernel, 2, pad, extra),
        nn.ReLU(),
        nn.ConvTranspose2d(width, 3, kernel, 2, pad, extra),
        nn.Tanh(),
        nn.Flatten(),
    )


def gan(o: Mapping[str, Any], watched: Callable[..., Watch]) -> tuple[Watch, Tensor]:
    """Train a non-saturating GAN (Goodfellow et al. 2014); return the watch and 512 samples at the end."""
    torch.manual_seed(o["seed"])
    real, held = images(o["data"])
    real = real[: o.get("images", len(real))]
    shown = o.get("distort", lambda x: x)
    z, batch = o.get("latent_dim", 32), o.get("batch_size", 64)
    g, d = gan_networks(o, z)
    lr_g, lr_d, betas = o.get("lr_g", 2e-4), o.get("lr_d", 2e-4), (o.get("beta1", 0.5), 0.999)
    adam_g, adam_d = (torch.optim.Adam(net.parameters(), lr, betas=betas) for net, lr in ((g, lr_g), (d, lr_d)))
    settings = {
        "lr_g": lr_g, "lr_d": lr_d, "latent_dim": z, "batch_size": batch, "beta1": betas[0],
        "instance_noise": o.get("instance_noise", 0.0),
    }  # fmt: skip
    facts = {
        "transposed": f"{o['kernel']}/2" if "kernel" in o else "",
        "data_range": (float(shown(real).min()), float(shown(real).max())),
    }
    networks = {"generator": g, "discriminator": d}
    sample = from_fixed_noise(g, z)
    watch = watched(
        total=o["steps"], sample=sample, real=real, held_out=held, networks=networks, settings=settings, facts=facts
    )

    def hide(p: Tensor) -> Tensor:
        noise = o.get("instance_noise", 0.0)
        return p + noise * torch.randn_like(p) if noise else p

    updates = {"generator": 0, "discriminator": 0}
    for step in range(o["steps"]):
        x = shown(real[torch.randint(len(real), (batch,))]).flatten(1)
        x = x * 8 if step == o.get("spike_at") else x
        if step == o.get("dies_at"):
            kill(d)
        fake = g(torch.randn(batch, z))
        on_real, on_fake = d(hide(x)), d(hide(fake.detach()))
        loss_real, loss_fake = cross_entropy(on_real, o.get("smooth", 1.0)), cross_entropy(on_fake, 0.0)
        block = o.get("block")  # networks that alternate in long blocks
        if block is None or step // block % 2 == 0:
            descend(adam_d, loss_real + loss_fake)
            updates["discriminator"] += 1
        loss_g = cross_entropy(d(hide(fake)), 1.0)
        if block is None or step // block % 2 == 1:
            descend(adam_g, loss_g)
            updates["generator"] += 1
        more = {"discriminator/score_spread": torch.cat([on_real, on_fake]).detach().std()}
        if step % 50 == 49:
            more |= {f"updates_per_epoch/{name}": float(count) for name, count in updates.items()}
            updates = dict.fromkeys(updates, 0)
        watch(step + 1, more, D_real=loss_real, D_fake=loss_fake, loss_G=loss_g)
    watch.diagnose()
    with torch.no_grad():
        return watch, g(torch.randn(512, z)).view(-1, 3, SIDE, SIDE)


def gan_networks(o: Mapping[str, Any], z: int) -> tuple[nn.Module, nn.Module]:
    """Return generator and discriminator of dense layers.

    Option ``kernel`` selects transposed convolutions, and ``blurred`` removes detail below this number of pixels.
    """
    width, size = o.get("width", 128), 3 * SIDE * SIDE
    if "kernel" in o:
        g: nn.Module = conv_generator(z, width // 4, o["kernel"])
    else:
        g = dense(z, width, 2 * width, size, last=nn.Tanh())
    if o.get("blurred"):
        small = SIDE // o["blurred"]
        g = nn.Sequential(
            dense(z, width, 2 * width, 3 * small**2, last=nn.Tanh()), nn.Unflatten(1, (3, small, small)),
            nn.Upsample(scale_factor=o["blurred"], mode="bilinear"), nn.Flatten(),
        )  # fmt: skip
    return g, dense(size, 2 * width, width, 1)


def from_fixed_noise(network: nn.Module, z: int) -> Callable[[int], Tensor]:
    """Return ``sample(n)``, which gives images from the first n of 128 fixed draws."""
    fixed = torch.randn(128, z, generator=torch.Generator().manual_seed(7))

    def sample(n: int) -> Tensor:
        with torch.no_grad():
            return network(fixed[:n]).view(n, 3, SIDE, SIDE).clamp(-1, 1)

    return sample


def cross_entropy(scores: Tensor, wanted: float) -> Tensor:
    """Return the binary cross-entropy of logits and one label."""
    return F.binary_cross_entropy_with_logits(scores, torch.full_like(scores, wanted))


def descend(optimizer: torch.optim.Optimizer, loss: Tensor) -> None:
    """Take one step."""
    optimizer.zero_grad()
    loss.backward()
    optimizer.step()


@torch.no_grad()
def kill(network: nn.Module) -> None:
    """Set every weight matrix to 0."""
    for layer in network.modules():
        if isinstance(layer, nn.Linear):
            layer.weight.zero_()


def vae(o: Mapping[str, Any], watched: Callable[..., Watch]) -> tuple[Watch, Tensor]:
    """Train a VAE with a Gaussian decoder of unit variance (Kingma & Welling 2014), or with averaged errors.

    Returns:
        The watch and samples.
    """
    torch.manual_seed(o["seed"])
    real, held = images(o["data"])
    real = real[: o.get("images", len(real))].flatten(1)
    held = held.flatten(1)
    z, width, size = o.get("latent_dim", 16), o.get("width", 128), real.shape[1]
    encoder, decoder = dense(size, width, width, 2 * z), dense(z, width, width, size)
    parameters = [*encoder.parameters(), *decoder.parameters()]
    if "decoder" in o.get("frozen", ()):
        decoder.requires_grad_(False)
    lr = o.get("lr", 1e-3)
    adam = torch.optim.AdamW([p for p in parameters if p.requires_grad], lr, weight_decay=o.get("weight_decay", 0.0))
    beta, reduction, steps = o.get("beta", 0.5), o.get("reduction", "sum"), o["steps"]
    share = 1.0 if reduction == "sum" else 1.0 / size
    from trainwright.metrics.posterior_threshold import predict

    limit = predict(real[:512], torch.full((size,), share), 1.0).beta
    settings = {
        "lr": lr,
        "max_beta": beta,
        "reduction": reduction,
        "latent_dim": z,
        "batch_size": o.get("batch_size", 64),
        "weight_decay": o.get("weight_decay", 0.0),
    }
    if "clip" in o:
        settings["max_grad_norm"] = o["clip"]
    watch = watched(
        total=steps,
        sample=from_fixed_noise(decoder, z),
        real=real.view(-1, 3, SIDE, SIDE),
        held_out=held.view(-1, 3, SIDE, SIDE),
        networks={"encoder": encoder, "decoder": decoder},
        settings=settings,
        facts={"beta_threshold": limit, "effective_beta": beta / (2 * share)},
    )
    for step in range(steps):
        x = real[torch.randint(len(real), (settings["batch_size"],))]
        x = (
            x * o["scale"] if step >= o.get("scaled_at", steps) else x
        )  # part of the data was prepared by another script
        mean, log_variance = encoder(x).chunk(2, 1)
        out = decoder(mean + torch.randn_like(mean) * (0.5 * log_variance).exp())
        error = (out - x).square().sum(1).mean() * share
        kl = (0.5 * (mean.square() + log_variance.exp() - 1 - log_variance)).sum(1).mean()
        now = beta * min(1.0, (step + 1) / max(1, o.get("warmup", 0)))
        loss = error + now * kl
        adam.zero_grad()
        loss.backward()
        norm = nn.utils.clip_grad_norm_(parameters, o.get("clip", float("inf")), error_if_nonfinite=False)
        if step == o.get("spike_at"):
            for group in adam.param_groups:
                group["lr"] = lr * 30
        adam.step()
        if step == o.get("spike_at"):
            for group in adam.param_groups:
                group["lr"] = lr
        more: dict[str, Any] = {
            "weight/vae/kl": now,
            "vae/loss": loss,
            "reconstruction/weighted": error,
            "kl/nats": kl,
            "grad_norm/vae": norm,
            "data/std": x.std(),
        }
        if "clip" in o:
            more["clipped/vae"] = float(norm > o["clip"])
        if (step + 1) % max(1, steps // 40) == 0:
            more |= held_out(encoder, decoder, held, real, share, beta)
        watch(step + 1, more)
    watch.diagnose()
    with torch.no_grad():
        return watch, decoder(torch.randn(512, z)).view(-1, 3, SIDE, SIDE).clamp(-1, 1)


@torch.no_grad()
def held_out(
    encoder: nn.Module, decoder: nn.Module, held: Tensor, real: Tensor, share: float, beta: float
) -> dict[str, float]:
    """Return the signals of held-out images that a careful user logs, under Trainwright's names."""
    from trainwright.metrics.latent import latent_signals, prior_gap

    x = held[:128]
    mean, log_variance = encoder(x).chunk(2, 1)
    out, other = decoder(mean), decoder(mean.roll(1, 0))
    z = mean + torch.randn_like(mean) * (0.5 * log_variance).exp()
    if not torch.isfinite(mean).all() or not torch.isfinite(out).all():
        return {}
    base = (x - real.mean(0)).square().mean()
    error = (decoder(z) - x).square().sum(1).mean() * share
    nats = (0.5 * (mean.square() + log_variance.exp() - 1 - log_variance)).sum(1).mean()
    ones, zeros = torch.ones(mean.shape[1]), torch.zeros(mean.shape[1])
    return {
        **latent_signals(mean, log_variance, z),
        "latent/shuffled_error_ratio": float((other - x).square().mean() / (out - x).square().mean().clamp_min(1e-12)),
        "latent/prior_gap": prior_gap(mean, log_variance, zeros, ones),
        "r2_beyond_mean/pixels": float(1 - (out - x).square().mean() / base),
        "std_ratio/pixels": float((out - out.mean(0)).square().mean().sqrt() / base.sqrt()),
        "validation/reconstruction": float(error),
        "validation/loss": float(error + beta * nats),
    }


LOOPS = {"gan": gan, "vae": vae}
