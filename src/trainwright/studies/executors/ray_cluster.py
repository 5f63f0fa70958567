"""Workers on an existing Ray cluster. All nodes must have the study's folder under the same path.

A lost worker or node is reported, and the scheduler submits the experiment again, which then resumes from its checkpoint.
"""

import os
import uuid
from pathlib import Path
from typing import Any

from trainwright.errors import UserError
from trainwright.studies.jobs import Job, Result, work


class RayExecutor:
    """Runs ``count`` experiments at the same time on a Ray cluster, with ``threads`` CPUs each.

    Raises:
        UserError: Ray is not installed, or no cluster runs at ``address``.
    """

    def __init__(self, address: str, count: int, threads: int = 1) -> None:
        os.environ.setdefault("RAY_USAGE_STATS_ENABLED", "0")
        try:
            import ray
        except ImportError:
            raise UserError("--executor ray needs Ray: pip install 'trainwright[ray]'.") from None
        try:
            ray.init(address=address, log_to_driver=False, configure_logging=False, ignore_reinit_error=True)
        except (ConnectionError, ValueError, RuntimeError) as error:
            reason = str(error).strip().splitlines()[0]
            raise UserError(
                f"no Ray cluster at {address}: {reason} Start one with `ray start --head` and give its address."
            ) from None
        self.capacity, self._ray = count, ray
        self._task = ray.remote(num_cpus=threads, max_retries=0)(_remote)
        self._running: dict[Any, Job] = {}
        self._threads = threads
        self._name = (
            f".stop-{uuid.uuid4().hex[:8]}"  # unique to this driver: a stale file of another driver stops no run
        )

    def submit(self, job: Job) -> None:
        """Submit the job to Ray."""
        self._running[self._task.remote(job, str(Path.cwd()), str(self._flag(job)), self._threads)] = job

    def _flag(self, job: Job) -> Path:
        return Path(job.folder).resolve().parent.parent / self._name

    def wait(self, seconds: float) -> list[tuple[Job, Result | None]]:
        """Return jobs that ended, with None for one whose worker was lost."""
        from ray.exceptions import RayError, RayTaskError

        done, _ = self._ray.wait(list(self._running), num_returns=1, timeout=seconds) if self._running else ([], [])
        ended: list[tuple[Job, Result | None]] = []
        for reference in done:
            job = self._running.pop(reference)
            try:
                ended.append((job, self._ray.get(reference)))
            except RayTaskError as error:
                ended.append((job, Result("failed", reason=str(error).strip().splitlines()[-1])))
            except RayError:
                ended.append((job, None))
        return ended

    def close(self) -> None:
        """Ask running jobs to stop with a checkpoint, through a file that every node can see."""
        flags = {self._flag(job) for job in self._running.values()}
        for flag in flags:
            flag.touch()
        try:
            while self._running:
                self.wait(60.0)
        finally:
            for flag in flags:
                flag.unlink(missing_ok=True)
            self._ray.shutdown()


def _remote(job: Job, home: str, flag: str, threads: int) -> Result:
    import time

    try:
        os.chdir(home)  # folders of the study and of data may be relative to the driver's working folder
    except OSError as error:
        return Result("failed", reason=f"the driver's folder does not exist on this node: {error}")
    checked = [time.monotonic(), False]

    def stop() -> bool:
        if time.monotonic() - checked[0] > 1.0:
            checked[:] = [time.monotonic(), os.path.exists(flag)]
        return bool(checked[1])

    from trainwright.studies.executors.local import with_threads

    return work(with_threads(job, threads), stop)
