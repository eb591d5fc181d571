"""`farm check`: every mistake of a spec at once."""

from __future__ import annotations

from typing import TYPE_CHECKING

import typer

from farm.cli.options import AllowPickle, ComfyUI, JobId, Overrides, Runs, SpecArgument
from farm.cli.output import Output, OutputFormat, emit_json, emit_text, emit_warnings
from jobs.commands import DEFAULT_RUNS
from jobs.wording import amount

if TYPE_CHECKING:
    from farm.cli.results import CheckedVideo
    from jobs.planning.planned import PlannedVideo
    from jobs.spec.job import JobSpec


def check(
    spec: SpecArgument,
    runs: Runs = DEFAULT_RUNS,
    job_id: JobId = None,
    overrides: Overrides = None,
    comfyui: ComfyUI = None,
    allow_pickle: AllowPickle = False,
    output: Output = OutputFormat.TEXT,
) -> int:
    """Check a spec: place, value, rule and remedy of every mistake."""
    from farm.cli.results import CheckResult
    from farm.options import RenderOptions
    from farm.output.ownership import refuse_foreign_outputs
    from farm.specs.cautions import cautions
    from farm.specs.load import load
    from jobs.planning.plan import make_plan
    from jobs.store.store import Store

    options = RenderOptions(overrides=tuple(overrides or ()), comfyui=comfyui, allow_pickle=allow_pickle)
    loaded = load(spec, options)
    plan = make_plan(loaded.spec, loaded.facts)
    if not any("://" in url for url in (runs, plan.output.dir)):
        refuse_foreign_outputs(plan, Store.at(runs, job_id or plan.job))
    warnings = (*cautions(plan, loaded.facts), *_unseen_models(loaded.spec))
    result = CheckResult(plan.job, tuple(_checked(video) for video in plan.films), warnings)
    if output is OutputFormat.JSON:
        emit_json(result)
        return 0
    for video in result.videos:
        size = f"{video.width}x{video.height}"
        chunks = amount(video.chunks, "chunk")
        emit_text(f"{video.name}: {chunks}, {video.frames} frames, {video.seconds:.1f} s, {size}")
    emit_text(f"{plan.job}: no mistakes")
    emit_warnings(result.warnings)
    return 0


def _unseen_models(spec: JobSpec) -> tuple[str, ...]:
    """What is said where none of the job's model files is on this machine."""
    from farm.models.comfy_folders import find_model
    from jobs.rules.files import model_references

    named = [(str(location[1]), name) for location, name in model_references(spec)]
    if spec.engine.name == "fake" or not named:
        return ()
    if any(find_model(spec.engine, field, name) is not None for field, name in named):
        return ()
    listed = ", ".join(dict.fromkeys(name for _, name in named))
    return (
        f"no model file was found on this machine ({listed}): none was checked. Name them by path, or "
        "ComfyUI's folder with --comfyui; where they are, `farm doctor` checks them with the spec",
    )


def _checked(video: PlannedVideo) -> CheckedVideo:
    from farm.cli.results import CheckedVideo

    seconds = round(video.seconds, 3)
    return CheckedVideo(video.name, len(video.chunks), video.frames, seconds, video.width, video.height)


def register(app: typer.Typer) -> None:
    """Adds the verb."""
    app.command("check")(check)
