"""The folder that a command means: the same command always means the same one, so running it again resumes."""

import hashlib
import re
from collections.abc import Sequence
from pathlib import Path

LONGEST = 60


def run_folder(root: Path, title: str, overrides: Sequence[str], new: bool) -> Path:
    """``root/family-recipe[-overrides]``; with ``new``, the first such name with a number that is free."""
    base = re.sub(r"[^\w.=+-]+", "-", title.removesuffix(".yaml")).strip("-.")
    words = re.sub(r"[^\w.=+-]+", "-", "-".join(sorted(overrides))).strip("-.")
    if len(words) > LONGEST:
        words = f"{words[: LONGEST - 9]}-{hashlib.sha256(words.encode()).hexdigest()[:8]}"
    folder = root / (f"{base}-{words}" if words else base)
    number = 2
    candidate = folder
    while new and candidate.exists():
        candidate = folder.with_name(f"{folder.name}-{number}")
        number += 1
    return candidate
