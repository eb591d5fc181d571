"""The device that workers on this machine would use."""

from __future__ import annotations

from collections.abc import Iterator
from importlib import metadata
from pathlib import Path

from farm.doctor.finding import Finding, fail, ok, warn
from jobs.spec import EngineConfig

GIB = 2**30
DECODE_BYTES = 8 * GIB
"""Peak of decoding 97 frames at 1536x1024 with an LTX VAE, measured."""


def check_device(engine: EngineConfig | None) -> Iterator[Finding]:
    """torch, its device, and the device's memory against what the stages need."""
    try:
        import torch
    except ImportError as error:
        yield fail("torch", f"cannot be imported: {error}", "pip install torch")
        return
    built = f"CUDA {torch.version.cuda}" if torch.version.cuda else "the CPU"
    yield ok("torch", f"{metadata.version('torch')} for {built}")
    if torch.cuda.is_available():
        yield from _gpus(engine)
    elif Path("/proc/driver/nvidia/version").exists():
        yield fail(
            "gpu",
            "an NVIDIA driver is there, but torch sees no GPU",
            "install a torch built for this driver's CUDA",
        )
    elif engine and engine.checkpoint:
        yield warn("gpu", "no GPU: real models take hours a clip on a CPU", "run on a machine with a GPU")
    else:
        yield ok("gpu", "none; the bundled tiny model runs on the CPU")


def _gpus(engine: EngineConfig | None) -> Iterator[Finding]:
    import torch

    need = _weights(engine) + (DECODE_BYTES if engine and engine.checkpoint else 0)
    for number in range(torch.cuda.device_count()):
        facts = torch.cuda.get_device_properties(number)
        said = f"{facts.name}, {facts.total_memory / GIB:.0f} GiB"
        if need > facts.total_memory:
            message = f"{said}; weights and decode need about {need / GIB:.0f} GiB together"
            yield warn("gpu", message, "split the stages: --topology sample=1,upscale+decode=1")
        else:
            yield ok("gpu", said)


def _weights(engine: EngineConfig | None) -> int:
    names = (
        (engine.checkpoint, engine.diffusion_model, engine.text_encoder, engine.upscale_model)
        if engine
        else ()
    )
    return sum(Path(name).stat().st_size for name in names if name and Path(name).is_file())
