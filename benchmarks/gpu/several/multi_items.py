"""Films on several GPUs: who sees which, makespans against the bound, replicas and plans, scaling, a loss.

Made for any number of GPUs from two on; a machine without a GPU lends two logical ones, to try the items.
"""

from __future__ import annotations

import multiprocessing
import os
from collections.abc import Callable, Iterator
from concurrent.futures import ProcessPoolExecutor
from contextlib import contextmanager
from dataclasses import replace
from typing import TYPE_CHECKING, Any

from benchmarks.gpu.decode_items import STAGES, engine_settings
from benchmarks.gpu.farm_items import Killer, compared
from benchmarks.gpu.films import (
    REMEMBERED,
    Film,
    Rendered,
    bare_loop,
    graph_of,
    median,
    open_engine,
    render,
    watched,
)
from benchmarks.gpu.ray_here import gpus_of, has_ray, one_ray
from benchmarks.gpu.several.pinning_item import pinning
from benchmarks.gpu.watch import Watch, visible
from jobs.errors import CapacityError
from jobs.file_digests import CACHE

if TYPE_CHECKING:
    from benchmarks.gpu.bench import Bench
    from farm.scheduler.graph import ScheduledTask
    from jobs.tasks.topology import Topology

BOUND_BAR, PREDICTED_BAR, SCALING_BAR = 1.05, 0.10, 0.95
LEARNT = (CACHE, "durations/durations.json")
"""What a runs directory remembers of renders: digests of model files, and stage times."""


def long_take(bench: Bench) -> None:
    """One video of chained chunks, upscaled: only stages can share it out."""
    film = Film("long", engine_settings(bench, "13b"), _clip(bench, steps=6, refine=2), cfg=1.0)
    film = replace(film, extends=bench.count(7, 2))
    steps = f"{film.clip.steps} + {film.clip.refine} steps without guidance"
    _topologies(bench, film, f"one video of {film.chunks} chunks, 13B, {steps}")


def batch(bench: Bench) -> None:
    """More videos than GPUs, without upscale."""
    film = Film("batch", engine_settings(bench, "13b"), _clip(bench, steps=4, refine=1), cfg=1.0)
    film = replace(film, videos=bench.count(8, 3), extends=bench.count(3, 1), upscale=False)
    what = f"{film.videos} videos of {film.chunks // film.videos} chunks"
    _topologies(bench, film, f"{what}, 13B, {film.clip.steps} steps without guidance, no upscale")


def scaling(bench: Bench) -> None:
    """Equal videos, a few for each GPU, on 1, 2, 4, ... GPUs; the last render also with a worker killed."""
    gpus = gpus_of(bench)
    film = Film("scaling", engine_settings(bench, "2b"), _clip(bench, steps=16, refine=1), keep="all")
    film = replace(film, videos=bench.count(4, 2) * gpus, extends=bench.count(2, 1), upscale=False)
    rows: list[dict[str, Any]] = []
    made: Rendered | None = None
    with one_ray(gpus):
        for count in _doublings(gpus):
            made, watch = watched(bench, film, f"mono={count}", gpus=count)
            first = rows[0]["makespan s"] if rows else made.makespan_s
            row: dict[str, Any] = {"GPUs": count, "chunks": film.chunks, "makespan s": made.makespan_s}
            row |= {"speed-up": first / made.makespan_s, "efficiency": first / made.makespan_s / count}
            row |= {"bar": f">= {SCALING_BAR}", "busy of each": _busy(made, watch)}
            rows.append(row)
            bench.table(f"Several GPUs: {film.videos} equal videos, 2B, {film.clip.steps} steps", rows)
        assert made is not None
        _killed(bench, film, made, gpus)


def _killed(bench: Bench, film: Film, undisturbed: Rendered, gpus: int) -> None:
    """The film once more; the worker that begins the second sample is killed while it computes."""
    killer = Killer(bench.folder("trace") / "trace.jsonl")
    made = render(bench, film, f"mono={gpus}", gpus=gpus)
    row = {"GPUs": gpus, "workers killed": killer.close(), **compared(made, undisturbed)}
    row |= {"makespan s": made.makespan_s, "undisturbed s": undisturbed.makespan_s}
    bench.table("Several GPUs: a worker killed in mid-chunk against the undisturbed render", [row])


def _doublings(gpus: int) -> list[int]:
    """1, 2, 4, ... up to all there are."""
    counts = [1]
    while counts[-1] * 2 <= gpus:
        counts.append(counts[-1] * 2)
    return counts if counts[-1] == gpus else [*counts, gpus]


def _topologies(bench: Bench, film: Film, what: str) -> None:
    """The film on `mono`, on the best split, on what `auto` takes, and by N monolithic replicas."""
    gpus = gpus_of(bench)
    title = f"Several GPUs: {what}"
    if not has_ray():
        raise CapacityError("the items for several GPUs need Ray")
    (bench.scratch / REMEMBERED / LEARNT[1]).unlink(missing_ok=True)
    rows: list[dict[str, Any]] = []
    with one_ray(gpus):
        mono = f"mono={gpus}"
        made, row = _measured(bench, film, mono, gpus)
        rows.append({"topology": mono, **row})
        bench.table(title, rows)
        split = best_split(_tasks(bench, film, made), gpus)
        made, row = _measured(bench, film, split, gpus)
        rows.append({"topology": f"{split} (best split)", **row})
        bench.table(title, rows)
        auto, planned_s = _plan(bench, film, "auto", gpus)
        taken = next((one for one in rows if auto in (one["topology"], one["topology"].split(" ")[0])), None)
        if taken is None:
            _, taken = _measured(bench, film, auto, gpus)
        rows.append(
            {**taken, "topology": f"auto: {auto}", **_against_the_plan(planned_s, taken["makespan s"])}
        )
        bench.table(title, rows)
    loops = replicas(bench, film, gpus)
    replica_s = max(loops)
    row = {"topology": f"{len(loops)} monolithic replicas without the farm", "makespan s": replica_s}
    rows.append(row)
    for one in rows:
        one["against replicas"] = one["makespan s"] / replica_s
    bench.table(title, rows)


def _measured(bench: Bench, film: Film, topology: str, gpus: int) -> tuple[Rendered, dict[str, Any]]:
    """A render, and its row: bound and simulation with the render's own step times, and the plan's words."""
    from farm.scheduler.graph import ScheduleGraph
    from farm.simulator.simulate import simulate
    from farm.topology.bound import job_facts

    planned_s = _plan(bench, film, topology, gpus)[1] if _knows(bench) else None
    made, watch = watched(bench, film, topology, gpus=gpus, remember=LEARNT)
    tasks, pools = _tasks(bench, film, made), _with_segments(topology, gpus)
    bound_s = job_facts(tasks).bound(pools).seconds
    simulated_s = simulate(ScheduleGraph(tasks), pools).makespan_s
    stages = ("sample", "upscale", "decode", "segment")
    row: dict[str, Any] = {"makespan s": made.makespan_s, "bound s": bound_s}
    row |= {"makespan / bound": made.makespan_s / bound_s, "bar": f"<= {BOUND_BAR}"}
    row |= {"simulated s": simulated_s, "simulated error": simulated_s / made.makespan_s - 1}
    if planned_s is not None:
        row |= _against_the_plan(planned_s, made.makespan_s)
    row["busy of each"] = _busy(made, watch)
    row |= {f"{stage} s": median(times) for stage in stages if (times := made.stage(stage))}
    return made, {**row, "ready s": max(made.ready_s.values()), "device GiB": watch.peak_gib}


def _against_the_plan(planned_s: float, makespan_s: float) -> dict[str, Any]:
    error = planned_s / makespan_s - 1
    return {"plan s": planned_s, "plan error": error, "plan bar": f"within {PREDICTED_BAR:.0%}"}


def _knows(bench: Bench) -> bool:
    return (bench.scratch / REMEMBERED / LEARNT[1]).is_file()


def _plan(bench: Bench, film: Film, topology: str, gpus: int) -> tuple[str, float]:
    """What `farm plan` says, with the stage times that earlier renders measured: topology without its segment
    workers, and makespan."""
    from cluster.inventory import read_inventory
    from farm.verbs.plan import PlanRequest, plan_job
    from jobs.loading.load import load_spec

    request = PlanRequest(
        runs_url=str(bench.scratch / REMEMBERED),
        job_id=f"{film.name}-planned",
        gpus=gpus,
        device=read_inventory().device,
        topology=topology,
    )
    report = plan_job(load_spec(film.document(bench.folder("planned"))), request)
    pools = (pool for pool in report.topology.split(",") if not pool.startswith("segment"))
    return ",".join(pools), report.makespan_s


def _tasks(bench: Bench, film: Film, made: Rendered) -> list[ScheduledTask]:
    """The film's tasks, each with the seconds that its step took."""
    from farm.scheduler.graph import scheduled

    graph = graph_of(bench, film, made.attention)
    return [scheduled(task, made.seconds[name]) for name, task in graph.tasks.items()]


def best_split(tasks: list[ScheduledTask], gpus: int) -> str:
    """The staged topology that the simulation finds fastest for these step times."""
    from farm.scheduler.graph import ScheduleGraph
    from farm.simulator.simulate import simulate
    from farm.topology.candidates import layouts
    from jobs.tasks.topology import GPU_STAGES, MONO

    work_s: dict[Any, float] = {}
    for task in tasks:
        work_s[task.stage] = work_s.get(task.stage, 0.0) + task.duration_s
    graph = ScheduleGraph(tasks)
    used = {stage: seconds for stage, seconds in work_s.items() if stage in GPU_STAGES}
    splits = [each for each in layouts(used, gpus) if all(pool.name != MONO for pool in each.pools)]
    best = min(splits, key=lambda topology: simulate(graph, topology).makespan_s)
    return ",".join(str(pool) for pool in best.pools if pool.gpus)


def _with_segments(topology: str, gpus: int) -> Topology:
    """The topology with the segment workers that a render of so many GPUs has."""
    from jobs.tasks.topology import Machine, parse_topology

    return parse_topology(topology, Machine(gpus, segment_workers=gpus))


def _busy(made: Rendered, watch: Watch) -> str:
    """Percent of the makespan that each device was busy."""
    span = made.first_s, made.last_s
    return ", ".join(f"{100 * watch.busy(*span, device=number):.0f} %" for number in range(watch.count))


def replicas(bench: Bench, film: Film, gpus: int) -> list[float]:
    """Seconds of each of N processes that render a share of the videos each, one to a GPU: bare loops over
    the same step functions, without scheduler, store and Ray. One video keeps one of them busy."""
    shares = [len(range(number, film.videos, gpus)) for number in range(gpus)]
    shares = [share for share in shares if share]
    context = multiprocessing.get_context("spawn")
    with ProcessPoolExecutor(len(shares), context) as pool:
        work = [
            pool.submit(_replica, replace(bench, item=f"{bench.item}-{at}"), film, share, at)
            for at, share in enumerate(shares)
        ]
        return [one.result() for one in work]


def _replica(bench: Bench, film: Film, videos: int, number: int) -> float:
    with _only_gpu(bench, number):
        engine = open_engine(bench, film.engine, STAGES)
        attention = engine.modes()["attention_mode"]
        return bare_loop(bench, replace(film, videos=videos), engine, attention).total_s


@contextmanager
def _only_gpu(bench: Bench, number: int) -> Iterator[None]:
    """Before CUDA starts in this process."""
    if bench.device.startswith("cuda"):
        os.environ["CUDA_VISIBLE_DEVICES"] = visible(number + 1)[number]
    yield


def _clip(bench: Bench, steps: int, refine: int) -> Any:
    return replace(bench.clip, steps=steps, refine=refine) if bench.real else bench.clip


ITEMS: dict[str, tuple[Callable[[Bench], None], float]] = {
    "multi-pinning": (pinning, 25),
    "multi-scaling": (scaling, 180),
    "multi-long": (long_take, 210),
    "multi-batch": (batch, 130),
}
"""Each with about how many seconds it takes on two H100s."""
