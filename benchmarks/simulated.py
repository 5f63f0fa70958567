"""A simulated cluster: experiments end on a virtual clock, and workers are lost at random."""

import heapq
import random
from itertools import count

from trainwright.studies.jobs import Job, Result


class Simulated:
    """Executor of ``workers`` simulated workers, of which each loses an experiment with probability ``loss``.

    Args:
        workers: at the same time.
        loss: chance that the worker of an experiment is lost before it ends.
        seed: of durations, losses and results.
    """

    def __init__(self, workers: int, loss: float = 0.0, seed: int = 0) -> None:
        self.capacity, self.loss = workers, loss
        self.draw = random.Random(seed)
        self.clock = 0.0
        self.submitted: dict[str, int] = {}
        self.busy: set[str] = set()
        self.most = 0
        self._events: list[tuple[float, int, Job, bool]] = []
        self._order = count()

    def submit(self, job: Job) -> None:
        """Start an experiment; more than there are workers, or one that runs already, is an error of the scheduler."""
        assert len(self.busy) < self.capacity and job.name not in self.busy
        self.submitted[job.name] = self.submitted.get(job.name, 0) + 1
        self.busy.add(job.name)
        self.most = max(self.most, len(self.busy))
        takes = self.draw.expovariate(1 / 600.0)
        lost = self.draw.random() < self.loss
        heapq.heappush(
            self._events, (self.clock + takes * (self.draw.random() if lost else 1), next(self._order), job, lost)
        )

    def wait(self, seconds: float) -> list[tuple[Job, Result | None]]:
        """Return the next experiment that ends."""
        if not self._events:
            return []
        self.clock, _, job, lost = heapq.heappop(self._events)
        self.busy.discard(job.name)
        if lost:
            return [(job, None)]
        # what an experiment shows depends on its name only, as a real one's result depends on its config only
        chance = random.Random(job.name)
        verdict = chance.choice(("healthy", "healthy", "sick"))
        return [
            (
                job,
                Result(
                    "finished",
                    verdict,
                    step=1000,
                    trained=1000,
                    score=chance.random(),
                    levels={"loss": chance.random()},
                ),
            )
        ]

    def close(self) -> None:
        """Do nothing."""
