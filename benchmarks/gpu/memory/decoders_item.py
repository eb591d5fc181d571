"""Workers of LTX-2.5 with either decoder of its video: memory, seconds of each stage, equal bytes."""

from __future__ import annotations

import time
from collections.abc import Callable
from pathlib import Path
from typing import TYPE_CHECKING, Any

from benchmarks.gpu.decode_items import STAGES, engine_settings
from benchmarks.gpu.film_item import distilled
from benchmarks.gpu.films import Film, open_engine
from benchmarks.gpu.memory.two_workers import compared
from benchmarks.gpu.memory.workers_item import Measured, cells
from benchmarks.gpu.peers.clip import Clip
from benchmarks.gpu.weights import pixels_beside

if TYPE_CHECKING:
    from benchmarks.gpu.bench import Bench

SIZE = "ltx2.5"
CLIPS = (Clip(1536, 1024, 97), Clip(1920, 1088, 121))
"""Of the second pass."""
REHEARSAL = Clip(128, 128, 17)
AGAIN = 2.5
"""The second clip takes this many times what the first one took: it has twice the tokens of a pass, whose
attention grows with their square."""


def item(diffusion: bool) -> Callable[[Bench], None]:
    """The item of a decoder: the one that denoises pixels, or the one of convolutions."""

    def run(bench: Bench) -> None:
        settings = engine_settings(bench, SIZE)
        if diffusion:
            settings["vae"] = str(pixels_beside(Path(settings["checkpoint"])))
        what = f"{SIZE}, {'diffusion decoder' if diffusion else 'decoder of convolutions'}"
        _Item(bench, settings, what).run()

    return run


class _Item:
    """Tables as far as time allows; what it did not allow is a row that says so."""

    def __init__(self, bench: Bench, settings: dict[str, Any], what: str) -> None:
        self.bench, self.settings, self.what = bench, settings, what
        self.workers: list[dict[str, Any]] = []
        self.stages: list[dict[str, Any]] = []

    def run(self) -> None:
        """The first clip, two workers' bytes of it, and the second clip."""
        start = time.monotonic()
        engine = open_engine(self.bench, self.settings, STAGES)
        load_s = time.monotonic() - start
        measured = Measured.of(engine, self.bench)
        rows = [*measured.model_rows(), {"model": "all of them, loaded", "s": load_s}]
        self.bench.table(f"Models on the device: {self.what}", rows)
        first, *others = CLIPS if self.bench.real else (REHEARSAL,)
        clip_s = self._measured(engine, first, measured)
        # A second worker loads models beside the other, then each makes the film once.
        together = self._two(engine, first, measured, 2.0 * load_s + 3.0 * sum(measured.seconds.values()))
        if others and not together:
            engine = open_engine(self.bench, self.settings, STAGES)
        for clip in others:
            self._measured(engine, clip, measured, AGAIN * clip_s)

    def _measured(self, engine: Any, clip: Clip, measured: Measured, need_s: float = 0.0) -> float:
        """Rows of one clip; the seconds that they took."""
        start = time.monotonic()
        if need_s > self.bench.left_s:
            self.workers.append({"base clip": f"of {clip.name}", "worker": self._not_measured(need_s)})
            self._show()
            return 0.0
        self.workers += cells(self.bench, engine, self._film(clip), measured)
        row: dict[str, Any] = {"clip": clip.name, "steps": "8 and 3"}
        row |= {f"{stage} s": seconds for stage, seconds in measured.seconds.items()}
        row["decode's memory"] = "least that it runs with" if measured.tried else "of its tensors"
        self.stages.append(row)
        self._show()
        return time.monotonic() - start

    def _show(self) -> None:
        self.bench.table(f"Workers on the device: {self.what}", self.workers)
        self.bench.table(f"Seconds of a warm stage: {self.what}", self.stages)

    def _two(self, engine: Any, clip: Clip, measured: Measured, need_s: float) -> bool:
        """Two workers' bytes; whether they worked at the same time, and this engine is still open."""
        if need_s > self.bench.left_s:
            rows, together = [{"task": self._not_measured(need_s)}], True
        else:
            rows, together = compared(self.bench, self._film(clip), engine, measured.worker(STAGES))
        self.bench.table(f"Bytes of two workers, {clip.name}: {self.what}", rows)
        return together

    def _not_measured(self, need_s: float) -> str:
        return f"not measured: takes about {need_s:.0f} s, {self.bench.left_s:.0f} s were left"

    def _film(self, clip: Clip) -> Film:
        return distilled("decoders", self.settings, clip)
