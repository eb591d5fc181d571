"""Specs of one video, in few words, and the plan of it."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from jobs.planning.plan import make_plan
from jobs.spec.job import JobSpec

if TYPE_CHECKING:
    from jobs.planning.facts import SourceFacts
    from jobs.planning.planned import PlannedVideo


def spec_of(*chunks: dict[str, Any], video: dict[str, Any] | None = None, **job: Any) -> JobSpec:
    only = {"name": "dawn", "chunks": list(chunks), **(video or {})}
    return JobSpec.model_validate({"name": "harbor", "videos": [only], **job})


def generate(prompt: str = "noon", **more: Any) -> dict[str, Any]:
    return {"generate": {"prompt": prompt, **more}}


def extend(prompt: str = "later", **more: Any) -> dict[str, Any]:
    return {"extend": {"prompt": prompt, **more}}


def only_video(spec: JobSpec, facts: SourceFacts | None = None) -> PlannedVideo:
    return make_plan(spec, facts).videos[0]
