"""Contents of a folder that a setting names: a diffusers network or a run. Only JSON and YAML are read here."""

import json
from collections.abc import Sequence
from pathlib import Path
from typing import Any

from trainwright.config.reading import plain, read_yaml
from trainwright.errors import UserError


def diffusers_folder(place: Path, kind: str, inside: Sequence[str]) -> Path | None:
    """Find the folder of a diffusers network of this class: ``place`` itself, or a part of the pipeline there."""
    for folder in (place, *(place / name for name in inside)):
        file = folder / "config.json"
        if file.is_file() and _read(file).get("_class_name") == kind:
            return folder
    return None


def diffusers_config(place: Path, kind: str, inside: Sequence[str]) -> str | None:
    """Read the settings of that network as one line of JSON, or None if there is none."""
    folder = diffusers_folder(place, kind, inside)
    if folder is None:
        return None
    settings = {k: v for k, v in _read(folder / "config.json").items() if not k.startswith("_")}
    return json.dumps(settings, sort_keys=True)


def run_settings(place: Path) -> dict[str, Any] | None:
    """Read the ``config.yaml`` of a run folder as plain values, or None."""
    file = place / "config.yaml"
    found: dict[str, Any] = plain(read_yaml(file)) if file.is_file() else {}
    return found or None


def _read(file: Path) -> dict[str, Any]:
    try:
        found = json.loads(file.read_text(encoding="utf-8"))
    except (OSError, ValueError) as error:
        raise UserError(f"{file}: cannot be read as JSON ({error}).") from None
    return found if isinstance(found, dict) else {}
