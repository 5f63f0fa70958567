"""A folder in which the code of a page can run, with every training shrunk to seconds."""

import shutil
import sys
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest

from tests.conftest import SMOKE
from tests.docs.command_lines import with_settings
from tools import catalog

IMAGES = "my_images"  # the folder that pages take for the reader's own


@pytest.fixture
def reader(tmp_path: Path, sprites: Path, monkeypatch: pytest.MonkeyPatch) -> Iterator[Path]:
    """The folder of a reader who has images, and for whom every recipe is small.

    The settings of the family's smoke test come after those that a snippet asks for. They reach every function of the package, because
    each of them gets its config from ``load``.
    """
    shutil.copytree(sprites, tmp_path / IMAGES)
    monkeypatch.chdir(tmp_path)
    real = catalog.load

    def small(*args: Any, **kwargs: Any) -> Any:
        family, config = real(*args, **kwargs)
        return with_settings(family, config, [*family.smoke, *SMOKE, "tracker=none"])

    for module in [m for name, m in sys.modules.items() if name.startswith(("trainwright", "tools.catalog"))]:
        for name, value in list(vars(module).items()):
            if value is real:
                monkeypatch.setattr(module, name, small)
    yield tmp_path
