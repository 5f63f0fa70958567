"""Items per second and peak memory of Trainwright's training compared with a bare loop of the same mathematics.

``python -m benchmarks.speed`` starts a process for each of the two and for each recipe. They take alternating blocks of steps
(A B A B ...), and one waits while the other computes. Medians of the ratio of each pair are written. Trainwright's side is the real
trainer with everything on: signals, average, checks, TensorBoard rows. Grids and held-out measurements are too rare to fall into a
block; their cost is in ``benchmarks/overhead.py``. The bare loop uses PyTorch's defaults. Losses of the first steps are compared.
"""

import argparse
import multiprocessing as mp
import resource
import statistics
import tempfile
import time
from collections.abc import Callable
from pathlib import Path
from typing import Any

from benchmarks.results_io import kept, row, write

RECIPES = {
    "small": "wgan_gp/small", "large": "wgan_gp/large", "gaussian_vae": "gaussian_vae/conv1d_512d_beta0.1",
    "sequence_vae": "sequence_vae/full_size", "unet_96": "latent_diffusion/experiment_1",
    "unet_128": "latent_diffusion/experiment_2", "video": "video_vaegan/clips",
}  # fmt: skip
LOSS = {
    "wgan_gp": "critic/loss",
    "gaussian_vae": "vae/loss",
    "sequence_vae": "vae/loss",
    "latent_diffusion": "unet/loss",
    "video_vaegan": "discriminator/loss",
}
BLOCK = {
    "wgan_gp": 5,
    "gaussian_vae": 40,
    "sequence_vae": 3,
    "latent_diffusion": 4,
    "video_vaegan": 10,
}  # steps; one whole cycle of n_critic
COMMAND = "python -m benchmarks.speed"
EQUAL_STEPS = 3
SHORT_STAGE = {
    "unet_96": ("autoencoder_steps=300",),
    "unet_128": ("autoencoder_steps=300",),
}  # latents of any quality will do


def bare(title: str, options: tuple[str, ...], pipe: Any, threads: int) -> None:
    """Serve the hand-written side: answer each number of steps with (seconds, losses)."""
    import torch

    from trainwright import catalog as registry
    from trainwright.engine.model import build
    from trainwright.randomness import seed_step

    torch.set_num_threads(threads)
    family, config = registry.load(title, options)
    model, data = build(family, config), family.load(config).open_data(config)
    model.adapt_to_data(data)
    loop = BARE[family.name](model, config)
    fetch = fetch_from(family.name, data, config.train.seed)
    step, batch = 0, config.train.batch_size
    while (count := pipe.recv()) is not None:
        losses, begin = [], time.perf_counter()
        for _ in range(count):
            seed_step(config.train.seed, step, salt=0)
            real = data.prepare(torch.from_numpy(fetch(step * batch, batch))).contiguous()
            losses.append(loop.step(step, real))
            step += 1
        seconds = time.perf_counter() - begin
        pipe.send((seconds, [float(d) for d, _ in losses], peak_memory()))


def fetch_from(family: str, data: Any, seed: int) -> Callable[[int, int], Any]:
    """Return the batch at a position from samples in memory; levels are generated on the fly, as in training."""
    from trainwright.data.stream import batch_indices

    if family == "sequence_vae":
        return lambda start, size: data.fetch(seed, start, size)
    if family == "video_vaegan":
        return lambda start, size: data.windows(data.train[batch_indices(seed, start, size, len(data))])
    samples = {"gaussian_vae": "values", "latent_diffusion": "moments"}.get(family)
    samples = (getattr(data, samples) if samples else data.stored.pixels)[:]
    return lambda start, size: samples[data.train[batch_indices(seed, start, size, len(data))]]


def bare_wgan(model: Any, config: Any) -> Any:
    """Return the hand-written WGAN-GP on the networks of a model."""
    from benchmarks.bare_loop import BareLoop

    optim, networks = config.optim, model.networks
    rates = (optim.lr_g, optim.lr_d)
    return BareLoop(
        networks["generator"], networks["critic"], config.model.latent_dim, optim.lambda_gp, optim.n_critic, rates
    )


def bare_vae(model: Any, config: Any) -> Any:
    """Return the hand-written VAE on the networks of a model, at the KL weight of the first epoch."""
    from benchmarks.bare_vae import BareVae

    beta = model.beta(0, 0.0)
    return BareVae(model.encoder, model.decoder, model.form.groups, beta, config.optim.learning_rate)


def bare_sequence(model: Any, config: Any) -> Any:
    """Return the hand-written sequence VAE on a model's first weights, at the KL weight of the first epoch."""
    from benchmarks.bare_sequence import BareSequence
    from trainwright.config.schedules import value

    return BareSequence(model, value(config.optim.beta, 0, 0.0), config.optim.learning_rate)


def bare_diffusion(model: Any, config: Any) -> Any:
    """Return the hand-written loop of the noise predictor on the UNet of a model."""
    from benchmarks.bare_diffusion import BareDiffusion

    optim, noise = config.optim, model.noise
    rates = (optim.learning_rate, optim.weight_decay, optim.ema_decay)
    return BareDiffusion(model.unet, noise.alpha, noise.sigma, *rates)


def bare_video(model: Any, config: Any) -> Any:
    """Return the hand-written VAE-GAN on the networks of a model."""
    from benchmarks.bare_video import BareVideo

    return BareVideo(model, config)


BARE = {
    "wgan_gp": bare_wgan, "gaussian_vae": bare_vae, "sequence_vae": bare_sequence, "latent_diffusion": bare_diffusion,
    "video_vaegan": bare_video,
}  # fmt: skip


def ours(title: str, options: tuple[str, ...], pipe: Any, threads: int) -> None:
    """Serve Trainwright's side: the real session, paused between blocks by its stop function."""
    import torch

    from trainwright import catalog as registry
    from trainwright.engine.display import Silent
    from trainwright.engine.session import train
    from trainwright.runs.folder import Run, read_lines

    torch.set_num_threads(threads)
    family, config = registry.load(title, (*options, f"threads={threads}"))
    state = {"left": pipe.recv(), "taken": 0, "begin": time.perf_counter()}
    with tempfile.TemporaryDirectory() as folder:
        run = Run(Path(folder) / "run")

        def stop() -> bool:
            state["taken"] += 1
            state["left"] -= 1
            if state["left"] == 0:
                pipe.send((time.perf_counter() - state["begin"], [], peak_memory()))
                state["left"] = pipe.recv()
                state["begin"] = time.perf_counter()
            return state["left"] is None

        train(family, config, run, Silent(), stop)
        first = registry.load(title, (*options, f"steps={EQUAL_STEPS}", "log_every=1", f"threads={threads}"))[1]
        train(family, first, Run(Path(folder) / "first"), Silent())
        pipe.send([row[LOSS[family.name]] for row in read_lines(Path(folder) / "first" / "metrics.jsonl")])


def peak_memory() -> float:
    """Return the peak resident memory of this process in MB."""
    return resource.getrusage(resource.RUSAGE_SELF).ru_maxrss / 1024


def measure(name: str, title: str, rounds: int, threads: int) -> list[dict[str, Any]]:
    """Run alternating blocks of both sides; the first block of each (start-up, warm-up) is not counted."""
    context = mp.get_context("spawn")
    sides = {}
    for side, target in (("bare", bare), ("ours", ours)):
        here, there = context.Pipe()
        process = context.Process(target=target, args=(title, SHORT_STAGE.get(name, ()), there, threads))
        process.start()
        sides[side] = (here, process)
    block = BLOCK[title.split("/")[0]]
    times: dict[str, list[float]] = {"bare": [], "ours": []}
    memory, losses = {}, {}
    for turn in range(rounds + 1):
        for side in ("bare", "ours"):
            here = sides[side][0]
            here.send(block)
            seconds, side_losses, memory[side] = here.recv()
            if turn == 0:
                losses[side] = side_losses[:EQUAL_STEPS]  # ours come at the end
            else:
                times[side].append(seconds)
                print(f"{name} round {turn} {side}: {seconds:.2f} s", flush=True)
    for side, (here, process) in sides.items():
        here.send(None)
        if side == "ours":
            losses[side] = here.recv()
        process.join(60)
        process.kill()
    from trainwright import catalog as registry

    items = block * registry.load(title)[1].train.batch_size
    ratios = [b / o for b, o in zip(times["bare"], times["ours"], strict=True)]
    difference = max(abs(a - b) / max(1.0, abs(a)) for a, b in zip(losses["bare"], losses["ours"], strict=True))
    return [
        row(
            f"{name}: speed ratio to the bare loop",
            statistics.median(ratios),
            "x",
            1.0,
            "higher",
            rounds,
            max(ratios) - min(ratios),
        ),
        speed_row(f"{name}: Trainwright", items, times["ours"]),
        speed_row(f"{name}: bare loop", items, times["bare"]),
        row(f"{name}: peak memory, Trainwright", memory["ours"], "MB", None, "lower", 1, None),
        row(f"{name}: peak memory, bare loop", memory["bare"], "MB", None, "lower", 1, None),
        row(
            f"{name}: largest relative difference of the first {EQUAL_STEPS} losses",
            difference,
            "",
            1e-3,
            "lower",
            EQUAL_STEPS,
            None,
        ),
    ]


def speed_row(metric: str, items: int, seconds: list[float]) -> dict[str, Any]:
    """Return items per second of the median block, with the range over the blocks."""
    speeds = [items / s for s in seconds]
    return row(metric, statistics.median(speeds), "items/s", None, "higher", len(speeds), max(speeds) - min(speeds))


def main() -> None:
    """Measure every recipe and write ``results/speed.json``."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--rounds", type=int, default=5)
    parser.add_argument("--threads", type=int, default=2)
    parser.add_argument("--only", choices=list(RECIPES))
    arguments = parser.parse_args()
    rows = kept("speed", arguments.only and f"{arguments.only}:")
    for name, title in RECIPES.items():
        if arguments.only in (None, name):
            rows += measure(name, title, arguments.rounds, arguments.threads)
    print(write("speed", COMMAND, rows, rounds=arguments.rounds, threads=arguments.threads))


if __name__ == "__main__":
    main()
