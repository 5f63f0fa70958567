"""Threshold of posterior collapse, measured and predicted from the data's covariance, for architectures and reductions.

``python -m benchmarks.threshold``: each model is trained on the sprites at β = 0.3 of the prediction. β then rises level by level to
1.15 of it, each level from the weights of the one before. KL over the training set falls linearly in ln β towards the threshold. The
measured threshold is where the line through the last two levels with more than 0.05 nats meets zero. KL may not fall linearly: the line
would meet zero beyond a level with less than 0.025 nats. Then the last level above 0.05 nats and the first below are given.

``mlp`` is two dense layers of 256 on either side. The latent of ``slots`` is local, so no direction of it can reach the whole image.
The prediction is therefore an upper limit there.
"""

import argparse
import json
import math
import time
from typing import Any

from benchmarks.results_io import RESULTS, kept, row, write

COMMAND = "python -m benchmarks.threshold"
MODELS = {"conv1d": "conv1d_512d", "mlp": "conv1d_512d", "resnet_conv1d": "resnet_conv1d_512d", "slots": "sound"}
REDUCTIONS = ("group_mean", "mean", "sum")
LEVELS = (0.3, 0.5, 0.65, 0.8, 0.9, 1.0, 1.15)
SCALE = {"slots": 0.4}  # a local latent collapses earlier, so the levels start lower
FIRST, EACH = 300, 120  # steps at the first level and at each other
SEEN = 0.05  # nats
LEVELS_KEY = "nats_at_shares_of_the_prediction"


def encoder(numbers: int) -> Any:
    """Encoder from (B, F, N) to mean and log-variance of 64 dimensions."""
    from torch import nn

    from trainwright.families.gaussian_vae.networks import Heads

    return nn.Sequential(nn.Flatten(), nn.Linear(numbers, 256), nn.ELU(), nn.Linear(256, 256), nn.ELU(), Heads(256, 64))


def decoder(numbers: int, width: int) -> Any:
    """Decoder that mirrors the encoder."""
    from torch import nn

    layers = [nn.Linear(64, 256), nn.ELU(), nn.Linear(256, 256), nn.ELU(), nn.Linear(256, numbers)]
    return nn.Sequential(*layers, nn.Unflatten(1, (width, numbers // width)))


def measure(name: str, reduction: str) -> tuple[float, list[tuple[float, float]]]:
    """Return (predicted β, [(β / predicted, nats)])."""
    import torch

    from trainwright import catalog as registry
    from trainwright.data.stream import batch_indices
    from trainwright.engine.model import build
    from trainwright.families.gaussian_vae.objective import divergence, reconstruction
    from trainwright.metrics.latent import kl_per_dimension

    torch.set_num_threads(1)
    family, config = registry.load(
        f"gaussian_vae/{MODELS[name]}", ("data=sprites", f"reduction={reduction}", "batch_size=32", "latent_dim=64")
    )
    model, data = build(family, config), family.load(config).open_data(config)
    if name == "mlp":
        numbers = model.form.width * model.count
        model.encoder, model.decoder = encoder(numbers), decoder(numbers, model.form.width)
        model.networks = {"encoder": model.encoder, "decoder": model.decoder}
    predicted = model.threshold(data).beta
    sets = data.some("train", len(data))
    adam = torch.optim.Adam([p for n in model.networks.values() for p in n.parameters()], 1e-3, fused=True)
    torch.manual_seed(0)
    step, levels = 0, []
    for share in LEVELS:
        level = share * SCALE.get(name, 1.0)
        for _ in range(FIRST if share == LEVELS[0] else EACH):
            batch = sets[batch_indices(0, step * 32, 32, len(sets))]
            mean, log_variance = model.encoder(batch)
            output = model.decoder(mean + torch.randn_like(mean) * torch.exp(0.5 * log_variance))
            terms = reconstruction(batch, output, model.form.groups, reduction)
            weighted = [getattr(config.optim.weights, g) * t for g, t in terms.items()]
            loss = sum(weighted) + level * predicted * divergence(mean, log_variance, reduction)
            adam.zero_grad()
            loss.backward()
            adam.step()
            step += 1
        with torch.no_grad():
            mean, log_variance = model._encode(sets[:512])
            levels.append((level, float(kl_per_dimension(mean, log_variance).sum(1).mean())))
    return predicted, levels


def found(levels: list[tuple[float, float]]) -> dict[str, float]:
    """Return the measured threshold over the prediction, by label: one number, or the two levels around it."""
    seen = [(math.log(share), nats) for share, nats in levels if nats > SEEN]
    gone = next((share for share, nats in levels if nats < SEEN / 2), math.inf)
    if len(seen) >= 2:
        (a, x), (b, y) = seen[-2:]
        zero = math.exp(b + y * (b - a) / (x - y)) if x > y else math.inf
        if zero < min(gone, 10.0):
            return {"measured / predicted": zero}
    above = [share for share, nats in levels if nats > SEEN]
    below = [share for share, nats in levels if nats <= SEEN and share > max(above, default=0.0)]
    ends = {
        "measured / predicted, above": max(above, default=0.0),
        "measured / predicted, below": min(below, default=math.inf),
    }
    return {label: share for label, share in ends.items() if math.isfinite(share)}


def main() -> None:
    """Measure every pair and write ``results/threshold.json``."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--only", choices=list(MODELS), help="one architecture; the others' rows stay as they were")
    only = parser.parse_args().only
    rows, file = kept("threshold", only and f"{only},"), RESULTS / "threshold.json"
    all_levels = json.loads(file.read_text()).get(LEVELS_KEY, {}) if only and file.exists() else {}
    for name in MODELS:
        for reduction in REDUCTIONS if only in (None, name) else ():
            begin = time.perf_counter()
            predicted, levels = measure(name, reduction)
            shares = found(levels)
            print(name, reduction, predicted, shares, levels, f"{time.perf_counter() - begin:.0f} s", flush=True)
            rows.append(row(f"{name}, {reduction}: predicted β", predicted, "", None, "", 1, None))
            rows += [
                row(f"{name}, {reduction}: {label}", share, "", None, "", 1, None) for label, share in shares.items()
            ]
            all_levels[f"{name}, {reduction}"] = levels
            write("threshold", COMMAND, rows, **{LEVELS_KEY: all_levels})


if __name__ == "__main__":
    main()
