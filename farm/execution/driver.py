"""Rendering on Ray: what stands around the render loop.

Session, capacity check, proof of shared storage and worker pool are opened here, and closed again whatever
happens.
"""

from __future__ import annotations

import threading
from collections.abc import Callable, Generator, Iterable, Iterator
from contextlib import AbstractContextManager, contextmanager, nullcontext
from dataclasses import dataclass, replace
from pathlib import Path, PurePath
from typing import TYPE_CHECKING

from actors import interrupts
from cluster.capacity import check_capacity, require_gpu
from cluster.local_gpus import has_gpu
from cluster.session import SessionConfig, open_session, require_driver, stop_signals
from farm.estimates.durations import Hardware, read_durations
from farm.events import Event, Notice
from farm.execution.metrics import metered
from farm.session.session import JobSession
from farm.state.job_state import INTERRUPTED
from farm.topology.auto import (
    choose_topology,
    has_prompts_first,
    memory_warning,
    remaining_facts,
    segment_warning,
    streamed_models,
    streams_notice,
)
from farm.topology.model_sizes import sizes_known
from farm.topology.probe import PROBED, DurationProbe, keep, one_of_each, summary, tasks_to_probe
from farm.workers.outage import PATIENCE, Outage, Patience
from farm.workers.workforce import Workforce, configure, gpus_named, make_workforce
from jobs.commands import resume_command
from jobs.errors import StoreUnusable
from jobs.scratch import sweep
from jobs.tasks.digest import input_files
from jobs.tasks.task import Stage
from jobs.tasks.topology import AUTO

if TYPE_CHECKING:
    from cluster.base import Cluster
    from cluster.inventory import Inventory
    from cluster.pool.pool import PoolConfig
    from farm.estimates.remaining_work import RemainingWork
    from farm.session.opening import Scope
    from jobs.loading.load import LoadedSpec
    from jobs.tasks.topology import Topology

UPLOADS = "working_dir_files"


Connect = Callable[[SessionConfig], "AbstractContextManager[Cluster]"]
"""Opens a cluster: Ray (`open_session`), or one that is made up (`LocalCluster.connect`)."""


@dataclass(frozen=True, slots=True)
class RayOptions:
    """Where a job renders. None takes the spec's topology, all GPUs, and the cluster of `RAY_ADDRESS`.

    Where there is no such cluster, Ray is started on this machine, with logical GPUs if it has no real ones.
    `grace_s` is how long what runs may go on after SIGTERM.
    """

    topology: str | None = None
    gpus: int | None = None
    address: str | None = None
    place_notice_s: float = 10.0
    load_deadline_s: float = 3600.0
    patience: Patience = PATIENCE
    grace_s: float = 0.0


def render_on_ray(
    loaded: LoadedSpec, scope: Scope, options: RayOptions, connect: Connect = open_session
) -> Generator[Event, None, None]:
    """Render the job on Ray, or on what else `connect` opens, and yield its events; the last one is
    `JobFinished`.

    SIGTERM and SIGINT end it early, resumable, when it runs in the main thread. Raises CannotRun
    (environment), JobBusy (another driver holds the job), SpecError (a file that vanished) and UsageError
    (the topology, a cancelled job).
    """
    require_driver(options.address)
    text = options.topology or loaded.spec.run.topology
    scope = replace(scope, topology=text, runs_url=_absolute(scope.runs_url))
    session = JobSession(loaded, scope)
    # The plan has everything; a long film's checked spec would stay in memory for as long as it renders.
    del loaded
    with session:
        yield from session.begin()
        if session.requested_end is not None:
            yield from session.finish(*session.requested_end)
            return
        if session.resolve() and session.complete:
            yield session.planned()
            session.deliver_complete()
            yield from session.mend()
            if session.complete:
                yield from session.finish(session.final_outcome)
                return
        session.store.require_shared()
        refuse_uploads((session.store.url, session.plan.output.dir))
        try:
            with connect(_ray_session(options, text)) as cluster:
                yield from _on_cluster(session, options, text, cluster)
        finally:
            # After workers that were ended in the middle of a task; on other nodes the next worker does it.
            sweep()


def _on_cluster(session: JobSession, options: RayOptions, text: str, cluster: Cluster) -> Iterator[Event]:
    from actors.worker.worker import StageWorker
    from cluster.pool.pool import WorkerPool
    from cluster.storage import plant, uproot
    from farm.execution.render_loop import RenderLoop
    from farm.workers.waiting import RoomWatch

    settled = yield from _workforce(session, options, text, cluster)
    if settled is None:
        return
    workforce, place = settled
    proof = plant((session.store.url, session.plan.output.dir), sorted(input_files(session.graph)))
    config = replace(_pool_config(session, options), proof=proof)
    watch = RoomWatch(session, workforce.requests)
    pool = WorkerPool(cluster, StageWorker, configure(session, workforce), config, watch.take)
    again = resume_command(session.store.job_id, session.scope.runs_url, text)
    outage = Outage(pool, options.patience, again)
    loop = RenderLoop(session, pool, workforce, place, outage, options.grace_s)
    try:
        with _stoppable(loop.stop):
            pool.start(workforce.requests)
            instruments = cluster.instruments(session.store.job_id)
            yield from metered(loop.run(), session, instruments) if instruments else loop.run()
    finally:
        pool.close()
        uproot(proof)


def _pool_config(session: JobSession, options: RayOptions) -> PoolConfig:
    from cluster.pool.pool import PoolConfig

    return PoolConfig(
        place_notice_s=options.place_notice_s,
        load_deadline_s=options.load_deadline_s,
        job=session.store.job_id,
    )


def _workforce(
    session: JobSession, options: RayOptions, text: str, cluster: Cluster
) -> Generator[Event, None, tuple[Workforce, Hardware] | None]:
    """The workers to ask for, and where they compute; None where a signal ended the job during the probe.

    Raises CapacityError where the cluster can never hold them.
    """
    inventory = cluster.inventory()
    if gpus_named(text) and session.ledger.stages_left - {Stage.SEGMENT}:
        require_gpu(inventory)
    compared: list[Topology] = []
    if text.strip() == AUTO:
        inventory = before = _with_memory(session, cluster, inventory)
        probe = yield from _probed(session, inventory, options, cluster)
        if probe is not None and probe.stopped_by:
            reason = f"stopped by {probe.stopped_by}; the same command continues it"
            yield from session.finish(INTERRUPTED, reason)
            return None
        # The probe may have waited for the first nodes that an autoscaler brought.
        inventory = _with_memory(session, cluster, cluster.inventory(), before)
        found = choose_topology(session.remaining_work, inventory, options.gpus)
        text, compared = str(found.winner.topology), [each.topology for each in found.simulated]
        session.state.change(topology=text)
        yield session.record(Notice(f"topology {text}: {found.reason}"))
        if short := memory_warning(session.remaining_work, inventory):
            yield session.record(Notice(short))
    elif streamed_models(session.remaining_work, inventory):
        # Cards of one type differ in size, and streaming makes every forward slower.
        inventory = _with_memory(session, cluster, inventory)
    work = session.remaining_work
    facts = remaining_facts(work, inventory, text)
    workforce = make_workforce(text, inventory, options.gpus, session.ledger.stages_left, facts)
    workforce = _with_room(work, inventory, workforce)
    check_capacity(inventory, workforce.requests)
    if streams := streams_notice(work, inventory):
        yield session.record(Notice(streams))
    if slow := segment_warning(work, inventory, facts, workforce.topology, compared):
        yield session.record(Notice(slow))
    streamed = streamed_models(work, inventory)
    return workforce, Hardware(session.plan.engine, inventory.device, streamed)


def _with_room(work: RemainingWork, inventory: Inventory, workforce: Workforce) -> Workforce:
    """With what makes room for the models where they have none otherwise."""
    return replace(
        workforce,
        prompts_first=has_prompts_first(work, inventory, workforce.topology),
        streamed=frozenset(streamed_models(work, inventory)),
    )


def _with_memory(
    session: JobSession, cluster: Cluster, inventory: Inventory, known: Inventory | None = None
) -> Inventory:
    """With the memory of its GPUs, where models have to fit."""
    return cluster.with_memory(inventory, known) if sizes_known(session.plan.engine) else inventory


def _probed(
    session: JobSession, inventory: Inventory, options: RayOptions, cluster: Cluster
) -> Generator[Event, None, DurationProbe | None]:
    """Measures stage times before the topology is chosen, where they are unknown and there is a choice."""
    from actors.worker.probe import ProbeWorker
    from cluster.pool.pool import WorkerPool
    from farm.workers.waiting import RoomWatch

    work = session.remaining_work
    place = Hardware(session.plan.engine, inventory.device, streamed_models(work, inventory))
    tasks = tasks_to_probe(session.graph, work.tasks, read_durations(work.runs_url), place)
    if not tasks or min(inventory.reach_gpus, options.gpus or inventory.reach_gpus) < 2:
        return None
    guess = choose_topology(session.remaining_work, inventory, options.gpus).winner.topology
    workforce = make_workforce(
        str(one_of_each(guess)), inventory, None, frozenset(task.stage for task in tasks)
    )
    workforce = _with_room(work, inventory, workforce)
    names = " and ".join(dict.fromkeys(task.stage for task in tasks if task.stage in PROBED))
    yield session.record(Notice(f"nothing of this size was rendered here before: measuring {names}"))
    watch = RoomWatch(session, workforce.requests)
    configured, config = configure(session, workforce), _pool_config(session, options)
    pool = WorkerPool(cluster, ProbeWorker, configured, config, watch.take)
    probe = DurationProbe(tasks, pool, workforce)
    try:
        with _stoppable(probe.stop):
            pool.start(workforce.requests)
            for notice in probe.run():
                yield session.record(notice)
    finally:
        pool.close()
    keep(probe, replace(place, device=cluster.inventory().device), session.scope.runs_url)
    if not probe.stopped_by:
        yield session.record(Notice(summary(probe)))
    return probe


def _ray_session(options: RayOptions, text: str) -> SessionConfig:
    """A machine without GPUs offers as many logical ones as are asked for."""
    logical = None if has_gpu() else options.gpus or gpus_named(text)
    return SessionConfig(address=options.address, gpus=logical)


def refuse_uploads(places: Iterable[str]) -> None:
    """Raise StoreUnusable for a place inside the directory into which Ray unpacks an upload."""
    for place in places:
        if UPLOADS in PurePath(place).parts:
            raise StoreUnusable(
                f"{place} lies in Ray's temporary copy of the working directory and would be lost with it. "
                "Give `--runs` and `output.dir` places on storage that every node mounts."
            )


def _absolute(url: str) -> str:
    """Workers have working directories of their own."""
    return url if "://" in url else str(Path(url).absolute())


@contextmanager
def _stoppable(stop: Callable[[str], None]) -> Iterator[None]:
    """Signals go to `stop`, where this thread takes them. Raises KeyboardInterrupt where one came before."""
    in_main_thread = threading.current_thread() is threading.main_thread()
    with stop_signals(stop) if in_main_thread else nullcontext():
        interrupts.check()
        yield
