"""Evaluating a run: samples from its newest checkpoint, its own data, metrics, and ``evaluation.json``."""

from typing import Any

import torch

from trainwright.data.images import to_byte_tensor
from trainwright.engine.family import Family
from trainwright.engine.inference import load
from trainwright.engine.session import read_config
from trainwright.errors import UserError
from trainwright.files import write_json
from trainwright.metrics.evaluate import backend, evaluate_images
from trainwright.runs.folder import Run, now

MOST_REAL = 10_000  # images; more cost much and hardly change the metrics


def evaluate_run(family: Family, run: Run, count: int, seed: int, averaged: bool, best: bool = False) -> dict[str, Any]:
    """Measure ``count`` samples of a run's newest checkpoint and write ``evaluation.json``.

    Raises:
        UserError: no checkpoint, no data, no feature network, or too few images.
    """
    trained = load(family, run, best)
    if not averaged:
        trained.model.averaged.clear()  # a request for averaged weights then gets the last ones
    config = read_config(family, run)
    data = family.load(config).open_data(config)
    if data.identity != run.read()["data"]["identity"]:
        raise UserError(
            f"the data of {run.folder} is not what it was trained on, so samples cannot be compared with it."
        )
    train, held_out = (to_byte_tensor(data.images(part, MOST_REAL)) for part in ("train", "held_out"))
    if len(train) < 16:
        raise UserError(f"evaluation needs at least 16 training images; {run.folder} has {len(train)}.")
    fake = torch.cat([to_byte_tensor(part) for part in trained.samples(count, seed, averaged)])
    flags = ("" if averaged else " --raw") + (" --best" if best else "")
    result = {
        "step": trained.step,
        "samples": len(fake),
        "real": len(train),
        "held_out": len(held_out),
        "seed": seed,
        "weights": "averaged" if averaged and trained.has_average else "raw",
        "backend": backend(),
        "command": f"trainwright evaluate {run.folder} -n {count} --seed {seed}{flags}",
        "time": now(),
        "rows": [*evaluate_images(fake, train, held_out, seed), *trained.model.evaluate(data)],
    }
    write_json(run.folder / "evaluation.json", result)
    return result
