"""Printing of a diagnosis, without the parser of options that :mod:`trainwright.cli.doctor` needs."""

import json
import signal
import time
from collections.abc import Callable
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


def follow(read: "Callable[[], Diagnosis]", target: Path, seconds: float) -> int:
    """Diagnose a log again whenever it has grown, print what changed, and return the exit code of the last look at Ctrl-C.

    SIGTERM ends it too, and so does SIGINT where a shell has set it to be ignored, as for a command in the background.
    """
    from trainwright.diagnosis.doctor import EXIT
    from trainwright.errors import UserError

    for number in (signal.SIGINT, signal.SIGTERM):
        signal.signal(number, signal.default_int_handler)
    said: tuple[str, ...] | None = None
    seen, code = -1.0, EXIT["unknown"]
    try:
        while True:
            newest = max((f.stat().st_mtime for f in _files(target)), default=0.0)
            if newest != seen:
                seen = newest
                try:
                    found = read()
                    text, code = str(found), EXIT[found.verdict]
                    state: tuple[str, ...] = (found.verdict, *sorted(f.symptom for f in found.alarms))
                except UserError as error:  # a log that has just begun
                    text, state = str(error), (str(error),)
                if state != said:
                    said = state
                    print(f"{time.strftime('%H:%M:%S')} {text}", flush=True)
            time.sleep(seconds)
    except KeyboardInterrupt:
        return code


def _files(target: Path) -> list[Path]:
    return [f for f in target.rglob("*") if f.is_file()] if target.is_dir() else [target]
