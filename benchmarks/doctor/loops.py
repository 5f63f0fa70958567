"""Two training loops as people write them, with the doctor in two lines: a GAN and a VAE of dense layers on small real pictures."""

from collections.abc import Callable, Mapping
from typing import Any

import torch
import torch.nn.functional as F
from torch import Tensor, nn

from trainwright.health.watch import Watch

SIDE = 16


def pictures(data: str) -> tuple[Tensor, Tensor]:
    """(training, held out), (n, 3, 16, 16) in [-1, 1]."""
    from trainwright.data.images import Images
    from trainwright.registry import load

    _, config = load("wgan_gp/tiny", (f"data={data}", f"size={SIDE}"))
    found = Images.open(config.data)
    return found.pictures("train", 10_000), found.pictures("held_out", 512)


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
    """A non-saturating GAN (Goodfellow et al. 2014). Returns the watch and 512 samples at the end."""
    torch.manual_seed(o["seed"])
    real, held = pictures(o["data"])
    real = real[: o.get("pictures", len(real))]
    shown = o.get("distort", lambda x: x)
    z, width, size = o.get("latent_dim", 32), o.get("width", 128), 3 * SIDE * SIDE
    if "kernel" in o:
        g: nn.Module = conv_generator(z, width // 4, o["kernel"])
    else:
        g = dense(z, width, 2 * width, size, last=nn.Tanh())
    if o.get("blurred"):
        factor = o["blurred"]
        g = nn.Sequential(
            dense(z, width, 2 * width, 3 * (SIDE // factor) ** 2, last=nn.Tanh()),
            nn.Unflatten(1, (3, SIDE // factor, SIDE // factor)),
            nn.Upsample(scale_factor=factor, mode="bilinear"),
            nn.Flatten(),
        )
    d = dense(size, 2 * width, width, 1)
    lr_g, lr_d = o.get("lr_g", 2e-4), o.get("lr_d", 2e-4)
    best = (
        torch.optim.Adam(g.parameters(), lr_g, betas=(o.get("beta1", 0.5), 0.999)),
        torch.optim.Adam(d.parameters(), lr_d, betas=(o.get("beta1", 0.5), 0.999)),
    )
    for network, name in ((g, "generator"), (d, "discriminator")):
        if name in o.get("frozen", ()):
            network.requires_grad_(False)
    steps, batch = o["steps"], o.get("batch_size", 64)
    settings = {k: o[k] for k in ("latent_dim", "batch_size", "n_critic") if k in o} | {
        "lr_g": lr_g,
        "lr_d": lr_d,
        "latent_dim": z,
        "batch_size": batch,
        "instance_noise": o.get("instance_noise", 0.0),
        "beta1": o.get("beta1", 0.5),
    }
    noise = torch.Generator().manual_seed(7)
    fixed = torch.randn(128, z, generator=noise)

    def sample(n: int) -> Tensor:
        with torch.no_grad():
            return g(fixed[:n]).view(n, 3, SIDE, SIDE)

    watch = watched(
        total=steps,
        sample=sample,
        real=real,
        held_out=held,
        networks={"generator": g, "discriminator": d},
        settings=settings,
        facts={
            "transposed": f"{o['kernel']}/2" if "kernel" in o else "",
            "data_range": (float(shown(real).min()), float(shown(real).max())),
        },
    )
    block, blind = o.get("block"), o.get("instance_noise", 0.0)

    def hide(p: Tensor) -> Tensor:
        return p + blind * torch.randn_like(p) if blind else p

    every, wins = o.get("n_critic", 1), o.get("d_every", 1)
    g_updates = d_updates = 0
    for step in range(steps):
        x = shown(real[torch.randint(len(real), (batch,))]).flatten(1)
        if step == o.get("dies_at"):
            with torch.no_grad():
                for layer in d:
                    if isinstance(layer, nn.Linear):
                        layer.weight.mul_(0.0)
        if step == o.get("spike_at"):
            x = x * 8
        fake = g(torch.randn(batch, z))
        on_real, on_fake = d(hide(x)), d(hide(fake.detach()))
        loss_real = F.binary_cross_entropy_with_logits(on_real, torch.full_like(on_real, o.get("smooth", 1.0)))
        loss_fake = F.binary_cross_entropy_with_logits(on_fake, torch.zeros_like(on_fake))
        if loss_real.requires_grad and step % wins == 0 and (block is None or step // block % 2 == 0):
            best[1].zero_grad()
            (loss_real + loss_fake).backward()
            best[1].step()
            d_updates += 1
        score = d(hide(fake))
        loss_g = F.binary_cross_entropy_with_logits(score, torch.ones_like(score))
        if (
            step % every == every - 1
            and (block is None or step // block % 2 == 1)
            and loss_g.requires_grad
            and any(p.requires_grad for p in g.parameters())
        ):
            best[0].zero_grad()
            loss_g.backward()
            best[0].step()
            g_updates += 1
        more = {}
        if step % 50 == 49:
            more = {
                "updates_per_epoch/generator": float(g_updates),
                "updates_per_epoch/discriminator": float(d_updates),
            }
            g_updates = d_updates = 0
        spread = torch.cat([on_real, on_fake]).detach().std()
        watch(
            step + 1, {"discriminator/score_spread": spread, **more}, D_real=loss_real, D_fake=loss_fake, loss_G=loss_g
        )
    watch.look()
    with torch.no_grad():
        return watch, g(torch.randn(512, z)).view(-1, 3, SIDE, SIDE)


def vae(o: Mapping[str, Any], watched: Callable[..., Watch]) -> tuple[Watch, Tensor]:
    """A VAE with a Gaussian decoder of unit variance (Kingma & Welling 2014), or with averaged errors. Returns watch and samples."""
    torch.manual_seed(o["seed"])
    real, held = pictures(o["data"])
    real = real[: o.get("pictures", len(real))].flatten(1)
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
    from trainwright.health.posterior_threshold import predict

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
    fixed = torch.randn(128, z, generator=torch.Generator().manual_seed(7))

    def sample(n: int) -> Tensor:
        with torch.no_grad():
            return decoder(fixed[:n]).view(n, 3, SIDE, SIDE).clamp(-1, 1)

    watch = watched(
        total=steps,
        sample=sample,
        real=real.view(-1, 3, SIDE, SIDE),
        held_out=held.view(-1, 3, SIDE, SIDE),
        networks={"encoder": encoder, "decoder": decoder},
        settings=settings,
        facts={"beta_threshold": limit, "effective_beta": beta / (2 * share)},
    )
    for step in range(steps):
        x = real[torch.randint(len(real), (settings["batch_size"],))]
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
        }
        if "clip" in o:
            more["clipped/vae"] = float(norm > o["clip"])
        if (step + 1) % max(1, steps // 40) == 0:
            more |= held_out(encoder, decoder, held, real, share, beta)
        watch(step + 1, more)
    watch.look()
    with torch.no_grad():
        return watch, decoder(torch.randn(512, z)).view(-1, 3, SIDE, SIDE).clamp(-1, 1)


@torch.no_grad()
def held_out(
    encoder: nn.Module, decoder: nn.Module, held: Tensor, real: Tensor, share: float, beta: float
) -> dict[str, float]:
    """What a careful person logs of held-out pictures, under Trainwright's names."""
    from trainwright.measure.latent import latent_signals, prior_gap

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
        "explained_beyond_mean/pixels": float(1 - (out - x).square().mean() / base),
        "std_ratio/pixels": float((out - out.mean(0)).square().mean().sqrt() / base.sqrt()),
        "validation/reconstruction": float(error),
        "validation/loss": float(error + beta * nats),
    }


LOOPS = {"gan": gan, "vae": vae}
