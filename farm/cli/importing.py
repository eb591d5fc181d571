"""`farm import`: a ComfyUI workflow as a job spec."""

from __future__ import annotations

import os
import shlex
from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer

from farm.cli.init import require_new, write_new
from farm.cli.options import ComfyUI
from farm.cli.output import Output, OutputFormat, emit_json, emit_note, emit_text

if TYPE_CHECKING:
    from farm.workflows.spec import Imported

HEADINGS = {
    "film": "no counterpart, the film is another one:",
    "bits": "the same film, its bytes may differ:",
    "none": "left out, no effect on the latents:",
}


def import_(
    workflow: Annotated[Path, typer.Argument(metavar="WORKFLOW", help="Exported in API format, JSON.")],
    spec: Annotated[
        Path | None, typer.Argument(metavar="FILE", help="Where: YAML; the workflow's name otherwise.")
    ] = None,
    force: Annotated[bool, typer.Option("--force", help="Replace a file that exists.")] = False,
    comfyui: ComfyUI = None,
    output: Output = OutputFormat.TEXT,
) -> int:
    """Write the job spec of a ComfyUI workflow with RS LTXV Generate and Extend. What of it a spec cannot say
    is listed, node by node; exit code 3 where the film is another one for it."""
    from farm.workflows.spec import import_workflow, job_name
    from jobs.spec.engine import COMFYUI_PATH

    path = spec or Path(workflow.with_suffix(".yaml").name)
    require_new(path, force)
    made = import_workflow(workflow, job_name(workflow), comfyui or os.environ.get(COMFYUI_PATH))
    write_new(path, made.text)
    if output is OutputFormat.JSON:
        _emit(path, made)
    else:
        _tell(path, made)
    return 0 if made.whole else 3


def _emit(path: Path, made: Imported) -> None:
    from farm.cli.results import GapRecord, ImportResult

    videos = made.spec["videos"]
    found = tuple(GapRecord(one.place, one.value, one.reason, one.effect.value) for one in made.gaps)
    chunks = sum(len(video["chunks"]) for video in videos)
    emit_json(ImportResult(str(path), made.spec["name"], len(videos), chunks, made.whole, found))


def _tell(path: Path, made: Imported) -> None:
    from jobs.wording import amount

    videos = made.spec["videos"]
    chunks = sum(len(video["chunks"]) for video in videos)
    emit_text(f"{path}: {amount(len(videos), 'film')}, {amount(chunks, 'chunk')}")
    for effect, heading in HEADINGS.items():
        found = [gap for gap in made.gaps if gap.effect == effect]
        if found:
            emit_note("\n".join([heading, *(f"  {gap}" for gap in found)]))
    emit_text(f"next: farm check {shlex.quote(str(path))}")


def register(app: typer.Typer) -> None:
    """Adds the verb."""
    app.command("import")(import_)
