"""How long a stage task is expected to take: rates per model and device, corrected by what was measured.

`known` has the times of the 2B model; larger models, known by their files, take as much longer as was
measured for them. What a run measures is kept beside the runs as the ratio of measured to such an
expected time, by engine, model, device, stage and size; a size never seen takes the ratio of its stage, a
stage never seen that of its device. Frames of a source are read by no model and have times of their own.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping
from contextlib import suppress
from dataclasses import dataclass, field, replace
from functools import partial
from types import MappingProxyType
from typing import TYPE_CHECKING

from farm.estimates.known import brought_s, expected_s, model_s
from farm.estimates.model_size import ratios
from farm.scheduler.config import SchedulerConfig, budget_bytes
from farm.simulator.gangs import usual_speed
from farm.simulator.simulate import SimulationConfig
from jobs.errors import FarmError, StorageProblem
from jobs.records import Form
from jobs.spec.engine import EngineConfig
from jobs.store.documents import Documents
from jobs.store.opening import open_backend
from jobs.tasks.task import Stage, StageTask
from jobs.tasks.topology import MOST_RANKS
from jobs.weights.use import TEXT_ENCODER, TRANSFORMER

if TYPE_CHECKING:
    from jobs.spec.run import Run
    from jobs.store.store import Store

BUNDLED_ON_CPU: Mapping[str, float] = {
    "diffusers|bundled|cpu|sample": 72.0,
    "diffusers|bundled|cpu|upscale": 24.0,
    "diffusers|bundled|cpu|decode": 40.0,
}
"""Ratios to start from for the model that everybody tries first: the means of two renders of
`examples/demo.yaml` on two cores."""

ALONE = {"pictures": "sound", "steps": "canvas"}
"""What tasks make that do without."""

IN_FP8 = " in fp8"
"""Behind a model's name: its steps take other times then."""

STREAMED = " streamed"
"""Likewise."""
MODEL_OF: Mapping[Stage, str] = MappingProxyType(
    {Stage.ENCODE: TEXT_ENCODER, Stage.SAMPLE: TRANSFORMER, Stage.UPSCALE: TRANSFORMER}
)
"""The model of a stage that may be streamed."""

FOLDER, FILE = "durations", "durations.json"
MOST_COUNTED = 50
"""Measurements that one mean remembers: a new one has at least the weight of one of them."""


@dataclass(frozen=True, slots=True)
class Hardware:
    """Where tasks were measured. Segments are encoded on CPUs, wherever the models run, and a source's frames
    are read there by ffmpeg, whatever the engine. Blocks of `streamed` models come over from host memory, the
    GiB of each for every forward."""

    engine: EngineConfig
    device: str
    streamed: Mapping[str, float] = field(default_factory=dict, hash=False)

    def shared_by(self, ranks: int) -> Hardware:
        """A gang of that many such devices."""
        return self if ranks == 1 else replace(self, device=f"{self.device}x{ranks}")

    def key(self, stage: Stage) -> str:
        weights = self.engine.diffusion_model or self.engine.checkpoint or "bundled"
        device = "core" if stage is Stage.SEGMENT else self.device
        rounded = IN_FP8 if self.engine.dtype == "fp8" else ""
        model = f"{str(weights).rsplit('/', 1)[-1]}{rounded}"
        return f"{self.engine.name}|{model}{STREAMED if self.streams(stage) else ''}|{device}"

    def streams(self, stage: Stage) -> bool:
        """Whether the model of that stage is streamed."""
        return MODEL_OF.get(stage) in self.streamed

    def key_of(self, task: StageTask) -> str:
        """That of its stage, but of tasks that do without what others of it have."""
        if task.without == "model":
            return "ffmpeg|core"
        alone = ALONE.get(task.without)
        return f"{self.key(task.stage)}|{alone}" if alone else self.key(task.stage)


@dataclass(frozen=True, slots=True)
class TaskTimes:
    """Where one task's time went, seconds: reading its inputs, the stage step, writing the result."""

    step_s: float
    read_s: float = 0.0
    commit_s: float = 0.0


class Durations:
    """Running means, each with its number of measurements."""

    def __init__(self, means: Mapping[str, tuple[float, int]] | None = None) -> None:
        self.means = dict(means or {})

    def estimate(self, place: Hardware) -> Callable[[StageTask], float]:
        """What each task of a job occupies a device there, seconds: reading and the step."""
        usual = _usual(place)

        def seconds(task: StageTask) -> float:
            where, (expected, of_model) = place.key_of(task), usual(task)
            ratio = self._mean(f"{where}|{task.stage}|{_size(task)}", f"{where}|{task.stage}", where)
            if ratio is None:
                ratio = BUNDLED_ON_CPU.get(f"{where.replace(IN_FP8, '')}|{task.stage}", of_model)
            return expected * ratio + self._overhead_s(where, task.stage, "read")

        return seconds

    def commit_s(self, place: Hardware) -> dict[Stage, float]:
        """What writing a result of each stage takes there, seconds; 0 where it was never measured."""
        return {stage: self._overhead_s(place.key(stage), stage, "commit") for stage in Stage}

    @property
    def latency_s(self) -> float:
        """Between a worker and the driver, there and back, seconds."""
        return self._mean("latency") or 0.0

    def gang_speed(self, place: Hardware, ranks: int) -> float:
        """How many times as fast as one device of the place a gang samples there: as measured, where both
        were."""
        alone, together = (
            self._mean(f"{where.key(Stage.SAMPLE)}|{Stage.SAMPLE}")
            for where in (place, place.shared_by(ranks))
        )
        return alone / together if alone and together else usual_speed(ranks)

    def gang_sizes(self, place: Hardware) -> tuple[int, ...]:
        """The numbers of ranks whose speed there was measured beside that of one device."""
        if f"{place.key(Stage.SAMPLE)}|{Stage.SAMPLE}" not in self.means:
            return ()
        sizes = range(2, MOST_RANKS + 1)
        return tuple(
            size
            for size in sizes
            if f"{place.shared_by(size).key(Stage.SAMPLE)}|{Stage.SAMPLE}" in self.means
        )

    def simulation(
        self, place: Hardware, run: Run, swap_s: Mapping[str, float] | None = None
    ) -> SimulationConfig:
        """What costs time there beside the stages, as far as it was measured, with `swap_s` to load a model,
        and what `run` holds back."""
        one_way_s = self.latency_s / 2
        return SimulationConfig(
            handoff_s=one_way_s,
            commit_s=self.commit_s(place),
            report_s=one_way_s,
            gang_speed=partial(self.gang_speed, place),
            scheduler=SchedulerConfig(budget_bytes=budget_bytes(run), swap_s=swap_s or {}),
        )

    def observe(self, place: Hardware, task: StageTask, times: TaskTimes) -> None:
        """A task of the job took `times` there."""
        if self.observe_step(place, task, times.step_s):
            where = place.key_of(task)
            self._add(f"{where}|{task.stage}|read", times.read_s)
            self._add(f"{where}|{task.stage}|commit", times.commit_s)

    def observe_step(self, place: Hardware, task: StageTask, step_s: float) -> bool:
        """The stage step of such a task took `step_s` seconds; False where that says nothing."""
        usual_s, where = _usual(place)(task)[0], place.key_of(task)
        if usual_s <= 0 or step_s < 0:
            return False
        for key in (f"{where}|{task.stage}|{_size(task)}", f"{where}|{task.stage}", where):
            self._add(key, step_s / usual_s)
        return True

    def observe_latency(self, seconds: float) -> None:
        """A message to a worker and its answer took `seconds`, the work itself not counted."""
        self._add("latency", max(0.0, seconds))

    def knows(self, place: Hardware, task: StageTask) -> bool:
        """Whether a task of this stage and size was measured there."""
        return f"{place.key_of(task)}|{task.stage}|{_size(task)}" in self.means

    def tells(self, place: Hardware) -> bool:
        """Whether estimates there rest on more than the constants, which are of one model and device."""
        where = place.key(Stage.SAMPLE)
        given = place.engine.name == "fake" or f"{where}|{Stage.SAMPLE}" in BUNDLED_ON_CPU
        return given or where in self.means

    def _overhead_s(self, where: str, stage: Stage, what: str) -> float:
        return self._mean(f"{where}|{stage}|{what}") or 0.0

    def _mean(self, *keys: str) -> float | None:
        """The first of these that was measured."""
        return next((self.means[key][0] for key in keys if key in self.means), None)

    def _add(self, key: str, value: float) -> None:
        known, count = self.means.get(key, (0.0, 0))
        count = min(count + 1, MOST_COUNTED)
        self.means[key] = (known + (value - known) / count, count)


@dataclass(frozen=True, slots=True)
class KeptDurations:
    """What is kept beside the runs: a mean and its number of measurements, by what was measured."""

    means: dict[str, tuple[float, int]] = field(default_factory=dict)


DURATIONS_FORM = Form(FILE, KeptDurations)


def read_durations(runs_url: str) -> Durations:
    """What runs under `runs_url` have measured; empty where nothing was, or where it cannot be read."""
    try:
        kept = Documents(open_backend(runs_url, FOLDER)).recall(DURATIONS_FORM)
    except (FarmError, OSError):
        return Durations()
    return Durations(kept.means if kept else None)


def keep_durations(runs_url: str, durations: Durations) -> None:
    """Adds these to what is kept beside the runs. A store that refuses, or what a newer version keeps there,
    costs an estimate, never a render."""
    try:
        place = Documents(open_backend(runs_url, FOLDER))
        place.require_ours(DURATIONS_FORM)
        kept = read_durations(runs_url).means | durations.means
        place.save(DURATIONS_FORM, KeptDurations(dict(sorted(kept.items()))))
    except (FarmError, OSError):
        return


def keep_measured(store: Store, durations: Durations) -> None:
    """Keeps what a job has measured; nothing is written where its run directory went away."""
    with suppress(StorageProblem):
        if store.exists():
            keep_durations(store.runs_url, durations)


def _usual(place: Hardware) -> Callable[[StageTask], tuple[float, float]]:
    """By task the seconds that the constants say, and how many times as long the place's model takes. Blocks
    that come over take as long beside any computing: with a streamed model the first has both."""
    expected, ratio_of = expected_s(place.engine), ratios(place.engine)

    def usual(task: StageTask) -> tuple[float, float]:
        seconds, ratio = expected(task), 1.0 if task.without else ratio_of.get(task.stage, 1.0)
        waits_s = brought_s(task, place.streamed)
        return (seconds * ratio + waits_s, 1.0) if waits_s else (seconds, ratio)

    return usual


def _size(task: StageTask) -> str:
    """What a task's duration depends on beside its model: the expected work, to three digits."""
    return f"{model_s(task):.3g}"
