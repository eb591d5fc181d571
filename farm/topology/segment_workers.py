"""How many workers encode segments: as many as keep up with the GPUs, as far as the CPUs go.

A segment takes one CPU core and no GPU. Too few of its workers, and decoded frames pile up until the GPUs
wait for them; too many, and they hold CPUs that other jobs could use.
"""

from __future__ import annotations

import math
from collections.abc import Iterable
from dataclasses import replace
from typing import TYPE_CHECKING

from jobs.tasks.task import Stage
from jobs.tasks.topology import GPU_STAGES, Machine, Topology, parse_topology

if TYPE_CHECKING:
    from farm.topology.bound import JobFacts

SEGMENTS = frozenset({Stage.SEGMENT})
"""The stages of a pool that encodes segments and does nothing else."""

_SPARE = 1.25
"""Workers for each that the work needs: frames come unevenly."""

_LAST = 2
"""Chunks that a GPU ends with: the last, and the one whose decode was kept to follow it."""

_LAG = 0.02
"""The share of the GPUs' time by which segments may end later."""

_BINDS, _BINDS_S = 1.05, 10.0
"""Factor and seconds by which segments must take longer than all the rest to be mentioned."""


def topology_for(text: str, machine: Machine, facts: JobFacts) -> Topology:
    """The topology that `text` describes on `machine`, with the segment workers that it names or else those
    that the job needs.

    Raises what `parse_topology` raises, and CapacityError when a stage of the job is hosted by nobody.
    """
    topology = parse_topology(text, machine)
    return topology if Stage.SEGMENT.value in text else staffed(topology, machine, facts)


def staffed(topology: Topology, machine: Machine, facts: JobFacts) -> Topology:
    """The topology with as many segment workers in a pool of their own as the job needs and the machine
    carries."""
    count = int(min(workers_needed(topology, facts), workers_carried(topology, machine)))
    pools = (replace(pool, count=count) if pool.stages == SEGMENTS else pool for pool in topology.pools)
    return Topology(tuple(pools))


def workers_needed(topology: Topology, facts: JobFacts) -> int:
    """How many segment workers keep up with the GPUs: the work over the time that all else takes, and some to
    spare; where that time is short, enough that what all GPUs end with is encoded soon after."""
    segments = facts.stages.get(Stage.SEGMENT)
    if segments is None or not segments.work_s:
        return 1
    others_s, mean_s = facts.bound(topology, without=SEGMENTS).seconds, segments.work_s / segments.tasks
    needed = segments.work_s / (others_s - segments.earliest_s)
    rounds = 1 + int(_LAG * others_s / mean_s)
    ends = _LAST * min(topology.workers(Stage.DECODE), _busy(facts, others_s - mean_s))
    return min(segments.tasks, _whole(max(_SPARE * needed, ends / rounds)))


def _busy(facts: JobFacts, gpus_s: float) -> float:
    """How many GPUs the job keeps busy in that time."""
    work_s = sum(each.work_s for stage, each in facts.stages.items() if stage not in SEGMENTS)
    return work_s / gpus_s if work_s else 0.0


def workers_carried(topology: Topology, machine: Machine) -> float:
    """How many segment workers find a CPU: the driver has one, and each other worker that has no GPU."""
    others = sum(pool.count for pool in topology.pools if not pool.gpus and pool.stages != SEGMENTS)
    return max(1.0, machine.cpus - 1 - others)


def bottleneck(topology: Topology, machine: Machine, facts: JobFacts, others: Iterable[Topology] = ()) -> str:
    """What to tell the user where GPUs wait for segments, and the way out; usually empty.

    `others` are topologies that `auto` compared: where segments bind it takes no more GPUs than they keep
    busy, and the fastest of the others shows what the GPUs could do.
    """
    if facts.stages.keys().isdisjoint(GPU_STAGES):
        return ""
    rest_s = {each: facts.bound(each, without=SEGMENTS).seconds for each in (topology, *others)}
    fastest = min(rest_s, key=rest_s.__getitem__)
    gpus_s, all_s = rest_s[fastest], facts.bound(topology).seconds
    if all_s < max(_BINDS * gpus_s, gpus_s + _BINDS_S):
        return ""
    have, needed = topology.workers(Stage.SEGMENT), workers_needed(fastest, facts)
    carried = int(min(needed, workers_carried(topology, machine)))
    more = f"Write `segment={carried}`" if carried > have else "Add nodes with CPUs"
    return (
        f"segments are the bottleneck: with `segment={have}` the job takes {all_s:.0f} s, where the GPUs "
        f"need {gpus_s:.0f} s; `segment={needed}` would keep up. {more}, or take a faster `output.preset` "
        "(it reaches the bytes)"
    )


def _whole(workers: float) -> int:
    return math.ceil(round(workers, 6))
