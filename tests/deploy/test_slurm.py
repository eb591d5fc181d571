"""`cluster/deploy/slurm.sbatch` on a real Slurm of two nodes."""

from __future__ import annotations

import hashlib
from collections.abc import Iterator
from pathlib import Path

import pytest
import yaml

from farm.events import Event, Notice, TaskCommitted, TaskStarted, WorkerGone
from farm.state.event_log import EventLog
from jobs.store.store import Store
from tests.deploy import slurm
from tests.ray.kit.specs import JOB, document, render_alone

ROOT = Path(__file__).parents[2]
BATCH = str(ROOT / "cluster" / "deploy" / "slurm.sbatch")
WORKERS = {"FARM_RAY_START": "--num-gpus=1"}
CPUS = "--cpus-per-task=2"

pytestmark = [
    pytest.mark.slow,
    pytest.mark.ray,
    pytest.mark.skipif(bool(slurm.missing()), reason=f"no Slurm here: {slurm.missing()} is missing"),
]


@pytest.fixture(scope="module")
def cluster(tmp_path_factory: pytest.TempPathFactory) -> Iterator[slurm.Slurm]:
    with slurm.started(tmp_path_factory.mktemp("slurm")) as running:
        yield running


def written(folder: Path, sample_s: float, name: str = "film") -> tuple[Path, str]:
    """A spec of one film with six chunks, and the hash that the film has when one process renders it."""
    data = document(folder / "out", videos=1, count=6, sample_s=sample_s)
    spec = folder / f"{name}.yaml"
    spec.write_text(yaml.safe_dump(data))
    alone = document(folder / "alone", videos=1, count=6)
    return spec, render_alone(folder / "serial", alone).films["take0"]


def film(folder: Path) -> str:
    return hashlib.sha256((folder / "out" / "take0.mp4").read_bytes()).hexdigest()


def events(runs: Path) -> list[Event]:
    return [logged.event for logged in EventLog(Store.open(str(runs), JOB))]


def leftovers(job: str) -> list[Path]:
    return list(Path("/tmp").glob(f"farm-{job}*"))


def submit(cluster: slurm.Slurm, *words: str, **more: str) -> str:
    return cluster.run("sbatch", "--parsable", CPUS, *words, check=True, **more)


def test_a_job_that_is_preempted_finishes_what_runs_and_goes_on_later(
    cluster: slurm.Slurm, tmp_path: Path
) -> None:
    """The partition's grace is 30 s, and SIGTERM goes to all processes of the job's steps."""
    spec, expected = written(tmp_path, sample_s=4.0)
    runs = tmp_path / "runs"
    more = {**WORKERS, "FARM_RUNS": str(runs), "FARM_GRACE": "25"}
    job = submit(cluster, "--nodes=2", BATCH, str(spec), **more)
    cluster.wait_for(job, r"sample [12345]/6")
    urgent = cluster.run("sbatch", "--parsable", "--partition=high", "--nodes=2", CPUS, "--wrap=sleep 3")
    cluster.wait_for(job, "queued again")
    assert cluster.ended(urgent) == "0:0"
    assert cluster.ended(job) == "0:0"
    assert film(tmp_path) == expected
    happened = events(runs)
    (at,) = [
        n for n, event in enumerate(happened) if isinstance(event, Notice) and "SIGTERM" in event.message
    ]
    assert not any(isinstance(event, WorkerGone) and event.lost for event in happened)
    started = [event.task for event in happened if isinstance(event, TaskStarted)]
    committed = {event.task for event in happened[at:] if isinstance(event, TaskCommitted)}
    assert len(started) == len(set(started)), "nothing was begun twice"
    assert committed & {event.task for event in happened[:at] if isinstance(event, TaskStarted)}
    assert not leftovers(job)


def test_a_job_at_its_time_limit_is_queued_again_and_one_that_is_cancelled_is_not(
    cluster: slurm.Slurm, tmp_path: Path
) -> None:
    """Limits are counted in minutes: this one is lowered while the job runs, so that its signal is due. Slurm
    looks every 30 s, which the film has to outlast."""
    spec, _ = written(tmp_path, sample_s=10.0)
    more = {**WORKERS, "FARM_RUNS": str(tmp_path / "runs"), "FARM_GRACE": "20"}
    job = submit(cluster, "--nodes=1", "--time=9", BATCH, str(spec), **more)
    cluster.wait_for(job, r"sample [12345]/6")
    cluster.run("scontrol", "update", f"jobid={job}", "TimeLimit=2")
    cluster.wait_for(job, "queued again")
    assert "stopped by SIGTERM" in cluster.output(job)
    cluster.run("scontrol", "update", f"jobid={job}", "TimeLimit=9")
    cluster.begin_again(job)
    cluster.wait_for(job, "already done")
    cluster.run("scancel", job)
    cluster.ended(job)
    assert "CANCELLED" in cluster.run("scontrol", "show", "job", job)
    assert cluster.output(job).count("queued again") == 1


def test_an_array_renders_a_film_for_each_task_and_ends_with_its_exit_code(
    cluster: slurm.Slurm, tmp_path: Path
) -> None:
    """Both tasks are on one node's CPUs at once, each with a Ray of its own."""
    spec, expected = written(tmp_path, sample_s=0.0)
    wrong = tmp_path / "wrong.yaml"
    wrong.write_text(spec.read_text().replace("take0", "take/0"))
    more = {**WORKERS, "FARM_RUNS": str(tmp_path / "runs")}
    job = submit(cluster, "--array=0-2", "--nodes=1", BATCH, str(spec), str(wrong), **more)
    assert cluster.ended(f"{job}_0") == "0:0"
    assert film(tmp_path) == expected
    assert [cluster.ended(f"{job}_{task}") for task in (1, 2)] == ["2:0", "2:0"]
    assert "videos[0].name" in cluster.output(f"{job}_1")
    assert "task 2 of the array has no spec: 2 specs count from 0" in cluster.output(f"{job}_2")


def test_two_specs_without_an_array_are_refused(cluster: slurm.Slurm) -> None:
    job = submit(cluster, "--nodes=1", BATCH, "a.yaml", "b.yaml")
    assert cluster.ended(job) == "2:0"
    assert "2 specs need an array: sbatch --array=0-1 slurm.sbatch SPEC" in cluster.output(job)
