"""The plain worker: one process, one device, one engine, one task at a time. It knows nothing of Ray."""

from __future__ import annotations

import json
import os
import platform
import socket
import time
from collections.abc import Callable, Mapping, Sequence
from dataclasses import asdict, dataclass
from functools import partial
from pathlib import Path
from typing import TYPE_CHECKING, Any, Protocol, TypeVar, runtime_checkable

from actors.device import DeviceThread, failed_allocations
from actors.engines.base import Arriving, Engine, OwnChoices, landed
from actors.engines.make import make_engine
from actors.failures import LESS_MEMORY, stage_errors
from actors.gang.gang import Gang
from actors.gang.messages import Charter
from actors.media.ffmpeg import media_fingerprint
from actors.payload import Payload, pack
from actors.steps.run import begin_stage
from actors.steps.seeding import fix_threads
from actors.steps.timing import StepTimer
from actors.verify_output import verify_output
from actors.worker.cache import PayloadCache
from actors.worker.clock import Clock
from actors.worker.content import LoadedModel, same_content, untouched
from actors.worker.inputs import InputReader
from actors.worker.kernel import with_kernel
from actors.worker.memory_ladder import free_memory, frees, is_exact, lighten, rungs_of_room
from actors.worker.order import TaskOrder, TaskResult, WorkerConfig
from actors.worker.storage import opened
from jobs.errors import OutOfMemory
from jobs.file_digests import digest_ahead, remember_beside
from jobs.scratch import Scratch, sweep
from jobs.tasks.task import Stage, StageTask
from jobs.tasks.topology import SHARED_STAGES

if TYPE_CHECKING:
    from jobs.failures import Rung
    from jobs.store.commits import Commit
    from jobs.store.store import Store

# Read once, when OpenMP starts with torch. Threads that spin while they wait slow every other worker of the
# machine down: beside other work, two threads on two cores sample 6 to 17 times faster without.
os.environ.setdefault("OMP_WAIT_POLICY", "PASSIVE")

T = TypeVar("T")

PAYLOAD_SUFFIX = "safetensors"
_SHORT = ("memory ran out within the step, and a library went on another way",)


@dataclass(frozen=True)
class _Step:
    """What a step made, or what is on its way; `short` where memory ran out meanwhile."""

    made: Payload | Arriving | Path
    timer: StepTimer
    short: bool

    def landed(self) -> tuple[Payload | Path, float, bool]:
        """The result in host memory, the seconds it took, and `short`. Drop the step: then nothing of it
        is held on the device."""
        result: Payload | Path = landed(self.made)
        return result, self.timer.seconds(), self.short


@runtime_checkable
class Watcher(Protocol):
    """An engine that wants to know which task comes next, as the fake one does to act out failures."""

    def begin(self, task: StageTask, attempt: int) -> None: ...


class StageWorker:
    """Runs stage tasks and commits their results."""

    def __init__(self, config: WorkerConfig) -> None:
        self.config = config
        self._engine: Engine | None = None
        self._store: Store | None = None
        self._cache = PayloadCache(config.cache_bytes)
        self._made: dict[str, str] = {}
        self._device, self._landing = DeviceThread(), DeviceThread("landing")
        self._gang: Gang | None = None
        self._short: set[Stage] = set()
        self._models: dict[str, LoadedModel] = {}

    def setup(self) -> dict[str, Any]:
        """Open the store and load the models. Returns a JSON-able report with the engine's fingerprint.

        What workers that were killed left on this node is deleted.
        """
        started = time.monotonic()
        sweep()
        config = self.config
        self._store = opened(config)
        remember_beside(self._store.backend.path(""))
        self._engine = make_engine(config.engine, config.device, config.threads, config.streamed)
        fix_threads(config.threads)
        # A worker that only encodes segments never starts the engine, and speaks for nobody.
        described: dict[str, Any] = {"fingerprint": {}, "sources": {}, "unproven": ""}
        if modelled := config.stages - {Stage.SEGMENT}:
            described = self._loaded(self._engine, modelled)
        return {
            "worker": config.worker,
            "host": socket.gethostname(),
            "pid": os.getpid(),
            "device": config.device,
            "stages": sorted(config.stages),
            "media": media_fingerprint(),
            "modes": self._engine.modes() if Stage.SAMPLE in config.stages else {},
            **described,
            **(self._choices() if modelled else {}),
            "ranks": [asdict(report) for report in self._gang.reports] if self._gang else [],
            "setup_s": time.monotonic() - started,
        }

    def _loaded(self, engine: Engine, stages: frozenset[Stage]) -> dict[str, Any]:
        """The report's part of the models of those stages, once they are loaded and stayed what they are."""
        paths = self._device.run(engine.paths)
        with untouched(paths) as since:
            digest_ahead(paths)
            unproven = self._load(engine, stages)
            sources, fingerprint = self._device.run(lambda: (engine.sources(), engine.fingerprint()))
        self._models = {path: LoadedModel(sources["files"][path], was) for path, was in since.items()}
        return {"fingerprint": fingerprint, "sources": sources, "unproven": unproven}

    def _load(self, engine: Engine, stages: frozenset[Stage]) -> str:
        """The models of those stages; the further ranks of a gang load theirs at the same time. Returns how
        its bits differ from those of one process, empty where they do not."""
        config = self.config
        shared = stages.intersection(SHARED_STAGES)
        if config.ranks == 1 or not shared:
            self._device.run(lambda: engine.setup(stages))
            return ""
        charter = Charter(config.engine, shared, config.device, config.threads, config.ranks, config.streamed)
        gang = self._gang = Gang(charter)
        gang.start()
        self._device.run(lambda: engine.setup(stages))
        gang.join(engine)
        resolved = [with_kernel(run, engine) for run in config.sizes]
        return gang.watched(lambda: gang.prove(engine, resolved, self._forgetting))

    def _forgetting(self, step: Callable[[], T]) -> T:
        """What a step on the device answers; what that chose while memory was short ends with it."""
        device = self.config.device

        def run() -> T:
            failed = failed_allocations(device)
            try:
                return step()
            finally:
                if failed_allocations(device) > failed:
                    self._device.renew()

        return self._device.run(run)

    def run(self, order: TaskOrder, cached: Mapping[str, Payload] | None = None) -> TaskResult:
        """Run one task and commit its result; `cached` offers payloads of earlier tasks by id.

        May be called from two threads: the steps follow one another, and the device works on the second task
        while the first one's result is fetched and written. Raises `StageError` subclasses only.
        """
        with stage_errors(order.task.id):
            return self._run(order, cached or {})

    def payload(self, task: str) -> Payload | None:
        """The payload that `run` made for the task, where it is still held."""
        return self._cache.get(self._made.get(task, ""))

    def destroy(self) -> None:
        """Release the models and the cache."""
        self._cache.clear()
        if self._gang is not None:
            self._gang.close()
            self._gang = None
        if self._engine is not None:
            self._engine.close()
            self._engine = None
        self._device.close()
        self._landing.close()

    def _run(self, order: TaskOrder, cached: Mapping[str, Payload]) -> TaskResult:
        task = lighten(order.task, order.rungs)
        clock = Clock()
        assert self._store is not None
        inputs = InputReader(self._cache, self._store).inputs(order, cached)
        clock.note("read_s")
        with Scratch() as scratch:
            step = partial(self._work, order, task, inputs, scratch)
            result, step_s, short = self._watched(lambda: self._landing.run(self._device.run(step).landed))
            # The device may still have been busy with the step before, and the result took its way home.
            clock.note("wait_s", apart=("step_s", step_s))
            warnings = verify_output(task, result, self.config.verify) + (_SHORT if short else ())
            commit = self._commit(order, result, self._provenance(order, step_s, warnings, exact=not short))
        clock.note("commit_s")
        self._note("end", order)
        return TaskResult(task.id, commit, clock.seconds_of["step_s"], clock.seconds_of)

    def _work(
        self, order: TaskOrder, task: StageTask, inputs: Mapping[str, Sequence[Payload]], scratch: Path
    ) -> _Step:
        engine = self._ready()
        self._note("begin", order)
        fix_threads(self.config.threads)
        free_memory(task, order.rungs, engine, self.config.prompts_first)
        if isinstance(engine, Watcher):
            engine.begin(task, order.attempt)
        device = "cpu" if task.stage is Stage.SEGMENT else self.config.device
        failed, timer, others = failed_allocations(device), StepTimer(device), False
        try:
            with same_content(order, self._models):
                made, others = self._begin(task, inputs, scratch, order.rungs)
            timer.stop()
        finally:
            short = failed_allocations(device) > failed or others
            if short:
                # Neither the thread nor what the engine keeps for speed goes on with what was chosen then.
                self._device.renew()
                engine.free("cache")
        if short:
            self._accept_short(order)
        return _Step(made, timer, short)

    def _begin(
        self, task: StageTask, inputs: Mapping[str, Sequence[Payload]], scratch: Path, rungs: Sequence[Rung]
    ) -> tuple[Payload | Arriving | Path, bool]:
        """The stage step, with the other ranks of a gang where they share it, and whether their memory ran
        out in it."""
        begin = partial(begin_stage, task, inputs, self._ready(), scratch)
        if self._gang is None or not self._gang.shares(task, self._ready()):
            return begin(), False
        return self._gang.step(task, inputs, frees(task, rungs), begin), self._gang.short

    def _watched(self, call: Callable[[], T]) -> T:
        return call() if self._gang is None else self._gang.watched(call)

    def _accept_short(self, order: TaskOrder) -> None:
        """A result for which memory ran out unnoticed may have other bytes. Raises `OutOfMemory` while this
        worker can free more; in the end it is taken as it is, from here on at once for this stage."""
        stage = order.task.stage
        if stage not in self._short and not set(rungs_of_room(stage)).issubset(order.rungs):
            raise OutOfMemory(
                f"{order.task.id}: memory of {self.config.device} ran out within the step, and a library "
                f"went on another way, which may change the result; {LESS_MEMORY}"
            )
        self._short.add(stage)

    def _commit(self, order: TaskOrder, result: Payload | Path, provenance: dict[str, Any]) -> Commit:
        assert self._store is not None
        if isinstance(result, Path):
            suffix = result.suffix.removeprefix(".")
            return self._store.put(order.digest, order.attempt, suffix, result, provenance)
        commit = self._store.put(order.digest, order.attempt, PAYLOAD_SUFFIX, pack(result), provenance)
        if commit.provenance == provenance:
            # Another attempt may have won; then the store's bytes count, not these.
            self._cache.put(order.digest, result)
            self._made[order.task.id] = order.digest
        return commit

    def _provenance(
        self, order: TaskOrder, seconds: float, warnings: tuple[str, ...], exact: bool
    ) -> dict[str, Any]:
        return {
            "task": order.task.id,
            "worker": self.config.worker,
            "host": socket.gethostname(),
            "device": self.config.device,
            "attempt": order.attempt,
            "seconds": round(seconds, 3),
            "python": platform.python_version(),
            "exact": exact and order.exact and is_exact(order.rungs),
            "ladder": [rung.value for rung in order.rungs],
            "warnings": list(warnings),
            **({"ranks": [asdict(report) for report in self._gang.reports]} if self._gang else {}),
        }

    def _note(self, what: str, order: TaskOrder) -> None:
        if not self.config.trace:
            return
        line = {"event": what, "task": order.task.id, "attempt": order.attempt, "pid": os.getpid()}
        with Path(self.config.trace).open("a") as trace:
            trace.write(json.dumps(line) + "\n")

    def _choices(self) -> dict[str, Any]:
        """Nothing where the engine's samplers and guiders were checked with the spec."""
        if not isinstance(self._engine, OwnChoices):
            return {}
        guiders = {name: list(params) for name, params in self._engine.guiders().items()}
        return {"samplers": list(self._engine.samplers()), "guiders": guiders}

    def _ready(self) -> Engine:
        if self._engine is None:
            raise RuntimeError("run before setup")
        return self._engine
