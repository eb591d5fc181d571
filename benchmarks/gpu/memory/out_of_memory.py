"""What a decode does when memory runs out."""

from __future__ import annotations

from collections.abc import Callable
from functools import partial
from typing import TYPE_CHECKING, Any

from actors.device import DeviceThread, failed_allocations
from benchmarks.gpu.decode_items import MARGIN_GIB, STAGES, TIGHT, engine_settings, known_tasks, whole_decode
from benchmarks.gpu.films import (
    Film,
    Rendered,
    inputs_of,
    open_engine,
    render,
    stage_of,
)
from benchmarks.gpu.watch import GIB, Peak, wait

if TYPE_CHECKING:
    from benchmarks.gpu.bench import Bench


def out_of_memory(bench: Bench) -> None:
    """A decode that does not fit, for real: the allocator is limited once everything has been sampled."""
    film = Film("oom", engine_settings(bench, "2b"), bench.clip, extends=0, keep="all")
    least_gib = _least_gib(bench, film)
    rows: list[dict[str, Any]] = []
    frames = ""
    for name, limit in (
        ("nothing", None),
        ("the decode beside the models", _Limit(bench, least_gib + MARGIN_GIB)),
        ("the decode alone", _Limit(bench, TIGHT * least_gib)),
    ):
        try:
            made = render(bench, film, "serial", limit.on_event if limit else None)
        finally:
            if limit:
                limit.lift()
        decode, sample, upscale = (_of(made, stage) for stage in ("decode", "sample", "upscale"))
        frames = frames or decode.sha256
        rows.append(
            {
                "what does not fit": name,
                "limit GiB": limit.gib if limit else "none",
                "outcome": made.outcome,
                "decode attempts": decode.provenance["attempt"],
                "sample attempts": sample.provenance["attempt"],
                "upscale attempts": upscale.provenance["attempt"],
                "ladder": " > ".join(decode.provenance["ladder"]) or "none",
                "frames equal": decode.sha256 == frames,
                "exact": made.exact,
            }
        )
        title = "Memory that really runs out in the decoder"
        bench.table(f"{title} (alone it needs {least_gib:.1f} GiB)", rows)


def _of(made: Rendered, stage: str) -> Any:
    """The commit of a film's only task of a stage."""
    found = [commit for commit in made.commits.values() if stage_of(str(commit.provenance["task"])) == stage]
    (only,) = found
    return only


class _Limit:
    """Takes memory away when the decode begins."""

    def __init__(self, bench: Bench, gib: float) -> None:
        self.bench, self.gib, self._set = bench, gib, False

    def on_event(self, event: Any, made: Rendered) -> None:
        from farm.events import TaskStarted

        if isinstance(event, TaskStarted) and stage_of(event.task) == "decode" and not self._set:
            self._set = True
            self._take()

    def _take(self) -> None:
        if not self.bench.device.startswith("cuda"):
            return _fail_whole_decodes()
        import torch

        torch.cuda.empty_cache()
        total = torch.cuda.get_device_properties(0).total_memory / GIB
        torch.cuda.set_per_process_memory_fraction(self.gib / total)
        return None

    def lift(self) -> None:
        if self.bench.device.startswith("cuda"):
            import torch

            torch.cuda.set_per_process_memory_fraction(1.0)
            torch.cuda.empty_cache()
        else:
            _allow_whole_decodes()


def _least_gib(bench: Bench, film: Film) -> float:
    """The smallest limit under which the film's decode runs alone without an allocation that fails, found by
    halving; 0 on a CPU."""
    if not bench.device.startswith("cuda"):
        return 0.0
    import torch

    engine = open_engine(bench, film.engine, STAGES)
    tasks, known = known_tasks(bench, film, engine)
    decode, clip = tasks["decode"], _clip(tasks["decode"], known)
    engine.free("resident")
    with Peak(bench.device) as peak:
        engine.decode(decode.params, clip)
        wait(bench.device)
    total = torch.cuda.get_device_properties(0).total_memory / GIB

    def fits(gib: float) -> bool:
        torch.cuda.set_per_process_memory_fraction(gib / total)
        # A thread of its own has no kernels that an earlier trial chose.
        return DeviceThread().run(partial(_fits, bench, engine, decode, clip))

    least = smallest(fits, peak.gib / 2, min(total, peak.reserved_gib + MARGIN_GIB), MARGIN_GIB)
    torch.cuda.set_per_process_memory_fraction(1.0)
    engine.close()
    torch.cuda.empty_cache()
    return least


def smallest(fits: Callable[[float], bool], low: float, high: float, margin: float) -> float:
    """What fits and is at most `margin` above what does not; `low` is taken not to fit, `high` to fit."""
    while high - low > margin:
        middle = (low + high) / 2
        low, high = (low, middle) if fits(middle) else (middle, high)
    return high


def _fits(bench: Bench, engine: Any, decode: Any, clip: Any) -> bool:
    import torch

    failed = failed_allocations(bench.device)
    try:
        engine.free("resident")
        engine.decode(decode.params, clip)
        wait(bench.device)
    except torch.OutOfMemoryError:
        return False
    return failed_allocations(bench.device) == failed


def _clip(decode: Any, known: dict[str, Any]) -> Any:
    """The latents of a decode window, context included."""
    from actors.chain import gather
    from actors.payload import Payload

    artifacts = inputs_of(decode, known)["latents"]
    clip = gather([one["latents"] for one in artifacts], decode.params.spans, decode.params.window.context)
    return Payload({"latents": clip})


def _fail_whole_decodes() -> None:
    """Where there is no device memory to take away: decodes without tiles fail as they would."""
    import torch

    from actors.engines.diffusers.codec import VideoCodec

    def fail(_self: Any, *_: Any) -> Any:
        raise torch.OutOfMemoryError("CUDA out of memory (rehearsal)")

    whole_decode.append(VideoCodec.decode)
    VideoCodec.decode = fail  # type: ignore[method-assign, assignment]


def _allow_whole_decodes() -> None:
    from actors.engines.diffusers.codec import VideoCodec

    if whole_decode:
        VideoCodec.decode = whole_decode.pop()  # type: ignore[method-assign]
