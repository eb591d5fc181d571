"""`farm check`: every mistake of a spec at once."""

from __future__ import annotations

import typer

from farm.cli.options import AllowPickle, Overrides, SpecArgument
from farm.cli.output import Output, OutputFormat, emit_json, emit_text


def check(
    spec: SpecArgument,
    overrides: Overrides = None,
    allow_pickle: AllowPickle = False,
    output: Output = OutputFormat.TEXT,
) -> int:
    """Check a spec: place, value, rule and remedy of every mistake."""
    from farm.api import RenderOptions, load
    from jobs.plan import make_plan

    options = RenderOptions(overrides=tuple(overrides or ()), allow_pickle=allow_pickle)
    loaded = load(spec, options)
    plan = make_plan(loaded.spec, loaded.facts)
    if output is OutputFormat.JSON:
        videos = [{"name": v.name, "chunks": len(v.chunks), "frames": v.frames} for v in plan.videos]
        emit_json({"ok": True, "job": plan.job, "videos": videos})
        return 0
    for video in plan.videos:
        size = f"{video.width}x{video.height}"
        emit_text(
            f"{video.name}: {len(video.chunks)} chunks, {video.frames} frames, {video.seconds:.1f} s, {size}"
        )
    emit_text(f"{plan.job}: no mistakes")
    return 0


def register(app: typer.Typer) -> None:
    """Adds the verb."""
    app.command("check")(check)
