"""`farm plan`: chunks, topologies, time, room and cost before anything is rendered."""

from __future__ import annotations

import json
import os
import time
from collections.abc import Iterator, Sequence
from typing import TYPE_CHECKING, Annotated

import typer

from farm.cli.options import AllowPickle, ComfyUI, JobId, Overrides, Runs, SpecArgument
from farm.cli.output import Output, OutputFormat, emit_json, emit_text, emit_warnings
from farm.cli.table import columns
from jobs.commands import DEFAULT_RUNS
from jobs.wording import amount, duration

if TYPE_CHECKING:
    from farm.verbs.plan_report import PlanReport
    from jobs.loading.load import LoadedSpec
    from jobs.planning.summary import DeliveryRow, VideoRow

GIB = 2**30
MOST_CHUNKS = 40
WORTH_SAVING = 0.8
MOST_GPUS = 4096
"""The largest cluster that was simulated (docs/scaling.md)."""

GpusOption = Annotated[
    int | None,
    typer.Option("--gpus", min=1, max=MOST_GPUS, help="GPUs to plan for; those of this machine."),
]
CpusOption = Annotated[
    int | None,
    typer.Option(
        "--cpus", min=1, help="CPUs for segments; those of this machine, with --gpus as many as needed."
    ),
]
DeviceOption = Annotated[
    str | None,
    typer.Option("--device", help="Stage times and memory of: cpu, H200, ...; what is here."),
]
GpuMemoryOption = Annotated[
    float | None,
    typer.Option(
        "--gpu-memory",
        min=0.1,
        metavar="GIB",
        help="Memory of one GPU, where models have to fit; that of --device, or of what is here.",
    ),
]
GpuHourCostOption = Annotated[
    float | None, typer.Option("--gpu-hour-cost", min=0.0, metavar="PRICE", help="Price of one GPU-hour.")
]
TopologyOption = Annotated[
    str | None, typer.Option("--topology", "-t", help="Instead of the spec's; auto compares them all.")
]
ExplicitOption = Annotated[
    bool, typer.Option("--explicit", help="Print the spec with the chunks that its shots are made of.")
]
AllChunksOption = Annotated[bool, typer.Option("--all-chunks", help="List every chunk, however many.")]


def plan(
    spec: SpecArgument,
    gpus: GpusOption = None,
    cpus: CpusOption = None,
    device: DeviceOption = None,
    gpu_memory: GpuMemoryOption = None,
    gpu_hour_cost: GpuHourCostOption = None,
    topology: TopologyOption = None,
    runs: Runs = DEFAULT_RUNS,
    job_id: JobId = None,
    all_chunks: AllChunksOption = False,
    explicit: ExplicitOption = False,
    overrides: Overrides = None,
    comfyui: ComfyUI = None,
    allow_pickle: AllowPickle = False,
    output: Output = OutputFormat.TEXT,
) -> int:
    """Show what a job will do: chunks, the best topology and why, time, GPU-hours, disk, cost."""
    from cluster.local_gpus import count_gpus, local_device
    from farm.options import RenderOptions
    from farm.specs.load import load
    from farm.verbs.plan import PlanRequest, plan_job

    options = RenderOptions(overrides=tuple(overrides or ()), comfyui=comfyui, allow_pickle=allow_pickle)
    loaded = load(spec, options, ahead=not explicit)
    if explicit:
        _show_explicit(loaded, output)
        return 0
    request = PlanRequest(
        runs_url=runs,
        job_id=job_id,
        gpus=gpus or max(1, count_gpus()),
        cpus=cpus or (None if gpus else os.cpu_count()),
        device=device or local_device(),
        topology=topology,
        gpu_gib=gpu_memory or _gpu_gib(device, here=not gpus),
        gpu_hour_cost=gpu_hour_cost,
    )
    _show(plan_job(loaded, request), None if all_chunks else MOST_CHUNKS, output)
    return 0


def _show(report: PlanReport, most_chunks: int | None, output: OutputFormat) -> None:
    if output is OutputFormat.JSON:
        emit_json(report)
    else:
        emit_text("\n".join(_lines(report, most_chunks)))
        emit_warnings(report.warnings)


def _show_explicit(loaded: LoadedSpec, output: OutputFormat) -> None:
    """YAML or JSON that can be rendered as it is: paths are absolute."""
    from jobs.parsing.yaml_events import yaml_text
    from jobs.planning.explicit import explicit_data

    data = explicit_data(loaded.spec)
    emit_text(json.dumps(data, indent=2) if output is OutputFormat.JSON else yaml_text(data).rstrip())


def _gpu_gib(device: str | None, here: bool) -> float | None:
    """Memory of the GPUs that are planned for; None where nothing says which they are."""
    from cluster.device_memory import local_memory_gib
    from cluster.inventory import DEVICE_GIB

    if device is not None:
        return DEVICE_GIB.get(device)
    return local_memory_gib() if here else None


def _lines(report: PlanReport, most_chunks: int | None) -> list[str]:
    return [
        *_chunk_lines(report, most_chunks),
        "",
        *_video_lines(report),
        "",
        *_pass_lines(report),
        "",
        *_stage_lines(report),
        "",
        *_topology_lines(report),
    ]


def _chunk_lines(report: PlanReport, most: int | None) -> list[str]:
    shown = report.chunks[:most]
    head = ("video", "chunk", "shot", "kind", "frames", "fade", "latents", "steps", "seed", "prompt")
    rows = [
        (
            chunk.video,
            str(chunk.chunk),
            chunk.shot_name,
            chunk.kind,
            f"{chunk.start_frame}-{chunk.stop_frame - 1}" if chunk.stop_frame > chunk.start_frame else "none",
            "held" if chunk.joint == "still" else str(chunk.fade_frames),
            str(chunk.sampled_latents),
            str(chunk.steps),
            str(chunk.seed),
            _short(chunk.prompt),
        )
        for chunk in shown
    ]
    more = len(report.chunks) - len(shown)
    return [*columns(head, rows), *([f"and {more} more chunks; --all-chunks lists them"] if more else [])]


def _short(prompt: str, most: int = 48) -> str:
    line = " ".join(prompt.split())
    return line if len(line) <= most else line[: most - 1] + "…"


def _video_lines(report: PlanReport) -> Iterator[str]:
    for video in report.videos:
        if video.take is not None:
            yield f"  {video.take.said} -> {video.output}"
            continue
        yield (
            f"{video.video}: {video.frames} frames, {video.seconds:.1f} s at {video.said_rate}, "
            f"{video.width}x{video.height}, {amount(video.shots, 'shot')}, {_chain(video)}, sound "
            f"{video.sound} -> {video.output}"
        )
        if len(video.deliveries) > 1 or video.deliveries[0].framed:
            yield from (f"  {_delivery(each)}" for each in video.deliveries)


def _delivery(row: DeliveryRow) -> str:
    """`dawn.mov: mov, prores 4444, yuv444p10le, 1920x1080 (1920x1088 cropped by 8 rows), sound pcm`."""
    codec = f"{row.codec} {row.profile}".strip()
    sound = f", sound {row.sound}" if row.sound else ""
    size = f"{row.width}x{row.height}" + (f" ({row.framed})" if row.framed else "")
    return f"{row.output}: {row.container}, {codec}, {row.pixel_format}, {size}{sound}"


def _chain(video: VideoRow) -> str:
    """How many chunks wait for each other, and how many would without held images."""
    longest, unheld = video.chain_chunks, video.chain_chunks_unheld
    without = f" ({unheld} without held images)" if unheld != longest else ""
    return f"longest chain {amount(longest, 'chunk')}{without}"


def _pass_lines(report: PlanReport) -> list[str]:
    lines = [f"recipe: {report.recipe}"] if report.recipe else []
    for row in report.passes:
        levels = f"{row.steps} steps" if row.sigmas is None else f"sigmas {_numbers(row.sigmas)}"
        lines.append(f"{row.name}, {amount(row.chunks, 'chunk')}: {row.sampler}, cfg {row.cfg:g}, {levels}")
        params = "; ".join(f"{key} {_shown(value)}" for key, value in row.guider_params.items())
        lines += [f"  guider {row.guider}: {params}"] if params else []
    return lines


def _numbers(values: Sequence[float]) -> str:
    return ", ".join(f"{value:.6g}" for value in values)


def _shown(value: object) -> str:
    if isinstance(value, list | tuple):
        return f"[{', '.join(map(_shown, value))}]"
    return f"{value:.6g}" if isinstance(value, float) else str(value).lower()


def _stage_lines(report: PlanReport) -> list[str]:
    rows = [
        (row.stage, str(row.tasks), str(row.left), f"{row.work_s:.1f}", f"{row.work_s / 3600:.3f}")
        for row in report.stages
    ]
    disk = report.disk
    room = f"disk: {disk.peak_bytes / GIB:.2f} GiB at most, {disk.kept_bytes / GIB:.2f} GiB kept for resuming"
    return [
        *columns(("stage", "tasks", "to do", "seconds", "hours"), rows),
        f"stage times: {report.times_from}",
        *(f"{of}: {said}" for of, said in (("memory", report.memory), ("models", report.models)) if said),
        room,
        *(row.said for row in report.takes),
        *(report.loras.said if report.loras else ()),
        *_encoded_anew(report),
        *map(str, report.voids),
        *([f"locked: {amount(report.locked, 'task')}"] if report.locked else ()),
    ]


def _encoded_anew(report: PlanReport) -> Iterator[str]:
    """Why frames are decoded where nothing is sampled."""
    left = {row.stage: row.left for row in report.stages}
    if left.get("decode") and not left.get("sample") and not left.get("upscale"):
        yield "nothing is sampled: what is committed is decoded once more, for segments in another form"


def _topology_lines(report: PlanReport) -> list[str]:
    if not report.options:
        return [report.reason]
    priced = report.options[0].cost is not None
    head = ("topology", "GPUs", "time", "bound", "GPU-hours", *(("cost",) if priced else ()))
    rows = [
        (
            row.topology,
            f"{row.gpus:g}",
            duration(row.makespan_s),
            duration(row.bound_s),
            f"{row.gpu_hours:.3f}",
            *((f"{row.cost:.2f}",) if row.cost is not None else ()),
        )
        for row in report.options
    ]
    return [*columns(head, rows), *_choice(report), *_chain_lines(report)]


def _chain_lines(report: PlanReport) -> Iterator[str]:
    """What no number of GPUs makes shorter, and how `upscale.joint` changes it."""
    for at, (joint, seconds) in enumerate(report.chain_s.items()):
        begins = "   longest chain, which takes its time on any number of GPUs: " if not at else "   "
        yield f"{begins}{duration(seconds)} with `joint: {joint}`"


def _choice(report: PlanReport) -> list[str]:
    """The winner, what would be nearly as fast for far less, and the ranks of gangs."""
    options = report.options
    winner, rival = options[0], options[min(1, len(options) - 1)]
    borrowed = f" on borrowed stage times ({report.times_from})" if report.times_borrowed else ""
    lines = [
        f"-> {winner.topology}, about {duration(winner.makespan_s)}{borrowed}: {report.reason}",
        f"   ETA {_eta(time.time(), winner.makespan_s)}, if it starts now, the loading of models aside",
    ]
    if rival.gpu_hours < WORTH_SAVING * winner.gpu_hours:
        saved = f"{rival.gpu_hours:.3f} instead of {winner.gpu_hours:.3f} GPU-hours"
        lines.append(f"   thriftier: {rival.topology}, about {duration(rival.makespan_s)} for {saved}")
    return [*lines, *(row.said for row in report.ranks)]


def _eta(now_s: float, makespan_s: float) -> str:
    """The time of day, with the date where that is another."""
    now, then = time.localtime(now_s), time.localtime(now_s + makespan_s)
    return time.strftime("%H:%M:%S" if now[:3] == then[:3] else "%Y-%m-%d %H:%M", then)


def register(app: typer.Typer) -> None:
    """Adds the verb."""
    app.command("plan")(plan)
