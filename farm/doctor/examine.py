"""Runs the checks that a job, or the machine alone, calls for."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass

from farm.doctor.cluster import check_cluster
from farm.doctor.comfyui import check_comfyui
from farm.doctor.device import check_device
from farm.doctor.finding import DoctorReport, Finding, report
from farm.doctor.media import check_media
from farm.doctor.models import check_models
from farm.doctor.storage import check_disk, check_films, check_output, check_store
from jobs.loading.load import LoadedSpec
from jobs.planning.plan import make_plan
from jobs.tasks.graph import build_graph
from jobs.tasks.topology import AUTO


@dataclass(frozen=True, slots=True)
class Subject:
    """What to examine: a checked spec (or the machine alone), the runs directory, a cluster, a ComfyUI.

    `job_id` names the run directory where it is not the spec's name.
    """

    runs_url: str
    loaded: LoadedSpec | None = None
    address: str | None = None
    comfyui: str | None = None
    job_id: str | None = None


def examine(subject: Subject) -> DoctorReport:
    """Looks at everything that applies; writes only probe files, and removes them."""
    return report(_findings(subject))


def _findings(subject: Subject) -> Iterator[Finding]:
    loaded = subject.loaded
    spec = loaded.spec if loaded else None
    engine = spec.engine if spec else None
    plan = make_plan(loaded.spec, loaded.facts) if loaded else None
    graph = build_graph(plan) if plan else None
    yield from check_media(spec)
    yield from check_store(subject.runs_url)
    if spec and plan and graph:
        yield from check_disk(subject.runs_url, spec, graph)
        yield from check_output(spec.output)
        yield from check_films(plan, subject.runs_url, subject.job_id)
    yield from check_models(engine)
    cluster_gpus = yield from check_cluster(subject.address, spec.run.topology if spec else AUTO)
    yield from check_device(engine, graph, cluster_gpus)
    if subject.comfyui or (engine and engine.name == "comfyui"):
        yield from check_comfyui(subject.comfyui, spec)
