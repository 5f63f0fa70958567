"""A study: one folder with a journal and the runs of a plan, a treatment or a search.

``study.json`` identity · ``events.jsonl`` the journal, an event per line · ``runs/NAME/`` run folders · ``notebook.html`` the page.
All state is in the journal: the same command replays it, takes every decision again, and trains only what is missing.
"""

import json
import os
from collections.abc import Iterator
from pathlib import Path
from typing import Any

from filelock import FileLock, Timeout

from trainwright.errors import UserError
from trainwright.files import write_json
from trainwright.runs.folder import code_identity, now, read_lines
from trainwright.studies.jobs import Job, Result

FORMAT = 1


class Study:
    """The folder of a study, in use by this process from :meth:`open` to :meth:`close`."""

    def __init__(self, folder: Path) -> None:
        self.folder = folder
        self._lock = FileLock(folder / ".lock")
        self._journal: Any = None

    @property
    def runs(self) -> Path:
        """Folder of the run folders."""
        return self.folder / "runs"

    @property
    def journal(self) -> Path:
        """Path of the journal: a JSON object per line."""
        return self.folder / "events.jsonl"

    @property
    def exists(self) -> bool:
        """True if the folder holds a study."""
        return (self.folder / "study.json").exists()

    def read(self) -> dict[str, Any]:
        """Return the contents of ``study.json``.

        Raises:
            UserError: the folder is not a study, or the file is damaged.
        """
        try:
            facts = json.loads((self.folder / "study.json").read_text(encoding="utf-8"))
        except FileNotFoundError:
            raise UserError(f"{self.folder} is not a study: it has no study.json.") from None
        except (OSError, ValueError) as error:
            raise UserError(f"{self.folder / 'study.json'} cannot be read ({error}).") from None
        if not isinstance(facts, dict) or facts.get("format") != FORMAT:
            raise UserError(f"{self.folder / 'study.json'} has a format that this version cannot read.")
        return facts

    def open(self, kind: str, identity: dict[str, Any]) -> None:
        """Start the study or resume it.

        Args:
            kind: ``plan``, ``treatment`` or ``search``.
            identity: facts that must be the same on a resume.

        Raises:
            UserError: another process uses the folder, or it holds another study.
        """
        try:
            self.folder.mkdir(parents=True, exist_ok=True)
            self._lock.acquire(timeout=0)
        except Timeout:
            raise UserError(
                f"{self.folder} is in use by another process. Wait for it, stop it, or choose another folder with --study."
            ) from None
        except OSError as error:
            raise UserError(
                f"{self.folder} cannot be created or written ({error}). Choose another folder with --study."
            ) from None
        identity = json.loads(json.dumps({"kind": kind, **identity}, default=str))
        if self.exists:
            before = self.read()
            other = [key for key in identity if before.get(key, identity[key]) != identity[key]]
            if other:
                self.close()
                what = ", ".join(other)
                raise UserError(
                    f"{self.folder} was started with another {what}. Restore the old one, or choose another folder with --study."
                )
        else:
            write_json(
                self.folder / "study.json", {"format": FORMAT, **identity, "created": now(), "code": code_identity()}
            )
        self._journal = self.journal.open("ab")
        if self.journal.stat().st_size and not self.journal.read_bytes().endswith(b"\n"):
            self._journal.write(b"\n")  # readers skip a line that a crash truncated

    def close(self) -> None:
        """Release the folder."""
        if self._journal is not None:
            self._journal.close()
            self._journal = None
        self._lock.release()

    def write(self, event: str, **facts: Any) -> None:
        """Append an event and wait until it is on the disk."""
        line = json.dumps({"time": now(), "event": event, **facts}, allow_nan=False, default=str)
        self._journal.write(line.encode() + b"\n")
        self._journal.flush()
        os.fsync(self._journal.fileno())

    def events(self) -> list[dict[str, Any]]:
        """Return the journal so far."""
        return read_lines(self.journal)

    def history(self) -> Iterator[tuple[str, str | Result]]:
        """Yield (name, fingerprint of settings) of each started experiment and (name, result) of each ended one, in order."""
        for event in self.events():
            if event["event"] == "started":
                yield event["experiment"], event.get("settings", "")
            elif event["event"] == "ended":
                yield event["experiment"], Result.of(event["result"])

    def failures(self) -> dict[str, str]:
        """Return names and reasons of experiments that could not run, and have not ended since."""
        found: dict[str, str] = {}
        for event in self.events():
            if event["event"] == "failed":
                found[event["experiment"]] = event["reason"]
            elif event["event"] == "ended":
                found.pop(event["experiment"], None)
        return found

    def started(self) -> Iterator[dict[str, Any]]:
        """Yield the facts of each started experiment once, in order."""
        seen = set()
        for event in self.events():
            if event["event"] == "started" and event["experiment"] not in seen:
                seen.add(event["experiment"])
                yield event

    def start(self, job: Job) -> None:
        """Record that a job starts."""
        self.write(
            "started",
            experiment=job.name,
            parent=Path(job.parent).name if job.parent else None,
            fork=job.fork,
            change=dict(job.change),
            hypothesis=job.hypothesis,
            expectation=job.expectation,
            settings=job.fingerprint,
        )

    def fail(self, job: Job, result: Result) -> None:
        """Record that a job could not run; the next call tries it again."""
        self.write("failed", experiment=job.name, reason=result.reason)

    def end(self, job: Job, result: Result) -> None:
        """Record the result of a job."""
        self.write("ended", experiment=job.name, result=plain(result.as_dict()))


def plain(value: Any) -> Any:
    """Return plain values in which numbers that are not finite are None, because JSON has none."""
    if isinstance(value, dict):
        return {k: plain(v) for k, v in value.items()}
    if isinstance(value, list | tuple):
        return [plain(v) for v in value]
    if isinstance(value, float) and value - value != 0:
        return None
    return value
