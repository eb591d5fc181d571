"""A pool of workers: start, hand over tasks, learn what happened, kill and replace.

Nothing restarts them. A worker that dies is reported once, with the calls that died with it, and only
`replace` makes its successor, under the next incarnation number; what an older incarnation still says is
dropped. So the scheduler knows at each moment which process a task belongs to.
"""

from __future__ import annotations

import queue
from collections.abc import Callable, Iterable, Sequence
from concurrent.futures import Future
from dataclasses import dataclass, field, replace
from typing import TYPE_CHECKING, Any

from cluster.failures import CallFailure
from cluster.inventory import WorkerRequest
from cluster.pool.events import Alive, Done, Failed, Lost, Placed, PoolEvent, Ready, TaskCall
from cluster.pool.members import Member, homeless, living_on
from cluster.pool.object_cache import ObjectCache
from cluster.pool.shell import Placement, WorkerClass
from cluster.pool.waits import WaitNotices
from cluster.storage import StorageProof, not_shared
from jobs.errors import FailureKind

if TYPE_CHECKING:
    from cluster.base import Answers, Cluster


@dataclass(frozen=True, slots=True)
class PoolConfig:
    """Times in seconds, and the proof of shared storage that every worker must pass.

    `gather_s`: how long workers that have a place wait for the others before they load: so a node that does
    not share the storage is found before anything is rendered, and a busy cluster starts with what it has.
    `place_notice_s`: how long a wait for resources stays silent; it is reported each time it has doubled.
    `load_deadline_s`: how long loading models may take. `ping_s`: how often idle workers give a sign.
    `job`: whose workers they are, for others that wait.
    """

    proof: StorageProof = field(default_factory=StorageProof)
    gather_s: float = 10.0
    place_notice_s: float = 10.0
    load_deadline_s: float = 1800.0
    ping_s: float = 5.0
    job: str = ""


Configure = Callable[[WorkerRequest, Placement], Any]


class WorkerPool:
    """Workers of one class. Not thread-safe: one thread, the driver's, calls its methods."""

    def __init__(
        self,
        cluster: Cluster,
        worker_class: type[WorkerClass],
        configure: Configure,
        config: PoolConfig | None = None,
        watch: Callable[[PoolEvent], None] | None = None,
    ) -> None:
        """`watch` sees every event before `wait` gives it."""
        self.cluster = cluster
        self._watcher = watch
        self._worker_class = worker_class
        self._configure = configure
        self._config = config or PoolConfig()
        self._members: dict[str, Member] = {}
        self._deferred: list[WorkerRequest] = []
        self._answers: Answers = queue.SimpleQueue()
        self._cache = ObjectCache(self._object_stores)
        self._accelerators: dict[str, str | None] = {}
        self._waits = WaitNotices(cluster, self._config.job, self._config.place_notice_s)
        self._gathered = False
        self._started_s = self.cluster.now_s()

    def start(self, requests: Iterable[WorkerRequest]) -> None:
        """Ask for workers and return at once; `Placed` and `Ready` follow.

        Fractions of a GPU wait until every whole GPU is taken: halves on two nodes could block a whole one.
        """
        self._gathered, self._started_s = False, self.cluster.now_s()
        for request in sorted(requests, key=lambda request: -request.gpus):
            if 0 < request.gpus < 1:
                self._deferred.append(request)
            else:
                self._create(request, incarnation=1)
        self._create_deferred()

    def submit(self, worker: str, call: TaskCall) -> None:
        """Hand a task to a ready worker; `Done`, `Failed` or `Lost` follows.

        One that is gone since the last `wait` takes nothing: its `Lost` is among the events of that `wait`.
        """
        member = self._members[worker]
        if member.state == "gone":
            return
        assert member.placement is not None
        share = call.share and self._cache.room(member.placement.node_id, call.size_bytes)
        member.calls[call.task] = call
        values = call.task, call.order, self._cache.refs(call.uses), share
        self._call(member, f"run {call.task}", "run", *values)

    def wait(self, timeout_s: float) -> list[PoolEvent]:
        """What happened, in order; waits up to `timeout_s` for the first event."""
        events = self._housekeep()
        answer = self.cluster.wait(self._answers, 0.0 if events else timeout_s)
        while answer is not None:
            events += self._read(*answer)
            answer = self.cluster.wait(self._answers, 0.0)
        if self._watcher is not None:
            for event in events:
                self._watcher(event)
        return events

    def wake(self) -> None:
        """Make a `wait` in progress return; may be called from a signal handler."""
        self._answers.put(None)

    def probe(self, worker: str) -> bool:
        """Ask a worker whether it lives: `Alive` or `Lost` follows.

        One that is gone, or has not answered the probe before, is replaced (True); one that is still loading
        answers with `Ready`.
        """
        member = self._members[worker]
        if member.state == "gone" or member.probed:
            self.replace(worker)
            return True
        if member.state == "ready":
            member.probed = True
            self._ping(member)
        return False

    def kill(self, worker: str) -> tuple[TaskCall, ...]:
        """End the worker's process now. No event follows; the calls that died with it are returned."""
        return self._bury(self._members[worker])

    def replace(self, worker: str) -> None:
        """Start the worker's next incarnation; kills the present one if it still lives."""
        member = self._members[worker]
        self._bury(member)
        self._create(member.request, member.incarnation + 1)

    def busy(self, worker: str) -> tuple[str, ...]:
        """The tasks that the worker holds at the moment, oldest first."""
        return tuple(self._members[worker].calls)

    def stranded(self) -> tuple[WorkerRequest, ...]:
        """Workers that no living node can hold, where no other is at work, loads, or may find a place: then
        nothing happens any more until the cluster gets another node."""
        members = self._members.values()
        if any(member.calls or member.state in ("placed", "loading") for member in members):
            return ()
        waiting = [member.request for member in members if member.state == "placing"] + self._deferred
        without = homeless(self.cluster.inventory(), members, waiting) if waiting else []
        return tuple(without) if len(without) == len(waiting) else ()

    def leaving(self) -> tuple[str, ...]:
        """The workers whose nodes go away soon."""
        return living_on(self.cluster.leaving(), self._members.values())

    def placement(self, worker: str) -> Placement | None:
        """Where the worker's present incarnation is, once placed."""
        return self._members[worker].placement

    def drop(self, task: str) -> None:
        """Forget the task's shared payload; the object store frees it when no call uses it any more."""
        self._cache.drop(task)

    def shared(self) -> frozenset[str]:
        """The tasks whose payloads are held in the object store."""
        return self._cache.tasks()

    def close(self) -> None:
        """Kill every worker and drop every payload."""
        for member in self._members.values():
            self._bury(member)
        self._deferred.clear()
        self._cache.clear()

    def _create(self, request: WorkerRequest, incarnation: int) -> None:
        actor = self.cluster.start(request, incarnation, self._config.job)
        member = Member(request, incarnation, actor, "placing", since_s=self.cluster.now_s())
        self._members[request.id] = member
        self._call(member, "place", "place", self._config.proof)

    def _create_deferred(self) -> None:
        if any(member.state == "placing" and member.request.gpus >= 1 for member in self._members.values()):
            return
        for request in self._deferred:
            self._create(request, incarnation=1)
        self._deferred.clear()

    def _bury(self, member: Member) -> tuple[TaskCall, ...]:
        calls = tuple(member.calls.values())
        if member.state != "gone":
            member.state = "gone"
            member.actor.kill()
        member.calls.clear()
        member.pending.clear()
        return calls

    def _lose(self, member: Member, failure: CallFailure) -> list[PoolEvent]:
        return [Lost(member.request.id, self._bury(member), failure)]

    def _call(self, member: Member, what: str, method: str, *values: Any) -> None:
        worker, incarnation = member.request.id, member.incarnation
        future = member.pending[what] = member.actor.call(method, *values)
        future.add_done_callback(lambda answer: self._answers.put((worker, incarnation, what, answer)))

    def _read(self, worker: str, incarnation: int, what: str, answer: Future[Any]) -> list[PoolEvent]:
        member = self._members[worker]
        if member.incarnation != incarnation or member.state == "gone":
            return []
        member.pending.pop(what, None)
        member.heard_s = self.cluster.now_s()
        error = answer.exception()
        if error is not None:
            return self._refused(member, what, self.cluster.failure(error))
        if what == "place":
            return self._placed(member, *answer.result())
        if what == "load":
            return self._ready(member, answer.result())
        if what == "ping":
            return self._alive(member)
        return self._done(member, what.removeprefix("run "), *answer.result())

    def _refused(self, member: Member, what: str, failure: CallFailure) -> list[PoolEvent]:
        if failure.worker_gone or not what.startswith("run "):
            return self._lose(member, failure)
        return [Failed(member.request.id, member.calls.pop(what.removeprefix("run ")), failure)]

    def _placed(self, member: Member, placement: Placement, unseen: Sequence[str]) -> list[PoolEvent]:
        if unseen:
            return self._lose(member, not_shared(member.request.id, placement.host, unseen))
        placement = replace(placement, accelerator=self._accelerator(placement.node_id))
        member.state, member.placement = "placed", placement
        self._create_deferred()
        self._load_placed()
        return [Placed(member.request.id, placement)]

    def _accelerator(self, node: str) -> str | None:
        """The type of a node's GPUs. Nodes join while the pool runs."""
        if node not in self._accelerators:
            self._accelerators = {each.id: each.accelerator for each in self.cluster.inventory().nodes}
        return self._accelerators.get(node)

    def _load_placed(self) -> None:
        """Let those that have a place load, once all have one or have been waited for."""
        waiting = bool(self._deferred) or any(one.state == "placing" for one in self._members.values())
        self._gathered |= not waiting or self.cluster.now_s() - self._started_s >= self._config.gather_s
        if not self._gathered:
            return
        for member in self._members.values():
            if member.state == "placed":
                assert member.placement is not None
                member.state, member.since_s = "loading", self.cluster.now_s()
                config = self._configure(member.request, member.placement)
                self._call(member, "load", "load", self._worker_class, config)

    def _ready(self, member: Member, report: dict[str, Any]) -> list[PoolEvent]:
        assert member.placement is not None
        member.state = "ready"
        return [Ready(member.request.id, member.placement, report, self.cluster.now_s() - member.since_s)]

    def _alive(self, member: Member) -> list[PoolEvent]:
        asked, member.probed = member.probed, False
        return [Alive(member.request.id)] if asked else []

    def _done(self, member: Member, task: str, result: Any, shared: list[Any]) -> list[PoolEvent]:
        call = member.calls.pop(task)
        if shared and member.placement is not None:
            self._cache.put(task, shared[0], member.placement.node_id, call.size_bytes)
        return [Done(member.request.id, call, result)]

    def _housekeep(self) -> list[PoolEvent]:
        self._load_placed()
        now = self.cluster.now_s()
        events: list[PoolEvent] = [*self._waits.due(self._members.values(), now)]
        for member in list(self._members.values()):
            if member.state == "loading" and now - member.since_s > self._config.load_deadline_s:
                message = (
                    f"models not loaded within {self._config.load_deadline_s:g} s; raise the load deadline"
                )
                events += self._lose(member, CallFailure(FailureKind.HANG, message, worker_gone=True))
            elif member.state == "ready" and not member.calls and now - member.heard_s > self._config.ping_s:
                self._ping(member)
        return events

    def _ping(self, member: Member) -> None:
        member.heard_s = self.cluster.now_s()
        if "ping" not in member.pending:
            self._call(member, "ping", "ping")

    def _object_stores(self) -> dict[str, float]:
        return {node.id: node.object_store_bytes for node in self.cluster.inventory().nodes}
