"""Latent diffusion on sprites and emoji at 32 px compared with a WGAN-GP of equal training time.

It also measures the reconstructions of overfitting runs, and the latent diffusion guide's distance for samplers that are wrong.

``python -m benchmarks.diffusion`` trains missing runs in ``runs/diffusion``, one thread each (a second call resumes them), and writes
``results/diffusion.json`` and ``diffusion_emoji.json``. 512 samples of each, three times with other noise.
"""

import argparse
import json
import statistics
import time
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import torch
from torch import Tensor

from benchmarks.results_io import RESULTS, kept, row, write
from benchmarks.study import opened
from trainwright import catalog as registry
from trainwright.config.base import flatten
from trainwright.data.images import to_byte_tensor
from trainwright.diagnosis.doctor import examine
from trainwright.diagnosis.history import History
from trainwright.diagnosis.probes.samples import SampleProbe
from trainwright.engine.display import Silent
from trainwright.engine.grids import save_grid
from trainwright.engine.session import train
from trainwright.families.latent_diffusion.diffusion_stage import SEED
from trainwright.families.latent_diffusion.diversity import diversity_signals
from trainwright.families.latent_diffusion.trained_autoencoder import trained as first_stage
from trainwright.metrics.evaluate import evaluate_images
from trainwright.runs.folder import Run, read_lines

HOME = Path("runs/diffusion")
COMMAND = "python -m benchmarks.diffusion"
SAMPLES, DRAWS = 512, 3
OVERFIT = ("overfit_one", "overfit_16")
HEALTHY = 0.1  # of the latent diffusion guide's companion text: a mean distance above it is good
FAIR = (
    "size=32",
    "rotation=0.0",
    "color_jitter=[0.0, 0.0, 0.0, 0.0]",
    "steps=1000000",
)  # mirror images alone, as latents have
METRICS = {"KID x1000": "lower", "coverage": "higher", "precision": "higher", "recall": "higher", "density": "higher"}


def seconds(run: Run) -> float:
    """Return the training time of a run, from the speed in its rows."""
    rows = [r for r in read_lines(run.metrics) if "speed/samples_per_second" in r]
    batch = _batch(run)
    steps = [b["step"] - a["step"] for a, b in zip([{"step": 0}, *rows], rows, strict=False)]
    return sum(n * batch / r["speed/samples_per_second"] for n, r in zip(steps, rows, strict=True))


def _batch(run: Run) -> int:
    from trainwright.engine.session import read_config

    return read_config(registry.family(run.read()["family"]), run).train.batch_size


def trained(title: str, name: str, *words: str, stop: Callable[[], bool] = lambda: False) -> Run:
    """Return the run of a recipe, trained now unless it exists."""
    family, config = registry.load(title, ("threads=1", "tracker=none", *words))
    run = Run(HOME / name)
    if not run.exists or run.read()["status"] != "finished":
        train(family, config, run, Silent(), stop)
    print(name, run.read()["verdict"], flush=True)
    return run


def fidelity(label: str, run: Run, train_set: Tensor, held: Tensor) -> Iterator[dict[str, Any]]:
    """Yield sample metrics of a run, medians and ranges over draws; for the diffusion also the scores of real images."""
    model = opened(run)[0]
    found: dict[str, list[float]] = {}
    for seed in range(1, DRAWS + 1):
        made = torch.cat(list(model.samples(SAMPLES, seed)))
        if seed == 1:
            save_grid(made[:64], HOME / f"{run.folder.name}.png")
        for line in evaluate_images(to_byte_tensor(made), train_set, held, seed):
            found.setdefault(str(line["metric"]), []).append(float(line["value"] or 0.0))
            if seed == 1 and line["floor"] is not None and label == "latent diffusion":
                name = f"two halves of the real images: {line['metric']}"
                yield row(name, float(line["floor"]), "", None, "", len(train_set), None)
    for metric, better in {**METRICS, "nearest_training_ratio": ""}.items():
        values = found[metric]
        name = f"{label}: {metric.replace('_', ' ')}"
        yield row(name, statistics.median(values), "", None, better, SAMPLES * DRAWS, max(values) - min(values))


def both_stages(recipe: str) -> tuple[Run, float, tuple[Tensor, Tensor], list[dict[str, Any]]]:
    """Return a recipe trained in both stages: (run, seconds, training and held-out images, rows)."""
    run = trained(f"latent_diffusion/{recipe}", recipe)
    model, data = opened(run)
    first = Run(first_stage(model.model.config, data.source, None))
    took = seconds(run) + seconds(first)
    sets = to_byte_tensor(data.source.some("train", 10_000)), to_byte_tensor(data.source.some("held_out", 10_000))
    psnr = [r["reconstructions/psnr"] for r in read_lines(first.metrics) if "reconstructions/psnr" in r][-1]
    rows = [
        row("autoencoder: PSNR of held-out images", psnr, "dB", None, "higher", 64, None),
        row("both stages, one thread", took / 60, "minutes", None, "", 1, None),
        *fidelity("latent diffusion", run, *sets),
    ]
    return run, took, sets, rows


def rival(recipe: str, took: float, train_set: Tensor, held: Tensor) -> Iterator[dict[str, Any]]:
    """Yield rows of the WGAN-GP, trained for the same time on the same images."""
    gan = Run(HOME / f"wgan_{recipe}")
    ends = time.monotonic() + took - (seconds(gan) if gan.exists else 0.0)
    if ends > time.monotonic() + 0.02 * took:
        data = registry.load(f"latent_diffusion/{recipe}")[1].data
        same = (f"data.source={data.source}", f"flip={data.augment.flip}")
        trained("wgan_gp/small", gan.folder.name, *FAIR, *same, stop=lambda: time.monotonic() > ends)
    yield row("WGAN-GP small, one thread", seconds(gan) / 60, "minutes", None, "", 1, None)
    yield from fidelity("WGAN-GP", gan, train_set, held)


def given_back(name: str, run: Run) -> Iterator[dict[str, Any]]:
    """Yield rows on the images of an overfitting run, with sixteen samples for each."""
    made, data = opened(run)
    images, count = data.images("train", len(data)), 16 * len(data)
    decoded = made.model.codec.decode(data.some("train", len(data)))
    samples = made.model.sample(count, SEED)
    found = made.model.reproduction(data, count)
    nearest = torch.cdist(images.flatten(1), samples.flatten(1)).argmin(1)
    save_grid(torch.cat([images, decoded, samples[nearest]]), HOME / f"{name}.png", len(images))
    target = 30.0 if name == "overfit_one" else None
    yield row(f"{name}: samples to the nearest image", found["overfit/psnr"], "dB", target, "higher", count, None)
    yield row(f"{name}: samples to it as decoded", found["overfit/decoded_psnr"], "dB", None, "higher", count, None)
    yield row(f"{name}: the image that comes out worst", found["overfit/least_psnr"], "dB", None, "higher", count, None)
    share = found["overfit/found_share"]
    yield row(f"{name}: images that come out", share, "", 1.0, "higher", len(data), None)


def blind_spots(sound: Run, few: Run) -> list[dict[str, str]]:
    """Yield distances of samplers that are right or wrong in known ways.

    The latent diffusion guide's distance is compared with that of real latents and with other measures. The doctor's answer is for a
    run whose probes show the same four times in a row.
    """
    made, data = opened(sound)
    own, narrow = made.model, opened(few)[0].model
    real, images = data.some("train", 256), data.images("train", 10_000)
    probe = SampleProbe(data.images("train", 256), data.images("held_out", 256), images)
    temperature = own.config.sampling.model_copy(update={"temperature": 1.6})
    hot = own.config.model_copy(update={"sampling": temperature})
    noise = torch.randn(128, *own.codec.shape, generator=torch.Generator().manual_seed(1))
    cases = {
        "as trained": (own.latents(128, 1), own.config),
        "one that knows 16 images": (
            narrow.latents(128, 1) * own.codec.scale / narrow.codec.scale,
            own.config,
        ),
        "one that begins with noise of 1.6": (_with(own, hot).latents(128, 1), hot),
        "noise in place of latents": (noise, own.config),
    }
    own.config = cases["as trained"][1]
    lines = []
    for label, (latents, config) in cases.items():
        pixels = torch.cat([own.codec.decode(part) for part in latents.split(64)]).cpu()
        save_grid(pixels[:32], HOME / f"blind_{label.replace(' ', '_')}.png")
        found = {**probe.ceiling(128), **diversity_signals(latents, real), **probe.measure(pixels)}
        found["schedule/train_sample_distance"] = own.noise.distance(config.sampling)
        looks = [{"step": step, **found} for step in (700, 800, 900, 1000)]
        said = examine(History.of(looks, flatten(config), {"training": len(data)}, 1000))
        guide = found["sample_diversity/pairwise_mse_mean"]
        lines.append(
            {
                "sampler": label, "pairwise MSE": f"{guide:.2f}",
                "verdict by the LDM guide's threshold": "healthy" if guide > HEALTHY else "collapse",
                "over that of real latents": f"{found['sample_diversity/ratio']:.2f}",
                "coverage": f"{found['samples/coverage']:.2f}", "precision": f"{found['samples/precision']:.2f}",
                "with a near copy": f"{found['samples/duplicate_share']:.2f}",
                "the doctor says": ", ".join(d.symptom.name for d in said.alarms) or "nothing",
            }
        )  # fmt: skip
    return lines


def _with(model: Any, config: Any) -> Any:
    model.config = config
    return model


def sprites(with_rival: bool, before: dict[str, Any]) -> None:
    """Yield rows of ``results/diffusion.json``; those that are not measured now are taken from ``before``."""
    run, took, sets, rows = both_stages("small")
    if with_rival:
        rows += rival("small", took, *sets)
        for name in OVERFIT:
            rows += given_back(name, trained(f"latent_diffusion/{name}", name))
    rows += [r for r in before["rows"] if r["metric"].startswith(("WGAN-GP", "overfit"))]
    sixteen = trained("latent_diffusion/overfit_16", "overfit_16")
    print(write("diffusion", COMMAND, rows, table=blind_spots(run, sixteen)))


def emoji() -> None:
    """Yield rows of ``results/diffusion_emoji.json``, first without the WGAN-GP."""
    _, took, sets, rows = both_stages("emoji")
    for more in ([], rival("emoji", took, *sets)):
        rows += more
        print(write("diffusion_emoji", f"{COMMAND} --only emoji", rows), flush=True)


def main() -> None:
    """Train missing runs and write the results."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--only", choices=[*OVERFIT, "small", "emoji"], help="measure that alone, keep the other rows")
    only = parser.parse_args().only
    torch.set_num_threads(1)
    before = json.loads((RESULTS / "diffusion.json").read_text()) if only else {"rows": []}
    if only in OVERFIT:
        rows = [*kept("diffusion", f"{only}:"), *given_back(only, trained(f"latent_diffusion/{only}", only))]
        print(write("diffusion", COMMAND, rows, table=before["table"]))
    if only in (None, "small"):
        sprites(only is None, before)
    if only in (None, "emoji"):
        emoji()


if __name__ == "__main__":
    main()
