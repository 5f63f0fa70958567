"""Images per second of latent diffusion's samplers, including decoding.

Speed does not depend on the weights, so only the autoencoder is trained, if it is not in the cache yet.

``python -m benchmarks.sampling``
"""

import statistics
import time

import torch

from benchmarks.results_io import row, write
from trainwright import catalog as registry
from trainwright.engine.model import build

COMMAND = "python -m benchmarks.sampling"
COUNT, ROUNDS = 64, 7
SAMPLERS = {
    "DPM-Solver++, 20 steps": ("sampling.sampler=dpm_solver", "sampling.sampler_steps=20"),
    "DDIM, 50 steps": ("sampling.sampler=ddim", "sampling.sampler_steps=50"),
}


def main() -> None:
    """Measure each sampler and write ``results/sampling.json``."""
    torch.set_num_threads(2)
    rows = []
    for label, words in SAMPLERS.items():
        family, config = registry.load("latent_diffusion/small", words)
        data = family.load(config).open_data(config)
        model = build(family, config)
        model.adapt_to_data(data)
        model.sample(COUNT, 0)
        speeds = []
        for seed in range(ROUNDS):
            begin = time.perf_counter()
            model.sample(COUNT, seed)
            speeds.append(COUNT / (time.perf_counter() - begin))
        median, spread = statistics.median(speeds), max(speeds) - min(speeds)
        rows.append(row(f"{label}, base 32", median, "images/s", None, "higher", ROUNDS, spread))
    print(write("sampling", COMMAND, rows))


if __name__ == "__main__":
    main()
