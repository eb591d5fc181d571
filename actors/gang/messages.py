"""What the first rank of a gang and the others say to each other outside of a step, through pipes.

A message is a line of JSON; behind an order for a step come its inputs, as safetensors. Nothing is pickled.
"""

from __future__ import annotations

import json
import os
import resource
import sys
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field, replace
from typing import Any, BinaryIO

from actors.payload import Payload, pack, unpack
from jobs.planning.params import DecodeParams, PassParams
from jobs.planning.rounds.params import CanvasParams, TileParams
from jobs.records import Form
from jobs.spec.engine import Code, EngineConfig
from jobs.tasks.task import Stage, StageTask

GIB = 2**30


@dataclass(frozen=True)
class Charter:
    """What a gang is: `size` ranks, each with an engine that hosts `stages` on its `device`, with the
    `streamed` models of its worker."""

    engine: EngineConfig
    stages: frozenset[Stage]
    device: str
    threads: int
    size: int
    streamed: frozenset[str] = frozenset()


@dataclass(frozen=True, slots=True)
class RankReport:
    """One rank: its process, the device that its engine uses and its name, the number by which the node's
    driver knows it (NVML's, empty for a CPU), and the most memory that it has held there, GiB."""

    rank: int
    pid: int
    device: str
    name: str = ""
    gpu: str = ""
    peak_gib: float = 0.0


@dataclass(frozen=True, slots=True)
class Answer:
    """What a rank says when it has loaded, and of each step. `short`: memory ran out, and a library went on
    another way. `kind` and `message` are those of what it failed with."""

    report: RankReport
    short: bool = False
    kind: str = ""
    message: str = ""

    @property
    def failed(self) -> bool:
        return bool(self.kind)


@dataclass(frozen=True, slots=True)
class StepOrder:
    """A pass, a canvas, a tile or a decode to take part in, or with `proof` one to prove that the gang gives
    one process's bits at this size. `free` are the levels of memory to give back first, `sizes` the bytes of
    the inputs, by role."""

    task: str
    stage: Stage
    params: PassParams | CanvasParams | TileParams | DecodeParams
    free: tuple[str, ...] = ()
    sizes: tuple[tuple[str, int], ...] = ()
    proof: bool = False


ANSWER_FORM = Form("answer of a rank", Answer)
STEP_FORM = Form("step of a gang", StepOrder)

Inputs = Mapping[str, Sequence[Payload]]


def charter_line(charter: Charter, rank: int, folder: str) -> bytes:
    """The first message to a new rank."""
    engine = charter.engine
    return _line(
        {
            "engine": engine.model_dump(mode="json"),
            "allow_pickle": engine.allow_pickle,
            "stages": sorted(charter.stages),
            "device": charter.device,
            "threads": charter.threads,
            "size": charter.size,
            "streamed": sorted(charter.streamed),
            "rank": rank,
            "folder": folder,
        }
    )


def read_charter(source: BinaryIO) -> tuple[Charter, int, str]:
    """The charter, the reader's rank and the folder in which the ranks meet."""
    said: dict[str, Any] = json.loads(source.readline())
    engine = EngineConfig.model_validate(said["engine"], strict=False)
    engine = engine.with_code(Code(allow_pickle=said["allow_pickle"]))
    stages = frozenset(Stage(name) for name in said["stages"])
    streamed = frozenset(said["streamed"])
    charter = Charter(engine, stages, said["device"], said["threads"], said["size"], streamed)
    return charter, said["rank"], said["folder"]


@dataclass(frozen=True)
class StepMessage:
    """A step with its inputs."""

    order: StepOrder
    inputs: dict[str, list[Payload]] = field(default_factory=dict)

    @property
    def task(self) -> StageTask:
        """As the step reads it: what it needs is here."""
        order = self.order
        return StageTask(order.task, order.stage, "", 0, 0, (), order.params, 0)


def send_step(order: StepOrder, inputs: Inputs, targets: Sequence[BinaryIO]) -> None:
    """Tell all ranks; raises OSError where one is gone."""
    packed = [(role, pack(payload)) for role, payloads in inputs.items() for payload in payloads]
    sizes = tuple((role, len(data)) for role, data in packed)
    whole = replace(order, sizes=sizes)
    for target in targets:
        target.write(_line(STEP_FORM.pack(whole)))
        for _, data in packed:
            target.write(data)
        target.flush()


def read_step(source: BinaryIO) -> StepMessage | None:
    """The next step; None where the gang ends."""
    line = source.readline()
    if not line:
        return None
    order = STEP_FORM.parse(line)
    inputs: dict[str, list[Payload]] = {}
    for role, size in order.sizes:
        inputs.setdefault(role, []).append(unpack(source.read(size)))
    return StepMessage(order, inputs)


def answer_line(answer: Answer) -> bytes:
    return _line(ANSWER_FORM.pack(answer))


def report_here(rank: int, device: str, name: str, gpu: str) -> RankReport:
    """This process as a rank."""
    return RankReport(rank, os.getpid(), device, name, gpu, round(_peak_gib(device), 2))


def _peak_gib(device: str) -> float:
    torch = sys.modules.get("torch")
    if device.startswith("cuda") and torch is not None:
        return torch.cuda.max_memory_reserved(device) / GIB
    return resource.getrusage(resource.RUSAGE_SELF).ru_maxrss * 1024 / GIB


def _line(value: Mapping[str, Any]) -> bytes:
    return json.dumps(value).encode() + b"\n"
