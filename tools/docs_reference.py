"""Generate the pages of ``docs/reference`` that the code determines, and the advice in words that the playbooks hold.

``python -m tools.docs_reference`` writes them, ``--check`` fails if a page on disk differs. ``make docs-reference`` calls it.
Only what comes with the package is listed: a family of a third party has documentation of its own.
"""

import argparse
import sys
from collections.abc import Callable
from pathlib import Path

from tools import reference_api, reference_cli, reference_diagnosis, reference_files, reference_settings
from tools.markdown import GENERATED
from trainwright.playbooks import advice

ROOT = Path(__file__).parent.parent
FOLDER = ROOT / "docs" / "reference"
Pages = dict[str, str]

PARTS: tuple[Callable[[], Pages], ...] = (
    reference_settings.pages,
    reference_files.pages,
    reference_diagnosis.pages,
    reference_cli.pages,
    reference_api.pages,
)


def pages() -> Pages:
    """Return every generated page: path below ``docs/reference`` to text."""
    return {path: text for part in PARTS for path, text in part().items()}


def stale(folder: Path = FOLDER) -> list[str]:
    """Return what differs between a folder and the code: pages to write, and generated ones that no longer exist."""
    wanted = pages()
    differing = [p for p, text in wanted.items() if not (folder / p).exists() or (folder / p).read_text() != text]
    return sorted({*differing, *_left_over(folder, wanted)})


def _left_over(folder: Path, wanted: Pages) -> set[str]:
    files = [f for kind in ("*.md", "*.json") for f in folder.rglob(kind)]
    generated = {
        str(f.relative_to(folder)) for f in files if f.suffix == ".json" or f.read_text().startswith(GENERATED)
    }
    return generated - set(wanted)


def main() -> int:
    """Write the pages, or compare them."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0] if __doc__ else None)
    parser.add_argument("--check", action="store_true", help="write nothing; exit with 1 if a page differs")
    if parser.parse_args().check:
        found = [f"docs/reference/{name}" for name in stale()]
        found += [str(advice.FILE.relative_to(ROOT))] if advice.FILE.read_text() != advice.text() else []
        print("\n".join(f"differs from the code: {name}" for name in found))
        return 1 if found else 0
    advice.FILE.write_text(advice.text())
    wanted = pages()
    for name in _left_over(FOLDER, wanted):
        (FOLDER / name).unlink()
    for name, text in wanted.items():
        (FOLDER / name).parent.mkdir(parents=True, exist_ok=True)
        (FOLDER / name).write_text(text)
    return 0


if __name__ == "__main__":
    sys.exit(main())
