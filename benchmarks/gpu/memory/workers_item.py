"""What workers of real models need on the device beside what `auto` reckons for them, and what it costs to
bring models over and to merge LoRAs."""

from __future__ import annotations

import time
from collections.abc import Callable, Iterable, Iterator
from dataclasses import dataclass, field
from functools import partial
from pathlib import Path
from typing import TYPE_CHECKING, Any

from actors.device import DeviceThread, failed_allocations
from benchmarks.gpu.bench import Clip
from benchmarks.gpu.decode_items import MARGIN_GIB, STAGES, engine_settings
from benchmarks.gpu.films import Film, graph_of, inputs_of, open_engine
from benchmarks.gpu.memory.out_of_memory import smallest
from benchmarks.gpu.watch import GIB, Peak, wait
from benchmarks.gpu.weights import PUBLISHED

if TYPE_CHECKING:
    from benchmarks.gpu.bench import Bench
    from jobs.tasks.task import StageTask

WORKERS = (("encode", "sample"), ("upscale",), ("decode",), STAGES)
TRIALS, SHARE = 7, 8
"""Decodes that it takes to find the least memory that one needs, and the part of the time left that they may
take."""
RANK = 64
LINEAR = ("to_q", "to_k", "to_v", "to_out.0", "net.0.proj", "net.2")
"""Layers of a block that LoRAs change most often."""


def clips(bench: Bench) -> list[Clip]:
    """Sizes of the base pass; the second one has twice the width and height."""
    if not bench.real:
        return [bench.clip]
    return [Clip(768, 512, 97, 0, 0, 2, 1), Clip(960, 544, 121, 0, 0, 2, 1)]


@dataclass
class Measured:
    """GiB: models by name, and by stage what it uses of them and its peak beside them; by stage the seconds
    of a warm task. `tried`: the decode's is the least that it runs with; else it is what its tensors took."""

    models: dict[str, float] = field(default_factory=dict)
    used: dict[str, set[str]] = field(default_factory=dict)
    peaks: dict[str, float] = field(default_factory=dict)
    seconds: dict[str, float] = field(default_factory=dict)
    runtime: float = 0.0
    tried: bool = False

    @classmethod
    def of(cls, engine: Any, bench: Bench) -> Measured:
        """The models of an engine."""
        return cls(models=_models(engine, bench), runtime=runtime_gib(bench))

    def model_rows(self) -> list[dict[str, Any]]:
        return [{"model": name, "GiB": gib} for name, gib in self.models.items()]

    def worker(self, stages: Iterable[str]) -> float:
        """What a worker needs that keeps the models of all its stages."""
        hosted = [stage for stage in stages if stage in self.peaks]
        names = {name for stage in hosted for name in self.used[stage]}
        models = sum(self.models[name] for name in names)
        return self.runtime + models + max(self.peaks[stage] for stage in hosted)


def item(size: str, dtype: str = "auto") -> Callable[[Bench], None]:
    """The item of a model in a number type."""

    def run(bench: Bench) -> None:
        settings = engine_settings(bench, size) | {"dtype": dtype}
        engine = open_engine(bench, settings, STAGES)
        measured = Measured.of(engine, bench)
        rows = []
        for clip in clips(bench):
            film = Film("memory", settings, clip, extends=0, sound=size in PUBLISHED)
            rows += list(cells(bench, engine, film, measured))
            bench.table(f"Workers on the device: {size}, {dtype}", rows)
        bench.table(f"Models on the device: {size}, {dtype}", measured.model_rows())
        bench.table(f"Models brought over and merged: {size}, {dtype}", _exchanges(bench, engine, settings))

    return run


def cells(bench: Bench, engine: Any, film: Film, measured: Measured) -> Iterator[dict[str, Any]]:
    """A row for each kind of worker: what it needs for the film, and what is reckoned for it."""
    from farm.topology.memory import engine_footprint
    from jobs.spec.engine import EngineConfig
    from jobs.tasks.task import Stage

    tasks = list(graph_of(bench, film, engine.modes()["attention_mode"]).tasks.values())
    _measure(bench, engine, tasks, measured)
    reckoned = engine_footprint(EngineConfig(**film.engine), tasks, 1000.0)
    assert reckoned is not None
    clip = film.clip
    for stages in WORKERS:
        mono = stages == STAGES
        need, told = measured.worker(stages), reckoned.together_gib([Stage(stage) for stage in stages])
        yield {
            "base clip": f"{clip.width}x{clip.height}x{clip.frames}",
            "worker": "mono" if mono else "+".join(stages),
            "measured GiB": need,
            "reckoned GiB": told,
            "reckoned / measured": told / need,
            "within what is reckoned": ""
            if stages != STAGES
            else _fits(bench, engine, tasks, told, measured),
            "beside the models GiB": max(measured.peaks.get(stage, 0.0) for stage in stages),
        }


def _measure(bench: Bench, engine: Any, tasks: list[StageTask], measured: Measured) -> None:
    """Runs each stage once warm, and once for its peak."""
    from actors.steps.run import run_stage

    residents, known = engine._runner.residents, dict[str, Any]()
    plain = residents.get
    for task in (task for task in tasks if task.stage.value != "segment"):
        used: set[str] = set()

        def get(name: str, used: set[str] = used) -> Any:
            used.add(name)
            return plain(name)

        residents.get = get
        try:
            known[task.id] = run_stage(task, inputs_of(task, known), engine, Path())
            wait(bench.device)
            engine.free("cache")
            start = time.perf_counter()
            with Peak(bench.device) as peak:
                run_stage(task, inputs_of(task, known), engine, Path())
        finally:
            del residents.get
        measured.seconds[task.stage.value] = time.perf_counter() - start
        measured.used[task.stage.value] = used.union(engine._runner.needs[task.stage])
        measured.peaks[task.stage.value] = peak.gib
        if task.stage.value == "decode":
            whole = partial(run_stage, task, inputs_of(task, known), engine, Path())
            measured.tried = TRIALS * measured.seconds["decode"] < bench.left_s / SHARE
            if measured.tried:
                measured.peaks["decode"] = _least(bench, whole, peak)


def _least(bench: Bench, run: Callable[[], Any], peak: Peak) -> float:
    """What a decode needs so that no allocation fails: convolutions that get no workspace take another way.
    More than what tensors take, by what lies between them."""
    if not bench.device.startswith("cuda"):
        return peak.gib
    import torch

    total = torch.cuda.get_device_properties(0).total_memory / GIB
    resident = torch.cuda.memory_allocated() / GIB

    def fits(gib: float) -> bool:
        torch.cuda.empty_cache()
        torch.cuda.set_per_process_memory_fraction((resident + gib) / total)
        failed = failed_allocations(bench.device)
        try:
            DeviceThread().run(run)  # which has no kernels that an earlier trial chose
            wait(bench.device)
        except torch.OutOfMemoryError:
            return False
        return failed_allocations(bench.device) == failed

    try:
        return smallest(fits, peak.gib, 1.5 * peak.reserved_gib, MARGIN_GIB)
    finally:
        torch.cuda.set_per_process_memory_fraction(1.0)


def _fits(bench: Bench, engine: Any, tasks: list[StageTask], gib: float, measured: Measured) -> str:
    """Whether all stages run where no more than `gib` may be used, without an allocation that fails."""
    from actors.steps.run import run_stage

    if not bench.device.startswith("cuda"):
        return "yes"
    import torch

    engine.free("cache")
    total = torch.cuda.get_device_properties(0).total_memory / GIB
    torch.cuda.set_per_process_memory_fraction((gib - measured.runtime) / total)
    failed, known = failed_allocations(bench.device), dict[str, Any]()
    alone = DeviceThread()  # what convolutions choose while memory is short ends with it
    try:
        for task in (task for task in tasks if task.stage.value != "segment"):
            known[task.id] = alone.run(partial(run_stage, task, inputs_of(task, known), engine, Path()))
        wait(bench.device)
    except torch.OutOfMemoryError:
        return "NO: out of memory"
    finally:
        alone.close()
        torch.cuda.set_per_process_memory_fraction(1.0)
    more = failed_allocations(bench.device) - failed
    return f"NO: {more} failed" if more else "yes"


def _models(engine: Any, bench: Bench) -> dict[str, float]:
    """GiB on the device by model, as they come over; of those that the files hold."""
    residents, found = engine._runner.residents, {}
    names = [name for name in residents._load if name != "temporal_upsampler"]
    for name in names:
        residents.get(name)
    residents.evict()
    for name in names:
        before = _allocated(bench)
        residents.get(name)
        found[name] = _allocated(bench) - before
    return found


def _allocated(bench: Bench) -> float:
    if not bench.device.startswith("cuda"):
        return 0.0
    import torch

    torch.cuda.synchronize()
    return torch.cuda.memory_allocated() / GIB


def runtime_gib(bench: Bench) -> float:
    """GiB that the process holds beside what its allocator has."""
    if not bench.device.startswith("cuda"):
        return 0.1
    import pynvml
    import torch

    pynvml.nvmlInit()
    used = pynvml.nvmlDeviceGetMemoryInfo(pynvml.nvmlDeviceGetHandleByIndex(0)).used
    return (used - torch.cuda.memory_reserved()) / GIB


def _exchanges(bench: Bench, engine: Any, settings: dict[str, Any]) -> list[dict[str, Any]]:
    """Seconds to bring the transformer over, and to go from one LoRA to another and to none."""
    from farm.topology.file_sizes import file_gib
    from jobs.spec.engine import LoraUse

    residents, rows = engine._runner.residents, []
    gib = file_gib(Path(settings["checkpoint"]))

    def timed(what: str, run: Callable[[], Any], size: float) -> None:
        wait(bench.device)
        start = time.perf_counter()
        run()
        wait(bench.device)
        taken = time.perf_counter() - start
        rows.append({"what": what, "s": taken, "GiB": size, "GiB/s": size / taken})

    residents.evict()
    timed("models from host memory", lambda: [residents.get(name) for name in residents._models], gib)
    model = residents.get("denoising")
    one, other = (LoraUse(_lora(bench, model.transformer, name), 0.8) for name in ("one", "other"))
    merges = (("a LoRA", (one,)), ("another", (other,)), ("the first again", (one,)), ("none", ()))
    for what, uses in merges:
        timed(f"to {what}", partial(model.loras.use, "sample", uses), gib)
    return rows


def _lora(bench: Bench, transformer: Any, name: str) -> str:
    """A LoRA file over the linear layers of all blocks, random."""
    import torch
    from safetensors.torch import save_file

    from actors.engines.diffusers.fused.fp8 import Fp8Linear

    generator = torch.Generator(bench.device).manual_seed(len(name))
    tensors = {}
    for at, module in transformer.transformer_blocks.named_modules():
        named = f"transformer.transformer_blocks.{at.replace('.inner.', '.')}"
        if at.endswith(LINEAR) and isinstance(module, (torch.nn.Linear, Fp8Linear)):
            for side, shape in (("A", (RANK, module.in_features)), ("B", (module.out_features, RANK))):
                drawn = torch.randn(shape, generator=generator, device=bench.device) * 0.01
                tensors[f"{named}.lora_{side}.weight"] = drawn.bfloat16().cpu()
    path = bench.folder(name) / "lora.safetensors"
    save_file(tensors, path)
    return str(path)
