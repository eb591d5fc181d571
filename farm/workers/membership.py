"""The workers of one render: who is ready, who may serve the job, and who is left out for good."""

from __future__ import annotations

from collections import Counter
from typing import TYPE_CHECKING

from farm.scheduler import events
from farm.state.fingerprint import difference
from jobs.errors import CannotRun
from jobs.tasks.task import Stage

if TYPE_CHECKING:
    from cluster.pool.events import Ready
    from farm.session.session import JobSession
    from farm.workers.workforce import Workforce

START_TRIES = 3


class Membership:
    """Knows the workers; starts and ends none. `ready` has every worker's newest report."""

    def __init__(self, session: JobSession, workforce: Workforce) -> None:
        self.session, self.workforce = session, workforce
        self.ready: dict[str, Ready] = {}
        self.strangers: set[str] = set()
        """Workers that serve although what they make is not byte-equal."""
        self._out: set[str] = set()
        self._starts: Counter[str] = Counter()

    @property
    def members(self) -> tuple[str, ...]:
        """Workers that were ready once and are not left out."""
        return tuple(worker for worker in self.ready if worker not in self._out)

    @property
    def candidates(self) -> frozenset[str]:
        """Workers, ready or not yet, whose report may settle what the spec calls `auto`: those that sample,
        where the job samples."""
        if Stage.SAMPLE in self.session.graph.stages:
            return self.workforce.hosts(Stage.SAMPLE) - self._out
        hosted = self.workforce.stages.items()
        return frozenset(worker for worker, stages in hosted if stages - {Stage.SEGMENT}) - self._out

    @property
    def heard(self) -> list[str]:
        """The workers that are ready and may speak, the first one first."""
        candidates = self.candidates
        return [worker for worker in self.ready if worker in candidates]

    def introduced(self, worker: str) -> events.WorkerLoaded:
        """The worker as the scheduler knows it."""
        return events.WorkerLoaded(
            worker, self.workforce.stages[worker], self.ready[worker].placement.node_id
        )

    def difference(self, worker: str) -> str:
        """How what this worker makes differs from what the job's digests stand for: other software, or a gang
        without its proof; usually empty."""
        report = self.ready[worker].report
        return difference(report, self.session.engine) or str(report.get("unproven", ""))

    def leave_out(self, worker: str, why: str) -> None:
        """It serves never. Raises CannotRun when a stage of the job has no worker left that might."""
        self._out.add(worker)
        for stage in self.session.graph.stages & self.workforce.stages[worker]:
            if not self.workforce.hosts(stage) - self._out:
                raise CannotRun(f"no worker can serve {stage}: {why}")

    def tries_again(self, worker: str, failed_with: str) -> bool:
        """Whether a worker that was lost before it ever served is started again; if not, it is left out."""
        self.ready.pop(worker, None)
        self._starts[worker] += 1
        if self._starts[worker] < START_TRIES:
            return True
        self.leave_out(worker, f"{worker} did not start {START_TRIES} times: {failed_with}")
        return False
