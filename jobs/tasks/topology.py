"""How many workers host which stages: the text a user writes, and its checked form.

    mono                          every GPU one worker that hosts all GPU stages
    sample=2,upscale=2,decode=1   a pool per stage
    sample=3,upscale+decode=1     two stages share the workers of a pool
    decode=2@0.5                  two workers with half a GPU each
    sample=1x4                    one worker that is a gang of four ranks, each with a GPU of one node

Encode lives with sample, segment in CPU workers, unless a pool names them.
"""

from __future__ import annotations

import math
import re
from collections.abc import Collection, Iterator, Mapping
from dataclasses import dataclass, replace

from jobs.errors import CapacityError, Problem, UsageError
from jobs.tasks.task import Stage

GPU_STAGES = (Stage.ENCODE, Stage.SAMPLE, Stage.UPSCALE, Stage.DECODE)
SHARED_STAGES = (Stage.SAMPLE, Stage.UPSCALE)
"""Those whose steps the ranks of a gang share. Of the others they share decodes that come in parts; the rest
is the first rank's."""
MOST_RANKS = 16
MONO = "mono"
AUTO = "auto"

_POOL = re.compile(
    r"(?P<stages>[a-z]+(?:\+[a-z]+)*)(?:=(?P<count>\d+)(?:x(?P<ranks>\d+))?)?(?:@(?P<gpus>\d*\.?\d+))?"
)
_RULE = "pools `stage[+stage]=workers[xranks][@gpus]` separated by commas, `mono`, or `auto`"
_REMEDY = "write for example `mono`, `sample=2,upscale=1,decode=1` or `sample=3,upscale+decode=1`"


@dataclass(frozen=True, slots=True)
class Machine:
    """What there is to make workers of. `segment_workers` are those of a topology that names none, before
    it is known what the job needs; `node_gpus` are those of the node that has most, `nodes` those of each
    node, where these are known: without, all have as many as that one."""

    gpus: float
    segment_workers: int = 1
    cpus: float = math.inf
    node_gpus: float = math.inf
    nodes: tuple[int, ...] = ()

    def packs(self, sizes: Mapping[int, int]) -> bool:
        """Whether the nodes hold that many workers of each number of GPUs, none of which spans two: the
        largest first, each on the first node that has room."""
        free = list(self.nodes or self._like_nodes())
        for size, count in sorted(sizes.items(), reverse=True):
            left = count
            for at, room in enumerate(free):
                placed = min(left, room // size)
                free[at], left = room - placed * size, left - placed
            if left:
                return False
        return True

    def _like_nodes(self) -> Iterator[int]:
        left, most = int(self.gpus), int(min(self.node_gpus, self.gpus))
        while left and most:
            yield min(left, most)
            left -= min(left, most)


@dataclass(frozen=True, slots=True)
class Pool:
    """`count` equal workers. One holds `gpus`: 0 for a CPU worker, a fraction, or a whole number. One of
    several `ranks` is a gang: that many processes of one node, each with `gpus` of its own."""

    stages: frozenset[Stage]
    count: int
    gpus: float = 1.0
    ranks: int = 1

    @property
    def worker_gpus(self) -> float:
        """What all ranks of one worker hold."""
        return self.gpus * self.ranks

    @property
    def name(self) -> str:
        """Stages in pipeline order, joined by `+`; all GPU stages together are `mono`."""
        return MONO if self.stages == frozenset(GPU_STAGES) else _joined(self.stages)

    def __str__(self) -> str:
        return self.text(self.name)

    def text(self, name: str) -> str:
        """The pool as topology text, its stages written as `name`."""
        share = "" if self.gpus == _usual_gpus(self.stages) else f"@{self.gpus:g}"
        ranks = "" if self.ranks == 1 else f"x{self.ranks}"
        return f"{name}={self.count}{ranks}{share}"


@dataclass(frozen=True, slots=True)
class Topology:
    """Worker pools. `str()` gives text that parses to the same topology."""

    pools: tuple[Pool, ...]

    @property
    def gpus(self) -> float:
        return sum(pool.count * pool.worker_gpus for pool in self.pools)

    def workers(self, stage: Stage) -> int:
        """How many workers host `stage`."""
        return sum(pool.count for pool in self.pools if stage in pool.stages)

    def ranks(self, stage: Stage) -> int:
        """Of the largest worker that hosts `stage`."""
        return max((pool.ranks for pool in self.pools if stage in pool.stages), default=1)

    @property
    def gangs(self) -> tuple[Pool, ...]:
        """The pools whose workers have several ranks."""
        return tuple(pool for pool in self.pools if pool.ranks > 1)

    def missing(self, stages: Collection[Stage]) -> list[Stage]:
        """Those of the stages that nobody hosts."""
        return [stage for stage in Stage if stage in set(stages) and not self.workers(stage)]

    def require(self, stages: Collection[Stage]) -> None:
        """Raises CapacityError when a stage of the job is hosted by nobody."""
        missing = self.missing(stages)
        if missing:
            names = ", ".join(missing)
            raise CapacityError(
                f"the job needs {names}, which no worker of `{self}` hosts; "
                f"add `{missing[0]}=1` to the topology or use `mono`"
            )

    def idle_pools(self, stages: Collection[Stage]) -> tuple[Pool, ...]:
        """Pools that would never get a task of a job with these stages."""
        return tuple(pool for pool in self.pools if not pool.stages & set(stages))

    def __str__(self) -> str:
        return ",".join(map(self.text, self.pools))

    def text(self, pool: Pool) -> str:
        """One of its pools as the whole text has it."""
        encode_said = any(
            (Stage.ENCODE in each.stages) != (Stage.SAMPLE in each.stages) for each in self.pools
        )
        return pool.text(_text_name(pool, encode_said))


def parse_topology(text: str, machine: Machine) -> Topology:
    """The topology that `text` describes on `machine`. `auto` is none: `farm.topology.search` finds one
    for it.

    Raises UsageError for text that does not parse and for more GPUs than the machine has.
    """
    parts = [part.strip() for part in text.strip().split(",")]
    pools = [_parse_pool(part, text, machine) for part in parts]
    if Stage.ENCODE.value not in text:
        pools = _with_encode(pools)
    pools = _with_segment(pools, machine)
    topology = Topology(tuple(pools))
    if topology.gpus > machine.gpus + 1e-6:
        rule = f"at most {machine.gpus:g} GPU; this asks for {topology.gpus:g}"
        raise _problem(text, rule, "lower a worker count, or give a larger `--gpus`")
    return topology


def _joined(stages: frozenset[Stage]) -> str:
    return "+".join(stage.value for stage in Stage if stage in stages)


def _text_name(pool: Pool, encode_said: bool) -> str:
    """Encode goes without saying where it lives with sample and nowhere else; beside that, nothing does."""
    if encode_said:
        return _joined(pool.stages)
    return MONO if pool.name == MONO else _joined(pool.stages - {Stage.ENCODE})


def _parse_pool(part: str, text: str, machine: Machine) -> Pool:
    match = _POOL.fullmatch(part)
    if match is None:
        raise _problem(text, _RULE, f"`{part}` is not a pool; {_REMEDY}")
    stages = _parse_stages(match["stages"], text)
    gpus = float(match["gpus"]) if match["gpus"] else _usual_gpus(stages)
    _check_share(gpus, text)
    count = int(match["count"]) if match["count"] else _default_count(match["stages"], gpus, text, machine)
    if count < 1:
        raise _problem(text, "every pool has at least one worker", f"leave `{part}` out or give it a worker")
    pool = Pool(stages, count, gpus, int(match["ranks"] or 1))
    _check_gang(pool, part, text, machine)
    return pool


def _check_gang(pool: Pool, part: str, text: str, machine: Machine) -> None:
    """A gang is of one node, and each of its ranks has a device of its own."""
    if not 1 <= pool.ranks <= MOST_RANKS:
        raise _problem(text, f"a worker has 1 to {MOST_RANKS} ranks", f"`{part}`: lower the number behind x")
    if pool.ranks == 1:
        return
    if pool.stages.isdisjoint(SHARED_STAGES):
        rule = f"the ranks of a gang share the steps of {' and '.join(SHARED_STAGES)}"
        raise _problem(text, rule, f"`{part}`: write the workers alone, as in `{part.partition('x')[0]}`")
    if pool.gpus not in (0, 1):
        rule = "every rank of a gang has a GPU of its own, or none (`@0`)"
        raise _problem(text, rule, f"`{part}`: leave `@{pool.gpus:g}` out")
    if pool.worker_gpus > machine.node_gpus:
        rule = f"the ranks of a gang are on one node, and no node has more than {machine.node_gpus:g} GPU"
        raise _problem(text, rule, f"`{part}`: lower the number behind x")


def _parse_stages(names: str, text: str) -> frozenset[Stage]:
    if names == MONO:
        return frozenset(GPU_STAGES)
    known = {stage.value: stage for stage in Stage}
    unknown = [name for name in names.split("+") if name not in known]
    if unknown:
        raise _problem(text, f"stages are {', '.join(known)}", f"`{unknown[0]}` is not a stage; {_REMEDY}")
    return frozenset(known[name] for name in names.split("+"))


def _default_count(names: str, gpus: float, text: str, machine: Machine) -> int:
    """Only `mono` may leave its count out: it takes the whole machine."""
    if names != MONO:
        raise _problem(text, _RULE, f"say how many workers: `{names}=1`")
    if gpus == 0:
        raise _problem(text, "without a share of a GPU there is no natural count", "write `mono=N@0`")
    if machine.gpus < gpus:
        raise _problem(
            text, f"`mono` needs {gpus:g} GPU; there are {machine.gpus:g}", "give `--gpus N` or `mono=N`"
        )
    return int(machine.gpus / gpus + 1e-6)


def _check_share(gpus: float, text: str) -> None:
    if gpus > 1 and gpus != int(gpus):
        raise _problem(text, "a worker holds a fraction below one GPU, or whole GPUs", f"round `@{gpus:g}`")


def _usual_gpus(stages: frozenset[Stage]) -> float:
    return 0.0 if stages == {Stage.SEGMENT} else 1.0


def _with_encode(pools: list[Pool]) -> list[Pool]:
    return [
        replace(pool, stages=pool.stages | {Stage.ENCODE}) if Stage.SAMPLE in pool.stages else pool
        for pool in pools
    ]


def _with_segment(pools: list[Pool], machine: Machine) -> list[Pool]:
    if any(Stage.SEGMENT in pool.stages for pool in pools):
        return pools
    return [*pools, Pool(frozenset({Stage.SEGMENT}), max(1, machine.segment_workers), 0.0)]


def _problem(text: str, rule: str, remedy: str) -> UsageError:
    return UsageError([Problem("topology", repr(text), rule, remedy)])
