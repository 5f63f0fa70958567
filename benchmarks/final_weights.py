"""Hashes of the final weights of one recipe of each family, to check code changes that must not change numbers.

    python -m benchmarks.final_weights            # train (4 minutes), compare with the committed hashes; exit code 1 if one differs
    python -m benchmarks.final_weights --write    # replace the committed hashes

Each recipe trains 50 steps in one thread and is interrupted and resumed at step 25. A hash covers every network tensor and average of
the last checkpoint. It holds for one version of PyTorch on one kind of CPU; another machine compares two commits of its own.
"""

import argparse
import hashlib
import json
import os
import platform
import shutil
import subprocess
import sys
import tempfile
from pathlib import Path

RESULTS = Path(__file__).parent / "results" / "final_weights.json"
COMMON = (
    "steps=50",
    "tracker=none",
    "validate_every=20",
    "checkpoint_every=50",
    "threads=1",
    "probe_stride=1",
    "sample_every=50",
)
CASES = {
    "wgan_gp/small": ("batch_size=16", "probe_count=16"),
    "gaussian_vae/small": (),
    "sequence_vae/sokoban": ("batch_size=16",),
    "latent_diffusion/small": ("autoencoder_steps=5", "probe_count=16", "sampler_steps=4"),
    "video_vaegan/guide": ("phases=PHASES", "probe_count=16"),
}
PHASES = json.dumps(
    [
        {"name": "one", "steps": 20, "settings": {"optim.lambda_kl": 1e-4}, "metric": "prediction/psnr"},
        {"name": "two", "steps": 30, "settings": {"optim.lambda_kl": 1e-3, "model.disc_film": True}},
    ]
)


def train(recipe: str, words: tuple[str, ...], folder: Path, until: int | None) -> None:
    """Train in a process of its own up to ``until``."""
    code = (
        "import sys\n"
        "from trainwright.catalog import load\n"
        "from trainwright.runs.folder import Run\n"
        "from trainwright.engine.session import train\n"
        "from trainwright.engine.display import Silent\n"
        "from pathlib import Path\n"
        "title, folder, until, *words = sys.argv[1:]\n"
        "family, config = load(title, words)\n"
        "train(family, config, Run(Path(folder)), Silent(), until=int(until) or None)\n"
    )
    filled = [*COMMON, *(w.replace("PHASES", PHASES) for w in words)]
    command = [sys.executable, "-c", code, recipe, str(folder), str(until or 0), *filled]
    subprocess.run(command, check=True, env={**os.environ, "OMP_NUM_THREADS": "1"})


def digest(folder: Path) -> str:
    """SHA-256 over names and bytes of the networks and averages in the newest checkpoint."""
    from safetensors import safe_open

    newest = max((folder / "checkpoints").glob("step_*"))
    found = hashlib.sha256()
    with safe_open(newest / "tensors.safetensors", framework="np") as handle:
        for key in sorted(handle.keys()):
            if key.startswith(("network.", "average.")):
                found.update(key.encode() + handle.get_tensor(key).tobytes())
    return found.hexdigest()


def main() -> int:
    """Train every case, compare or write."""
    ask = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    ask.add_argument("--write", action="store_true")
    ask.add_argument("--keep", type=Path, help="keep the run folders here")
    given = ask.parse_args()
    import torch

    base = given.keep or Path(tempfile.mkdtemp())
    found = {}
    for recipe, words in CASES.items():
        folder = base / recipe.replace("/", "-")
        shutil.rmtree(folder, ignore_errors=True)
        train(recipe, words, folder, 25)
        train(recipe, words, folder, None)
        found[recipe] = digest(folder)
        print(f"{recipe:24} {found[recipe]}", flush=True)
    facts = {"torch": torch.__version__, "machine": platform.machine(), "steps": 50, "resumed_at": 25, "sha256": found}
    if given.write:
        RESULTS.write_text(json.dumps(facts, indent=2) + "\n")
        return 0
    before = json.loads(RESULTS.read_text())
    different = [recipe for recipe, value in found.items() if before["sha256"].get(recipe) != value]
    print(f"different: {', '.join(different)}" if different else "all equal")
    return 1 if different else 0


if __name__ == "__main__":
    sys.exit(main())
