"""A run directory as a driver leaves it: all committed, frames given up, films delivered."""

from __future__ import annotations

import shutil
from dataclasses import dataclass, field, replace
from pathlib import Path
from typing import Any

import pytest

from farm.state.fingerprint import DIGESTS_FORM, Frozen
from farm.state.job_state import DONE, STATE_FORM, FilmState, JobState, TaskCounts
from jobs.canonical import sha256_of
from jobs.hashing import sha256_of_file
from jobs.planning.plan import PLAN_FORM, PlanFile, make_plan
from jobs.planning.planned import Plan
from jobs.spec.job import JobSpec
from jobs.store.store import Store
from jobs.tasks.graph import build_graph
from jobs.tasks.task import Stage

EXTEND = {"extend": {"prompt": "b", "num_new_frames": 32, "overlap_frames": 16}}
GENERATE = {"generate": {"prompt": "a", "num_frames": 33}}
SPEC: dict[str, Any] = {
    "version": 1,
    "name": "harbor",
    "videos": [
        {"name": "dawn", "chunks": [GENERATE, EXTEND, EXTEND]},
        {"name": "noon", "chunks": [GENERATE]},
    ],
}


@dataclass
class MadeRun:
    """The directory, and what tests ask of it."""

    runs: str
    store: Store
    plan: Plan
    digests: dict[str, str]
    state: JobState
    events: list[dict[str, Any]] = field(default_factory=list)

    def film(self, video: str) -> Path:
        """The file of a delivered film."""
        film = self.state.film(video)
        assert film is not None
        return Path(film.path)

    def lose(self, *tasks: str) -> None:
        self.store.void(self.digests[task] for task in tasks)

    def write(self, **changes: Any) -> None:
        self.state = replace(self.state, **changes)
        self.store.save(STATE_FORM, self.state)


PLANNED = make_plan(JobSpec.model_validate(SPEC))
GRAPH = build_graph(PLANNED)
DIGEST_OF = {task: sha256_of(["digest", task]) for task in GRAPH.tasks}


@pytest.fixture(scope="session")
def template(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """The directory without its state, made once: commits wait for the disk."""
    runs = tmp_path_factory.mktemp("template") / "runs"
    store = Store.open(str(runs), "harbor")
    store.save(PLAN_FORM, PlanFile(PLANNED))
    store.save(DIGESTS_FORM, Frozen(DIGEST_OF))
    for number, (task, digest) in enumerate(DIGEST_OF.items()):
        commit = store.put(digest, 1, "bin", task.encode(), {"worker": f"w{number % 2}", "exact": True})
        if GRAPH.tasks[task].stage is Stage.DECODE:
            store.evict(commit)
    return runs


@pytest.fixture
def made(template: Path, tmp_path: Path) -> MadeRun:
    shutil.copytree(template, tmp_path / "runs")
    store = Store.open(str(tmp_path / "runs"), "harbor")
    films = tuple(_film(tmp_path / f"{name}.mp4") for name in ("dawn", "noon"))
    counts = TaskCounts(total=len(DIGEST_OF), committed=len(DIGEST_OF))
    run = MadeRun(str(tmp_path / "runs"), store, PLANNED, DIGEST_OF, JobState("harbor"))
    run.write(outcome=DONE, videos=films, tasks=counts, ended_s=1.0)
    return run


def _film(path: Path) -> FilmState:
    path.write_bytes(f"film {path.stem}".encode())
    return FilmState(path.stem, str(path), sha256_of_file(path), 97, 25.0, "key")
