"""Renders on a cluster that is made up, in this process."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from pathlib import Path
from typing import TYPE_CHECKING, Any

from cluster.local.cluster import LocalCluster
from farm.events import Event
from farm.execution.driver import RayOptions, render_on_ray
from farm.session.opening import Scope
from tests.ray.kit.specs import Rendered, collected, load

if TYPE_CHECKING:
    from jobs.loading.load import LoadedSpec
    from jobs.tasks.task import Stage

Meanwhile = Callable[[Event], object]


def ignore(event: Event) -> None:
    """Nothing happens meanwhile."""


def render(
    folder: Path,
    data: Mapping[str, Any] | LoadedSpec,
    topology: str,
    cluster: LocalCluster | None = None,
    *,
    until: Stage | None = None,
    meanwhile: Meanwhile = ignore,
    **options: Any,
) -> Rendered:
    """Render with run directories in `folder`; `meanwhile` sees every event before the next one comes."""
    scope, how = Scope(str(folder), until=until), RayOptions(topology, **options)
    events: list[Event] = []
    for event in render_on_ray(load(data), scope, how, (cluster or LocalCluster()).connect):
        meanwhile(event)
        events.append(event)
    return collected(events)
