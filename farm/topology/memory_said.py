"""What is said of the memory that a job's models need."""

from __future__ import annotations

from collections.abc import Collection
from typing import TYPE_CHECKING

from farm.topology.model_sizes import unknown_sizes
from jobs.tasks.task import Stage
from jobs.tasks.topology import AUTO
from jobs.weights.use import TEXT_ENCODER, TRANSFORMER

if TYPE_CHECKING:
    from farm.topology.candidates import Footprint
    from jobs.spec.engine import EngineConfig


def memory_line(
    engine: EngineConfig,
    needed: Footprint | None,
    device_gib: float | None,
    topology: str,
    stages: Collection[Stage],
) -> str:
    """What `farm plan` says of a job with these stages left, on GPUs of that size."""
    streams = streams_said(needed)
    if topology != AUTO:
        return _joined("not checked, as the topology is given", streams)
    if not device_gib:
        return "not checked; --gpu-memory GIB does"
    held, notice = f"models are held against {device_gib:g} GiB a GPU", memory_notice(engine, needed)
    if needed is None or not stages:
        return notice or held
    largest = max(stages, key=lambda stage: needed.together_gib((stage,)))
    tiled = " in tiles" if needed.whole_decode_gib and largest is Stage.DECODE else ""
    need = (
        f"all stages together need about {needed.together_gib(stages):.0f}, "
        f"{largest} alone {needed.together_gib((largest,)):.0f}{tiled}"
    )
    return _joined(held, need, notice, streams)


def memory_notice(engine: EngineConfig, footprint: Footprint | None) -> str:
    """What a user should know of the models' memory; empty where all is known and fits in some way."""
    if unknown := unknown_sizes(engine):
        return f"model sizes unknown ({', '.join(unknown)}), memory is not checked"
    return in_tiles(footprint) if footprint is not None and footprint.whole_decode_gib else ""


def in_tiles(footprint: Footprint) -> str:
    """What is said of decodes that do not fit whole."""
    need_gib, has_gib = footprint.whole_decode_gib, footprint.device_gib
    return (
        f"decode needs about {need_gib:.0f} GiB, one GPU has {has_gib:.0f}: it is done in tiles there, with "
        "other bytes than on a larger one"
    )


def streams_said(footprint: Footprint | None) -> str:
    """What is said of models that are streamed; empty where none is."""
    streamed = footprint.streamed if footprint is not None else {}
    does = {TEXT_ENCODER: "reading prompts", TRANSFORMER: "sampling"}
    doing = " and ".join(what for model, what in does.items() if model in streamed)
    if not doing:
        return ""
    bring = "bring their" if len(streamed) > 1 else "brings its"
    host_gib = sum(streamed.values())
    return (
        f"{doing} {bring} blocks over from host memory one by one: slower, same film; "
        f"each worker needs up to {host_gib:.0f} GiB of host memory for them, which is not checked"
    )


def _joined(*said: str) -> str:
    return "; ".join(filter(None, said))
