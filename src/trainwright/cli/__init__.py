"""The ``trainwright`` command. Nothing heavy is imported early: a diagnosis of a log takes a fifth of a second."""

import os
import sys
from collections.abc import Sequence
from typing import Any

from trainwright.errors import UserError, missing_package
from trainwright.shims import leave_the_compiler_out

GROUPS: dict[str, tuple[str, ...]] = {
    "Train": ("demo", "train", "resume", "treat", "check"),
    "Understand": ("doctor", "explain", "evaluate", "report", "compare"),
    "Experiment": ("plan", "search", "recipes", "runs"),
    "Share": ("sample", "export", "data"),
}


def verb_of(words: Sequence[str]) -> str | None:
    """Return the verb of a command line, if it names one before any option and the shell does not ask for completions."""
    known = {verb for verbs in GROUPS.values() for verb in verbs}
    asked = any(name.endswith("TRAINWRIGHT_COMPLETE") for name in os.environ)
    return words[0] if words and words[0] in known and not asked else None


def __getattr__(name: str) -> Any:
    """Build the whole application when it is first asked for."""
    if name != "app":
        raise AttributeError(f"module {__name__!r} has no attribute {name!r}")
    from trainwright.cli.verbs import build

    globals()["app"] = build()
    return globals()["app"]


def main() -> None:
    """Run a command line. Exit codes: 0 done, 2 an error that the user can fix, 3 training crashed, 130 interrupted."""
    leave_the_compiler_out()
    words = sys.argv[1:]
    try:
        if words[:1] == ["doctor"] and not any(w.startswith("-") and w != "--json" for w in words):
            paths = [w for w in words[1:] if w != "--json"]
            if len(paths) == 1:
                from trainwright.cli.diagnosis import show  # the parser of options would take half of the time

                sys.exit(show(paths[0], as_json="--json" in words))
        from trainwright.cli.verbs import build

        build(verb_of(words))()
    except UserError as error:
        print(f"trainwright: {error}", file=sys.stderr)
        sys.exit(2)
    except ModuleNotFoundError as error:
        said = missing_package(error)
        if said is None:
            raise
        print(f"trainwright: {said}", file=sys.stderr)
        sys.exit(2)
    except KeyboardInterrupt:  # before a verb starts
        sys.exit(130)
    except BrokenPipeError:
        sys.stderr.close()
        sys.exit(0)
