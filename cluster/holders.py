"""Which jobs of the farm hold GPUs of the cluster. Each worker's actor has a name that says whose it is."""

from __future__ import annotations

import secrets
from collections import defaultdict
from typing import TYPE_CHECKING

from cluster.ray_private import names_of_living_actors

if TYPE_CHECKING:
    from cluster.inventory import WorkerRequest

MARK = "ltx-farm"


def actor_name(job: str, request: WorkerRequest) -> str:
    """The name of one incarnation of a worker; no two are alike."""
    return f"{MARK}/{job}/{request.gpus:g}/{request.id}/{secrets.token_hex(6)}"


def gpus_held(names: list[str], but: str = "") -> dict[str, float]:
    """GPUs by job, of actors with these names; those of the job `but` are left out."""
    held: dict[str, float] = defaultdict(float)
    for name in names:
        mark, _, rest = name.partition("/")
        job, _, gpus = rest.partition("/")
        if mark == MARK and job != but:
            held[job] += float(gpus.partition("/")[0])
    return {job: gpus for job, gpus in sorted(held.items()) if gpus}


def other_jobs(job: str) -> dict[str, float]:
    """GPUs that other jobs of the farm hold on the connected cluster."""
    return gpus_held(names_of_living_actors(), but=job)
