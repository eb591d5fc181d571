"""Ten clips of one film of LTX-2.3 with sound, distilled in two passes, through Ray on one worker."""

from __future__ import annotations

import time
from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import TYPE_CHECKING, Any

from benchmarks.gpu.bench import Bench, Clip
from benchmarks.gpu.decode_items import engine_settings
from benchmarks.gpu.farm_items import stage_rows
from benchmarks.gpu.films import Film, Rendered, stage_of, watched
from benchmarks.gpu.peers.clip import RATE, clip_of
from benchmarks.gpu.ray_here import one_ray

if TYPE_CHECKING:
    from benchmarks.gpu.peers.clip import Clip as FinalClip
    from farm.events import Event

SIZE, CLIPS = "ltx2.3", 10


@dataclass(frozen=True)
class Distilled(Film):
    """A film at the distilled levels, each of its shots one clip with a seed of its own."""

    shots: int = 1

    def document(self, out: Path) -> dict[str, Any]:
        """The job spec."""
        document = super().document(out)
        levels = {"cfg": 1.0, "sampler": "euler"}
        document["defaults"] |= levels | {"frame_rate": RATE, "sigmas": "distilled"}
        del document["defaults"]["steps"]
        document["upscale"] = levels
        (video,) = document["videos"]
        generate = {"num_frames": self.clip.frames}
        video["chunks"] = [{"generate": generate | {"seed": seed}} for seed in range(self.shots)]
        return document


def distilled(name: str, settings: Mapping[str, Any], clip: FinalClip, shots: int = 1) -> Distilled:
    """The film whose second pass has the size of `clip`, and its first one half of it."""
    base = Clip(clip.width // 2, clip.height // 2, clip.frames, 0, 0, steps=8, refine=3)
    return Distilled(name, settings, base, extends=0, sound=True, shots=shots)


def item(dtype: str) -> Callable[[Bench], None]:
    """The item in a number type."""

    def run(bench: Bench) -> None:
        settings = engine_settings(bench, SIZE) | {"dtype": dtype}
        clips = bench.count(CLIPS, 3)
        with one_ray():
            film = distilled(f"film-{dtype}", settings, clip_of(bench), shots=clips)
            told = Told(bench, clips, f"{SIZE}, {dtype}")
            made, watch = watched(bench, film, "mono", on_event=told.apply)
        told.show(made, {"busy, steady": watch.busy(*made.steady()), "device GiB": watch.peak_gib})
        bench.table(f"Stages of one film: {SIZE}, {dtype}", stage_rows(made))

    return run


@dataclass
class Told:
    """Keeps a table of the film as far as it is: one that is stopped has told of its clips."""

    bench: Bench
    clips: int
    what: str
    start_s: float = field(default_factory=time.monotonic)
    first: dict[str, float] = field(default_factory=dict)
    """When an event of each kind first happened, seconds after the start of the render."""

    def apply(self, event: Event, made: Rendered) -> None:
        """Takes what happened."""
        from farm import events

        now_s = time.monotonic() - self.start_s
        self.first.setdefault(type(event).__name__, now_s)
        if isinstance(event, events.TaskCommitted) and stage_of(event.task) == "segment":
            self.show(made, {})

    def show(self, made: Rendered, more: dict[str, Any]) -> None:
        """Write the table."""
        done = sorted(at for task, at in made.finished.items() if stage_of(task) == "segment")
        decoded = sorted(at for task, at in made.finished.items() if stage_of(task) == "decode")
        row: dict[str, Any] = {"what": self.what, "clip": clip_of(self.bench).name}
        row |= {"clips": len(done), "of": self.clips, **self._loading(made)}
        row["first clip s"] = done[0] - made.first_s
        row["all clips s"] = made.last_s - made.first_s
        if decoded[1:]:
            row["a clip, steady s"] = (decoded[-1] - decoded[0]) / (len(decoded) - 1)
        whole_s = (made.end_s or time.monotonic()) - self.start_s
        row |= {"in all s": whole_s, "a clip, in all s": whole_s / len(done)}
        self.bench.table(f"One film through Ray on one worker: {self.what}", [row | more])

    def _loading(self, made: Rendered) -> dict[str, Any]:
        """Until a worker has its place model files are digested, then it loads them."""
        return {
            "until a worker is placed s": self.first.get("WorkerPlaced"),
            "worker ready s": max(made.ready_s.values(), default=None),
            "until the first task s": made.first_s - self.start_s,
        }
