"""Prompts through a text encoder of real size: until it is ready, seconds of a prompt, memory of device and
host, in one process and through Ray."""

from __future__ import annotations

import multiprocessing
import statistics
import time
from collections.abc import Callable
from concurrent.futures import ProcessPoolExecutor
from dataclasses import dataclass, field
from pathlib import Path
from typing import TYPE_CHECKING, Any

from benchmarks.gpu.bench import Bench, Clip
from benchmarks.gpu.films import Film, graph_of, open_engine, stage_of, watched
from benchmarks.gpu.memory.workers_item import runtime_gib
from benchmarks.gpu.ray_here import has_ray, one_ray
from benchmarks.gpu.text.files import written
from benchmarks.gpu.watch import GIB, HostPeak, Peak, private_gib, wait

if TYPE_CHECKING:
    from jobs.tasks.task import StageTask

PROMPTS = 8
AGAIN = 5
NAMES = {"ltx2.3": "Gemma 3 12B", "ltx2.5": "Gemma 4 12B", "2b": "T5-XXL"}
SCENES = (
    "a harbour",
    "a quarry",
    "a glacier",
    "a market",
    "a railway yard",
    "a lighthouse",
    "a forest",
    "a theatre",
)
NEGATIVE = "blurry, out of focus, overexposed, low contrast, washed out colours, flickering, motion blur"


class Prompted(Film):
    """A film of eight videos, each with a prompt of its own; one negative prompt is all of theirs."""

    def document(self, out: Path) -> dict[str, Any]:
        """The job spec."""
        document = super().document(out)
        document["defaults"]["negative"] = NEGATIVE
        for scene, video in zip(SCENES, document["videos"], strict=True):
            prompt = (
                f"{scene} at dawn, gulls circle over the roofs while the fog slowly lifts, handheld, 35 mm"
            )
            video["chunks"] = [{"generate": {"num_frames": self.clip.frames, "prompt": prompt}}]
        return document


def item(size: str) -> Callable[[Bench], None]:
    """The item of a model's text encoder."""

    def run(bench: Bench) -> None:
        start = time.monotonic()
        with written(bench, size) as folder:
            write_s = time.monotonic() - start
            settings = {"checkpoint": str(folder / "model.safetensors"), "text_encoder": str(folder)}
            bench.table(f"Files: {_name(size)}", [{"written in s": write_s, **_sizes(folder)}])
            clip = Clip(256, 256, 17, 0, 0, steps=1, refine=1)
            film = Prompted("prompts", settings, clip, videos=PROMPTS, extends=0, upscale=False)
            with ProcessPoolExecutor(1, multiprocessing.get_context("spawn")) as pool:
                pool.submit(_measure, bench, film, size).result()
            _through_ray(bench, film, size)

    return run


def _name(size: str) -> str:
    return f"{NAMES[size]} for {size}"


def _sizes(folder: Path) -> dict[str, float]:
    """GiB of what is read."""
    from farm.topology.file_sizes import file_gib

    files = {"text encoder GiB": folder / "text_encoder", "model GiB": folder / "model.safetensors"}
    return {name: file_gib(path) for name, path in files.items()}


@dataclass
class _Phases:
    """What each phase took of time and memory. `highest` is the peak of all device memory."""

    bench: Bench
    title: str
    rows: list[dict[str, Any]] = field(default_factory=list)
    highest: float = 0.0
    elsewhere: float = field(default=0.0, init=False)
    """GiB that other processes hold, this one's parent among them."""

    def __post_init__(self) -> None:
        self.elsewhere = _used_gib(self.bench)

    def run(self, name: str, run: Callable[[], Any]) -> tuple[Any, float]:
        """What `run` answers and its seconds."""
        wait(self.bench.device)
        before = _allocated(self.bench)
        with HostPeak() as host, Peak(self.bench.device) as peak:
            start = time.perf_counter()
            made = run()
            wait(self.bench.device)
            taken = time.perf_counter() - start
        self.highest = max(self.highest, before + peak.gib)
        row = {"phase": name, "s": taken, "device before GiB": before}
        row |= {"peak beside it GiB": peak.gib, "device after GiB": _allocated(self.bench)}
        self.rows.append(row | {"host private, peak GiB": host.gib, "host private after GiB": private_gib()})
        return made, taken

    def show(self) -> None:
        """Write the table as far as it is."""
        self.bench.table(self.title, self.rows)


def _used_gib(bench: Bench) -> float:
    """GiB of the device that all processes hold; asked from outside: this one begins nothing there."""
    if not bench.device.startswith("cuda"):
        return 0.0
    import pynvml

    pynvml.nvmlInit()
    return float(pynvml.nvmlDeviceGetMemoryInfo(pynvml.nvmlDeviceGetHandleByIndex(0)).used) / GIB


def _allocated(bench: Bench) -> float:
    if not bench.device.startswith("cuda"):
        return 0.0
    import torch

    return torch.cuda.memory_allocated() / GIB


def _measure(bench: Bench, film: Film, size: str) -> None:
    """All that one process shows."""
    phases = _Phases(bench, f"A worker's memory as it encodes prompts: {_name(size)}")
    engine = open_engine(bench, film.engine, ())
    residents = engine._runner.residents
    tasks = [task for task in graph_of(bench, film, "default").tasks.values() if task.stage.value == "encode"]
    load = residents._load["prompts"]
    phases.run("text encoder from its files", lambda: residents._models.update(prompts=load()))
    phases.run("to the device", lambda: residents.get("prompts"))
    phases.run("video VAE", lambda: residents.get("codec"))
    phases.show()
    _encoded(phases, engine, tasks, size)
    _reckoned(phases, film, tasks, size)
    phases.run("two blocks of the transformer", lambda: residents.get("denoising"))
    phases.run("models to host memory, as where memory is short", lambda: engine.free("resident"))
    phases.run("text encoder to the device again", lambda: residents.get("prompts"))
    phases.run("closed", engine.close)
    phases.show()


def _encoded(phases: _Phases, engine: Any, tasks: list[StageTask], size: str) -> None:
    """Seconds of a prompt with its negative: the first time, again, and of eight."""
    from actors.steps.run import run_stage

    def encode(task: StageTask) -> Any:
        return run_stage(task, {}, engine, Path())

    made, cold_s = phases.run("first prompt and its negative", lambda: encode(tasks[0]))
    again = [phases.run("the same again", lambda: encode(tasks[0]))[1] for _ in range(AGAIN)]
    _, all_s = phases.run(
        f"{len(tasks)} prompts, each with its negative", lambda: [encode(task) for task in tasks]
    )
    row = {"cold s": cold_s, f"warm s, median of {AGAIN}": statistics.median(again)}
    row |= {f"{len(tasks)} prompts s": all_s}
    row |= {"artifact MB": sum(array.nbytes for array in made.arrays.values()) / 1e6}
    phases.bench.table(f"Seconds of a prompt and its negative: {_name(size)}", [row])


def _reckoned(phases: _Phases, film: Film, tasks: list[StageTask], size: str) -> None:
    """What a worker needs that encodes, and what is reckoned for it."""
    from farm.topology.memory import engine_footprint
    from jobs.spec.engine import EngineConfig
    from jobs.tasks.task import Stage

    reckoned = engine_footprint(EngineConfig(**film.engine), tasks, 1000.0)
    assert reckoned is not None
    runtime = runtime_gib(phases.bench) - phases.elsewhere
    need, told = runtime + phases.highest, reckoned.together_gib((Stage.ENCODE,))
    row = {"measured GiB": need, "of which the process GiB": runtime, "reckoned GiB": told}
    row |= {f"{name} reckoned GiB": gib for name, gib in reckoned.weights_gib[Stage.ENCODE].items()}
    title = f"Device memory of a worker that encodes: {_name(size)}"
    phases.bench.table(title, [row | {"reckoned / measured": told / need}])


def _through_ray(bench: Bench, film: Film, size: str) -> None:
    """The same prompts on one worker with all stages: until it is ready, and what it then has."""
    from farm.events import WorkerPlaced

    start, placed = time.monotonic(), dict[str, float]()

    def on_event(event: Any, _: Any) -> None:
        if isinstance(event, WorkerPlaced):
            placed.setdefault("s", time.monotonic() - start)

    with one_ray():
        start = time.monotonic()
        made, watch = watched(bench, film, "mono" if has_ray() else "serial", on_event=on_event)
    times = made.stage("encode")
    sizes = [
        commit.size
        for commit in made.commits.values()
        if stage_of(str(commit.provenance["task"])) == "encode"
    ]
    row: dict[str, Any] = {
        "until a worker is placed s": placed.get("s"),
        "ready s": max(made.ready_s.values()),
    }
    row |= {"first prompt s": times[0], "others s": statistics.median(times[1:]), "prompts": len(times)}
    row |= {"device GiB": watch.peak_gib, "host GiB": watch.host_gib, "of it private GiB": watch.private_gib}
    row["artifact MB"] = max(sizes) / 1e6
    bench.table(f"One worker with all stages through Ray: {_name(size)}", [row])
