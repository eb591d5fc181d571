"""`farm check`: every mistake of a spec at once."""

from __future__ import annotations

import typer

from farm.cli.output import Output, OutputFormat, emit_json, emit_text
from farm.cli.render import AllowPickle, Overrides, SpecArgument


def check(
    spec: SpecArgument,
    overrides: Overrides = None,
    allow_pickle: AllowPickle = False,
    output: Output = OutputFormat.TEXT,
) -> int:
    """Check a spec: place, value, rule and remedy of every mistake."""
    from jobs.load import load_spec
    from jobs.plan import make_plan

    loaded = load_spec(spec, overrides=tuple(overrides or ()), allow_pickle=allow_pickle)
    plan = make_plan(loaded.spec, loaded.facts)
    summary = {
        "job": plan.job,
        "videos": [{"name": v.name, "chunks": len(v.chunks), "frames": v.frames} for v in plan.videos],
    }
    if output is OutputFormat.JSON:
        emit_json(summary)
        return 0
    for video in plan.videos:
        seconds = video.frames / video.frame_rate
        size = f"{video.width}x{video.height}"
        emit_text(f"{video.name}: {len(video.chunks)} chunks, {video.frames} frames, {seconds:.1f} s, {size}")
    emit_text(f"{plan.job}: no mistakes")
    return 0


def register(app: typer.Typer) -> None:
    """Adds the verb."""
    app.command("check")(check)
