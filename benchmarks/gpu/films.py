"""One film as a job, rendered by the farm or by a bare loop over the same step functions."""

from __future__ import annotations

import shutil
import statistics
import tempfile
import time
from collections.abc import Callable, Iterable, Iterator, Mapping
from dataclasses import dataclass, field
from functools import partial
from pathlib import Path
from typing import TYPE_CHECKING, Any

from benchmarks.gpu.bench import Bench, Clip
from benchmarks.gpu.ray_here import has_ray
from benchmarks.gpu.watch import EventClock, Watch, wait
from farm.events import WorkerPlaced
from jobs.file_digests import CACHE
from jobs.store.commits import Commit

if TYPE_CHECKING:
    from farm.events import Event
    from jobs.tasks.task import StageTask, TaskGraph

WORDS = "a red ball moves right over a teal background "
REPEATS = 27
"""243 words: prompts of LTX-Video are padded to 256 tokens."""

REMEMBERED = "remembered"
"""Folder of what goes on from one render's runs directory to the next."""


@dataclass(frozen=True, slots=True)
class Film:
    """What to render: `engine` with its checkpoint, and how many videos of how many chunks."""

    name: str
    engine: Mapping[str, Any]
    clip: Clip
    videos: int = 1
    extends: int = 2
    upscale: bool = True
    sound: bool = False
    keep: str = "latents"
    cfg: float | None = None

    @property
    def chunks(self) -> int:
        return self.videos * (1 + self.extends)

    def document(self, out: Path) -> dict[str, Any]:
        """The job spec."""
        clip = self.clip
        chunks: list[dict[str, Any]] = [{"generate": {"num_frames": clip.frames}}]
        if self.extends:
            extend = {"num_new_frames": clip.new_frames, "overlap_frames": clip.overlap_frames}
            chunks.append({"extend": {**extend, "repeat": self.extends}})
        sound = {"sound": [{"generate": True}]} if self.sound else {}
        document: dict[str, Any] = {
            "version": 1,
            "name": self.name,
            "engine": dict(self.engine),
            "defaults": {
                "width": clip.width,
                "height": clip.height,
                "steps": clip.steps,
                "seed": 7,
                "prompt": WORDS * (REPEATS if clip.width > 64 else 1),
            },
            "videos": [{"name": f"film{i}", "chunks": chunks, **sound} for i in range(self.videos)],
            "output": {"dir": str(out), "crf": 40, "preset": "ultrafast"},
            "run": {"keep": self.keep, "verify": {"black": "off", "frozen": "off"}},
        }
        guidance = {} if self.cfg is None else {"cfg": self.cfg}
        document["defaults"] |= guidance
        if self.upscale:
            document["upscale"] = {"steps": clip.refine, "denoise": 0.5, **guidance}
        return document


@dataclass
class Rendered:
    """What a render did: times on the monotonic clock, and what the store holds."""

    outcome: str = ""
    placed: list[WorkerPlaced] = field(default_factory=list)
    ready_s: dict[str, float] = field(default_factory=dict)
    started: dict[str, float] = field(default_factory=dict)
    finished: dict[str, float] = field(default_factory=dict)
    seconds: dict[str, float] = field(default_factory=dict)
    films: dict[str, str] = field(default_factory=dict)
    failures: list[str] = field(default_factory=list)
    exact: bool = True
    commits: dict[str, Commit] = field(default_factory=dict)
    attention: str = ""
    end_s: float = 0.0

    def apply(self, event: Event, now_s: float) -> None:
        """Takes what happened at `now_s` of the monotonic clock."""
        from farm import events

        match event:
            case events.WorkerPlaced():
                self.placed.append(event)
            case events.WorkerReady():
                self.ready_s[event.worker] = event.seconds
            case events.TaskStarted():
                self.started[event.task] = now_s
            case events.TaskCommitted():
                self.finished[event.task], self.seconds[event.task] = now_s, event.seconds
                self.exact &= event.exact
            case events.TaskFailed():
                self.failures.append(f"{event.task} {event.kind}: {event.message} -> {event.then}")
            case events.FilmDelivered():
                self.films[event.video] = event.sha256
            case events.JobFinished():
                self.outcome = event.outcome

    @property
    def first_s(self) -> float:
        return min(self.started.values())

    @property
    def last_s(self) -> float:
        return max(self.finished.values())

    @property
    def makespan_s(self) -> float:
        """From the first task handed out to the last result committed."""
        return self.last_s - self.first_s

    def stage(self, name: str) -> list[float]:
        """Step seconds of a stage's tasks, in the order they were committed."""
        return [seconds for task, seconds in self.seconds.items() if stage_of(task) == name]

    def steady(self) -> tuple[float, float]:
        """From the end of the first decode to the end of the last sample or upscale: the device has enough
        to do."""
        decodes = [at for task, at in self.finished.items() if stage_of(task) == "decode"]
        models = [at for task, at in self.finished.items() if stage_of(task) in ("sample", "upscale")]
        return min(decodes), max(models)

    def hashes(self) -> dict[str, str]:
        """SHA-256 of every artifact that the device made."""
        return {
            str(commit.provenance["task"]): commit.sha256
            for commit in self.commits.values()
            if stage_of(str(commit.provenance["task"])) in ("sample", "upscale", "decode")
        }


def stage_of(task: str) -> str:
    """The stage of a task id."""
    return "encode" if task.startswith("encode/") else task.rsplit("/", 1)[1]


def render(
    bench: Bench,
    film: Film,
    topology: str,
    on_event: Callable[[Event, Rendered], None] | None = None,
    gpus: int = 1,
    remember: tuple[str, ...] = (CACHE,),
) -> Rendered:
    """Render with the farm: on Ray with `topology`, or in this process where it is `serial`.

    Every render has a runs directory of its own, so that nothing is reused, but for `remember`: names of what
    lies beside the runs and goes on to the next. Model files are so digested once.
    """
    import farm
    from jobs.store.documents import DIGESTS
    from jobs.store.store import Store

    folder = bench.folder(film.name)
    runs, made = str(folder / "runs"), Rendered()
    _copy(bench.scratch / REMEMBERED, Path(runs), remember)
    how: dict[str, Any] = {"serial": True} if topology == "serial" else {"topology": topology, "gpus": gpus}
    for event in _events(partial(farm.render, film.document(folder / "out"), runs=runs, **how)):
        made.apply(event, time.monotonic())
        if on_event is not None:
            on_event(event, made)
    made.end_s = time.monotonic()
    _copy(Path(runs), bench.scratch / REMEMBERED, remember)
    store = Store.open(runs, film.name)
    made.commits = store.commits()
    made.attention = ((store.read_json(DIGESTS) or {}).get("modes") or {}).get("attention_mode", "")
    if made.outcome != "done":
        raise RuntimeError(f"{film.name} on {topology} ended {made.outcome}: {made.failures[-3:]}")
    return made


def _events(render: Callable[[], Iterable[Event]]) -> Iterator[Event]:
    """The events of a render whose workers begin together: a makespan then holds no loading of models."""
    if not has_ray():
        yield from render()
        return
    from benchmarks.gathered import gathered

    with gathered():
        yield from render()


def _copy(source: Path, target: Path, names: Iterable[str]) -> None:
    """Those of these files that are there."""
    for name in names:
        if (source / name).is_file():
            (target / name).parent.mkdir(parents=True, exist_ok=True)
            shutil.copy(source / name, target / name)


@dataclass(frozen=True, slots=True)
class Looped:
    """A bare loop's seconds: all of it, its segments alone, and what CUDA events saw around the steps."""

    total_s: float
    segments_s: float
    events_s: float

    @property
    def device_s(self) -> float:
        return self.total_s - self.segments_s


def bare_loop(bench: Bench, film: Film, engine: Any, attention: str) -> Looped:
    """Every stage step of the film in plan order, in this process: no store, no checks, no scheduler."""
    from actors.steps.run import run_stage
    from jobs.tasks.task import Stage

    graph = graph_of(bench, film, attention)
    known: dict[str, Any] = {}
    clock, segments_s = EventClock(bench.device), 0.0
    start = time.perf_counter()
    with tempfile.TemporaryDirectory(dir=bench.folder("loop")) as scratch:
        for task in graph.tasks.values():
            begun = time.perf_counter()
            inputs = inputs_of(task, known)
            known[task.id] = clock.around(partial(run_stage, task, inputs, engine, Path(scratch)))
            if task.stage is Stage.SEGMENT:
                segments_s += time.perf_counter() - begun
                _forget(known, task)
        wait(bench.device)
    total_s = time.perf_counter() - start
    return Looped(total_s, segments_s, clock.total_s() - segments_s)


def graph_of(bench: Bench, film: Film, attention: str) -> TaskGraph:
    """The film's stage tasks, `attention_mode: auto` already chosen."""
    from jobs.loading.load import load_spec
    from jobs.planning.plan import make_plan
    from jobs.tasks.graph import build_graph

    loaded = load_spec(film.document(bench.folder("plan")))
    return build_graph(make_plan(loaded.spec, loaded.facts).resolve({"attention_mode": attention}))


def inputs_of(task: StageTask, known: Mapping[str, Any]) -> dict[str, list[Any]]:
    """Payloads by role."""
    inputs: dict[str, list[Any]] = {}
    for need in task.needs:
        inputs.setdefault(need.role, []).append(known[need.task])
    return inputs


def _forget(known: dict[str, Any], task: StageTask) -> None:
    """Frames of the chunk before are needed no more: as many are kept as a worker would."""
    for need in task.needs:
        if need.role == "previous":
            known.pop(need.task, None)


def open_engine(bench: Bench, settings: Mapping[str, Any], stages: Iterable[str]) -> Any:
    """An engine of a job in this process, its models on the device."""
    from actors.engines.make import make_engine
    from actors.steps.seeding import fix_threads
    from jobs.spec.engine import EngineConfig
    from jobs.tasks.task import Stage

    engine = make_engine(EngineConfig(**settings), bench.device, threads=2)
    fix_threads(2)
    engine.setup(frozenset(Stage(stage) for stage in stages))
    return engine


def watched(bench: Bench, film: Film, topology: str, **how: Any) -> tuple[Rendered, Watch]:
    """A render and what the devices did meanwhile; `how` as `render` takes it."""
    with Watch(bench.device, how.get("gpus", 1)) as watch:
        made = render(bench, film, topology, **how)
    return made, watch


def median(values: Iterable[float]) -> float:
    return statistics.median(list(values))
