"""Printing of a diagnosis, without the parser of options that :mod:`trainwright.cli.doctor` needs."""

import json
from pathlib import Path
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from trainwright.results import Diagnosis


def show(target: str, as_json: bool = False) -> int:
    """Diagnose a run or log, print what was found, and return the exit code.

    Raises:
        UserError: the target cannot be read.
    """
    from trainwright.results import diagnose

    return print_diagnosis(diagnose(Path(target)), as_json)


def print_diagnosis(found: "Diagnosis", as_json: bool, every: bool = False) -> int:
    """Print a diagnosis in words or as JSON, and return its exit code; ``every`` lists what could not be judged."""
    from trainwright.diagnosis.doctor import EXIT

    print(json.dumps(found.as_dict(), indent=2) if as_json else found.text(every))
    return EXIT[found.verdict]
