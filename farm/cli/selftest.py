"""`farm selftest`: a model of one's own, examined on one's own card."""

from __future__ import annotations

import json
import os
from dataclasses import asdict
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any

import typer

from farm.cli.output import Output, OutputFormat, emit_json, emit_note, emit_text

if TYPE_CHECKING:
    from farm.selftest.run import SelftestRequest

SIZES = {"cpu": "128x128"}
GPU_SIZE = "768x512"


CheckpointOption = Annotated[
    Path | None, typer.Option("--checkpoint", metavar="MODEL", help="The model; the bundled one.")
]
TextEncoderOption = Annotated[
    str | None,
    typer.Option("--text-encoder", metavar="DIR", help="Folder or hub id with text_encoder/, tokenizer/."),
]
VaeOption = Annotated[Path | None, typer.Option("--vae", help="VAE, where the model has none.")]
DeviceOption = Annotated[str | None, typer.Option("--device", help="cpu, cuda or cuda:1; what is here.")]
SizeOption = Annotated[
    str | None, typer.Option("--size", metavar="WxH", help=f"Pixels; {GPU_SIZE} on a GPU, else 128x128.")
]
MinutesOption = Annotated[
    float, typer.Option("--minutes", min=0.0, help="What is not done by then is left out.")
]
UntrainedOption = Annotated[
    bool, typer.Option("--untrained", help="The weights are random: do not judge what training gives.")
]
ThreadsOption = Annotated[int, typer.Option("--threads", min=1, help="CPU threads.")]
ReportOption = Annotated[
    Path | None, typer.Option("--report", metavar="FILE", help="Write the JSON to publish here.")
]


def selftest(
    checkpoint: CheckpointOption = None,
    text_encoder: TextEncoderOption = None,
    vae: VaeOption = None,
    device: DeviceOption = None,
    size: SizeOption = None,
    minutes: MinutesOption = 15.0,
    untrained: UntrainedOption = False,
    threads: ThreadsOption = 2,
    report: ReportOption = None,
    output: Output = OutputFormat.TEXT,
) -> int:
    """Examine a model: layout, plausibility, steps beside diffusers, repetition, seams, time and memory."""
    from farm.selftest.run import examine
    from jobs.extras import require_render

    require_render("torch", "diffusers")
    if report is not None:
        _require_place(report)
    request = _request(checkpoint, text_encoder, vae, device, size, untrained, threads, minutes)
    result = examine(request, emit_note)
    if report is not None:
        report.write_text(json.dumps(asdict(result), indent=1) + "\n", encoding="utf-8")
    if output is OutputFormat.JSON:
        emit_json(result)
    else:
        cost = f"{result.seconds:.0f} s, {result.peak_gib:.2f} GiB at most"
        emit_text(f"{result.checkpoint}: {result.verdict}, {cost}")
    return 0 if result.verdict == "pass" else 3


def _request(
    checkpoint: Path | None,
    text_encoder: str | None,
    vae: Path | None,
    device: str | None,
    size: str | None,
    untrained: bool,
    threads: int,
    minutes: float,
) -> SelftestRequest:
    from cluster.local_gpus import local_device
    from farm.selftest.run import SelftestRequest
    from jobs.spec.engine import EngineConfig

    place = device or ("cpu" if local_device() == "cpu" else "cuda")
    named = {"checkpoint": checkpoint, "text_encoder": text_encoder, "vae": vae}
    fields: dict[str, Any] = {key: str(value) for key, value in named.items() if value is not None}
    _require_words(fields, untrained)
    pixels = _pixels(size or SIZES.get(place, GPU_SIZE))
    return SelftestRequest(EngineConfig(**fields), place, threads, not untrained, minutes, pixels)


def _require_words(fields: dict[str, Any], untrained: bool) -> None:
    from jobs.errors import Problem, UsageError
    from jobs.weights.describe import describe
    from jobs.weights.header import WeightsFault

    if untrained or "text_encoder" in fields or "checkpoint" not in fields:
        return
    try:
        parts = describe(Path(fields["checkpoint"])).parts
    except (OSError, WeightsFault):
        return
    if "transformer" in parts and "text_encoder" not in parts and Path(fields["checkpoint"]).is_file():
        rule = "a film needs prompts, and the checkpoint has no text encoder"
        remedy = "name T5, for example --text-encoder PixArt-alpha/PixArt-XL-2-1024-MS; for LTX-2 Gemma"
        raise UsageError([Problem("--text-encoder", "nothing", rule, remedy)])


def _pixels(size: str) -> tuple[int, int]:
    from jobs.errors import Problem, UsageError

    width, _, height = size.partition("x")
    if (
        width.isdigit()
        and height.isdigit()
        and not (int(width) % 32 or int(height) % 32)
        and int(width) * int(height)
    ):
        return int(width), int(height)
    rule = "WIDTHxHEIGHT, both multiples of 32"
    raise UsageError([Problem("--size", repr(size), rule, f"write for example {GPU_SIZE}")])


def _require_place(path: Path) -> None:
    """Known before the examination, not after it."""
    from jobs.errors import Problem, UsageError

    if path.is_dir() or not os.access(path.parent, os.W_OK):
        rule = "a file in a folder that can be written"
        raise UsageError([Problem("--report", str(path), rule, "choose another place")])


def register(app: typer.Typer) -> None:
    """Adds the verb."""
    app.command("selftest")(selftest)
