"""The device that workers on this machine would use."""

from __future__ import annotations

from collections.abc import Iterator
from importlib import metadata
from pathlib import Path
from typing import TYPE_CHECKING

from actors.engines.diffusers.fused.choice import missing_for_kernels
from farm.doctor.finding import Finding, fail, ok, warn
from farm.topology.memory import engine_footprint
from farm.topology.memory_said import in_tiles, memory_notice, streams_said
from jobs.extras import INSTALL_RENDER, lacking
from jobs.spec.engine import EngineConfig
from jobs.tasks.task import Stage, TaskGraph

if TYPE_CHECKING:
    from farm.topology.candidates import Footprint

GIB = 2**30
DRIVER = Path("/proc/driver/nvidia/version")
TILED_FIX = "a smaller picture, shorter chunks, or `decode.tiling`, which makes the same bytes everywhere"
STREAMED_FIX = "give workers that much host memory; or a larger GPU, or a smaller or quantized model"
MOST_TAKEN = 0.1
"""Share of a GPU's memory that others may hold before it is worth a word."""


def check_device(
    engine: EngineConfig | None, graph: TaskGraph | None, cluster_gpus: float = 0.0
) -> Iterator[Finding]:
    """torch, this machine's device, and the device's memory against what each stage of a job needs.

    A machine without a GPU may be the head of a cluster that has `cluster_gpus`.
    """
    try:
        import torch
    except ImportError as error:
        fix = INSTALL_RENDER if lacking("torch") else "pip install torch"
        yield fail("torch", f"cannot be imported: {error}", fix)
        return
    built = f"CUDA {torch.version.cuda}" if torch.version.cuda else "the CPU"
    driver = f", driver {_driver()}" if DRIVER.exists() else ""
    yield ok("torch", f"{metadata.version('torch')} for {built}{driver}")
    if torch.cuda.is_available():
        for number in range(torch.cuda.device_count()):
            facts = torch.cuda.get_device_properties(number)
            free, total = torch.cuda.mem_get_info(number)
            yield from check_memory(f"{number} {facts.name}", free / GIB, total / GIB)
            if engine and graph:
                needs = engine_footprint(engine, graph.tasks.values(), total / GIB)
                yield from check_fit(needs, graph.stages)
        yield from check_kernels(engine or EngineConfig(), missing_for_kernels())
        yield from check_known(engine or EngineConfig())
    elif DRIVER.exists():
        fix = "install a torch built for this driver's CUDA: pip install torch --index-url of pytorch.org"
        yield fail("gpu", f"a driver is there ({_driver()}), but torch sees no GPU", fix)
    elif cluster_gpus:
        where = "run this on a worker's node, or in its pod, to examine one"
        yield ok("gpu", f"none on this machine, {cluster_gpus:g} in the cluster; {where}")
    elif engine and engine.name != "fake" and (engine.checkpoint or engine.diffusion_model):
        yield warn("gpu", "no GPU: real models take hours a clip on a CPU", "run on a machine with a GPU")
    else:
        yield ok("gpu", "none; the bundled tiny model runs on the CPU")


def check_kernels(engine: EngineConfig, missing: str) -> Iterator[Finding]:
    """Whether the diffusers engine computes its blocks by kernels of their own, for want of nothing."""
    if engine.name != "diffusers":
        return
    if missing:
        slower = "steps take up to 1.4 times as long, and fp8 gains no time"
        fix = "pip install triton; apt install gcc python3-dev; the same on every node"
        yield warn("kernels", f"{missing} is missing: {slower}", fix)
    else:
        yield ok("kernels", "the blocks' own, by Triton")


def check_memory(name: str, free_gib: float, total_gib: float) -> Iterator[Finding]:
    """What one GPU has, and whether others sit on it."""
    taken = total_gib - free_gib
    if taken > MOST_TAKEN * total_gib:
        message = f"{name}: {taken:.0f} of {total_gib:.0f} GiB are taken by other processes"
        yield warn("gpu", message, "`nvidia-smi` shows them; end them, or take another GPU")
    else:
        yield ok("gpu", f"{name}, {total_gib:.0f} GiB")


def check_known(engine: EngineConfig) -> Iterator[Finding]:
    """Whether the models' sizes are known, so that memory can be checked."""
    if said := memory_notice(engine, None):
        yield warn("memory", said, "name the files by path; for ComfyUI's names, set COMFYUI_PATH")


def check_fit(footprint: Footprint | None, stages: frozenset[Stage]) -> Iterator[Finding]:
    """Whether each stage fits on one device, and all of them together."""
    if footprint is None:
        return
    device_gib = footprint.device_gib
    hosted = [stage for stage in Stage if stage in stages and stage is not Stage.SEGMENT]
    large = [stage for stage in hosted if footprint.together_gib((stage,)) > device_gib]
    for stage in large:
        message = f"{footprint.need_said(stage)}, one GPU has {device_gib:.0f}"
        message = "; ".join(filter(None, (message, footprint.caveat)))
        yield fail("memory", message, "a larger GPU, a smaller or quantized model, or a smaller picture")
    if said := streams_said(footprint):
        yield warn("memory", said, STREAMED_FIX)
    if footprint.whole_decode_gib and Stage.DECODE in stages:
        yield warn("memory", in_tiles(footprint), TILED_FIX)
    together = footprint.together_gib(hosted)
    if not large and together > device_gib:
        message = f"all stages together need about {together:.0f} GiB, one GPU has {device_gib:.0f}"
        yield warn("memory", message, "split them: --topology sample=1,upscale+decode=1, or auto")
    elif not large:
        leaves = footprint.at_once_gib(hosted) > device_gib
        phases = "; prompts are encoded first, then the text encoder makes room" if leaves else ""
        yield ok("memory", f"all stages together need about {together:.0f} of {device_gib:.0f} GiB{phases}")


def _driver() -> str:
    """The driver's own version, as the kernel module states it."""
    words = DRIVER.read_text().split()
    return next((word for word in words if word[:1].isdigit() and "." in word), "unknown version")
