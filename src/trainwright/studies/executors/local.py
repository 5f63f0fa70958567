"""Workers as processes of this machine. Each imports PyTorch once and runs one experiment after the other.

A worker whose driver has ended stops its run with a checkpoint. A lost worker is replaced.
"""

import contextlib
import multiprocessing
import os
import signal
import time
from collections.abc import Callable
from multiprocessing.connection import Connection
from multiprocessing.connection import wait as wait_for
from typing import Any

from trainwright.studies.jobs import Job, Result, work

STATUS_EVERY = 1.0  # seconds between status lines of a worker
STOP_SECONDS = 60.0  # time for a run to stop with a checkpoint

StatusCallback = Callable[[str, str, int, int], None]


class LocalExecutor:
    """``count`` workers with ``threads`` CPU threads each.

    Args:
        count: number of experiments at the same time.
        threads: CPU threads of each worker; None: the machine's cores divided by ``count``.
        status: called with (experiment, line, done, total) about once a second, and with total 0 for a note.
    """

    def __init__(
        self, count: int, threads: int | None = None, status: StatusCallback = lambda name, text, done, total: None
    ) -> None:
        self.capacity = count
        self.threads = threads or max(1, (os.cpu_count() or 1) // count)
        self.status = status
        self._context = multiprocessing.get_context("spawn")
        self._idle: list[_Worker] = []
        self._busy: dict[str, _Worker] = {}

    def submit(self, job: Job) -> None:
        """Send the job to an idle worker, or to a new one."""
        worker = self._idle.pop() if self._idle else _Worker(self._context, self.threads)
        worker.job = job
        try:
            worker.pipe.send(job)
        except OSError:  # the worker ended while it was idle
            worker.end()
            worker = _Worker(self._context, self.threads)
            worker.job = job
            worker.pipe.send(job)
        self._busy[job.name] = worker

    def wait(self, seconds: float) -> list[tuple[Job, Result | None]]:
        """Return jobs that ended, with None for one whose worker was lost."""
        ended: list[tuple[Job, Result | None]] = []
        pipes: dict[Any, _Worker] = {worker.pipe: worker for worker in self._busy.values()}
        for pipe in wait_for(list(pipes), seconds):
            worker = pipes[pipe]
            assert worker.job is not None
            try:
                reported = worker.pipe.recv()
            except (EOFError, OSError):
                del self._busy[worker.job.name]
                ended.append((worker.job, None))
                worker.end()
                continue
            if isinstance(reported, Result):
                del self._busy[worker.job.name]
                ended.append((worker.job, reported))
                worker.job = None
                self._idle.append(worker)
            else:
                self.status(worker.job.name, *reported)
        return ended

    def close(self) -> None:
        """End idle workers at once and busy ones with a checkpoint."""
        for worker in self._busy.values():
            worker.ask_to_stop()
        until = time.monotonic() + STOP_SECONDS
        while self._busy and time.monotonic() < until:
            self.wait(0.5)
        for worker in (*self._idle, *self._busy.values()):
            worker.end()
        self._idle, self._busy = [], {}


class _Worker:
    def __init__(self, context: Any, threads: int) -> None:
        self.pipe, other = context.Pipe()
        before = os.environ.get("OMP_NUM_THREADS")
        os.environ["OMP_NUM_THREADS"] = str(threads)  # libraries read it when they are imported
        try:
            self.process = context.Process(target=_serve, args=(other, threads), daemon=True)
            self.process.start()
        finally:
            if before is None:
                del os.environ["OMP_NUM_THREADS"]
            else:
                os.environ["OMP_NUM_THREADS"] = before
        other.close()
        self.job: Job | None = None

    def ask_to_stop(self) -> None:
        """Ask the worker to end its run with a checkpoint."""
        with contextlib.suppress(OSError):
            self.pipe.send(None)

    def end(self) -> None:
        """End the process; its run can resume from the last checkpoint in another worker."""
        self.pipe.close()
        self.process.join(0.2)
        if self.process.is_alive():
            self.process.kill()
            self.process.join()


def _serve(pipe: Connection, threads: int) -> None:
    """Run jobs from the driver until the driver ends; the main function of a worker process."""
    signal.signal(signal.SIGINT, signal.SIG_IGN)  # Ctrl-C reaches the whole process group; the driver decides
    parent = os.getppid()
    while True:
        try:
            job = pipe.recv()
        except (EOFError, OSError):
            return
        if job is None:
            continue
        try:
            pipe.send(work(with_threads(job, threads), _stop(pipe, parent), _Sender(pipe)))
        except OSError:
            return


def with_threads(job: Job, threads: int) -> Job:
    """Return the job with this number of CPU threads, unless its settings give one."""
    settings: dict[str, Any] = {**job.settings}
    settings["train"] = {"threads": threads, **{k: v for k, v in settings["train"].items() if v is not None}}
    return Job(**{**vars(job), "settings": settings})


def _stop(pipe: Connection, parent: int) -> Callable[[], bool]:
    """Return a function that is True once the driver has asked for a stop or has ended."""

    def stop() -> bool:
        if os.getppid() != parent:
            return True
        try:
            return pipe.poll() and pipe.recv() is None
        except (EOFError, OSError):
            return True

    return stop


class _Sender:
    """A display that sends the status line to the driver about once a second."""

    def __init__(self, pipe: Connection) -> None:
        self._pipe, self._last = pipe, -STATUS_EVERY

    def status(self, text: str, done: int, total: int) -> None:
        """Send the status line if it is time."""
        if time.monotonic() - self._last >= STATUS_EVERY:
            self._last = time.monotonic()
            self._send(text, done, total)

    def note(self, text: str) -> None:
        """Send the note."""
        self._send(text, 0, 0)

    def _send(self, text: str, done: int, total: int) -> None:
        with contextlib.suppress(OSError):  # the driver has ended: the run stops after this step
            self._pipe.send((text, done, total))
