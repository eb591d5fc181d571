"""Every file of a run directory truncated, corrupted or deleted, in a finished and in a half-finished run.

The next render repairs exactly what was lost, and the films are equal.
"""

from __future__ import annotations

import os
from collections import Counter
from collections.abc import Callable
from pathlib import Path
from typing import TYPE_CHECKING, Any

import pytest

from farm.api import render
from farm.state.job_state import DONE, PAUSED
from farm.verbs.verify import DamagedPart, verify_job
from jobs.errors import DamagedDocument, UsageError
from jobs.store.documents import DIGESTS
from jobs.store.store import Store

if TYPE_CHECKING:
    from jobs.scratch import Scratch
    from jobs.store.commits import Commit
    from tests.durability.conftest import Workspace

HALF = 9
"""Commits before the driver is dropped: `dawn`'s third chunk is sampled, the second one's frames wait."""


def truncate(path: Path) -> None:
    path.write_bytes(path.read_bytes()[: path.stat().st_size // 2])


def corrupt(path: Path) -> None:
    data = bytearray(path.read_bytes())
    data[len(data) // 2] ^= 0x55
    path.write_bytes(data)


def decay(path: Path) -> None:
    """Change the content and nothing that a listing shows."""
    before = path.stat()
    corrupt(path)
    os.utime(path, ns=(before.st_atime_ns, before.st_mtime_ns))


def delete(path: Path) -> None:
    path.unlink()


HURTS = (truncate, corrupt, delete)
"""What is done to a file. The store looks at the file alone: each file of each task meets one of them, and
each kind of file of each run all of them."""

LOST: dict[str, dict[str, set[str]]] = {
    "finished": {
        "encode": set(),
        "dawn/00000/sample": set(),
        "dawn/00002/sample": set(),
        "dawn/00000/segment": {"dawn/00000/decode"},
        "dawn/00001/segment": {"dawn/00000/decode", "dawn/00001/decode"},
        "noon/00000/segment": {"noon/00000/decode"},
    },
    "half": {
        "encode": set(),
        "dawn/00000/sample": set(),
        "dawn/00002/sample": set(),
        "dawn/00001/decode": set(),
        "dawn/00000/segment": {"dawn/00000/decode"},
        "dawn/00001/segment": {"dawn/00000/decode"},
    },
}
"""By run and lost task: what has to be made again besides it, because its frames were evicted."""

RESULTS = [
    (run, task, file, HURTS[(index + shift) % len(HURTS)])
    for run, tasks in LOST.items()
    for index, task in enumerate(tasks)
    for shift, file in enumerate(("artifact", "record"))
]
NAMES = ("state.json", "plan.json", "digests.json", "spec.yaml", "events", "outputs")
OTHERS = [("finished", name, hurt) for name in NAMES for hurt in HURTS] + [
    ("half", name, HURTS[index % len(HURTS)]) for index, name in enumerate(NAMES[:-1])
]

Runs = tuple[dict[str, set[str]], dict[str, str]]
"""What each saved run has still to compute, and the films."""


@pytest.fixture(scope="module")
def runs(workspace: Workspace) -> Runs:
    """A finished and a half-finished run of one job, saved; and what the undisturbed render gives."""
    half = workspace.render(stop_after=HALF)
    workspace.save("half")
    rest = workspace.render()
    workspace.save("finished")
    assert rest.outcome == DONE
    assert len(half.computed) == HALF
    assert not set(half.computed) & set(rest.computed)
    return {"half": set(rest.computed), "finished": set()}, rest.films


def digests_of(store: Store) -> dict[str, str]:
    """By task, as the job's record has them."""
    record: Any = store.read_json(DIGESTS)
    return record["digests"]


def path_of(workspace: Workspace, task: str, file: str) -> tuple[str, Path]:
    """The full task id and the path of one of its files."""
    store = workspace.store()
    digests = digests_of(store)
    name = next(known for known in digests if known.startswith(task))
    commit = store.commit(digests[name])
    assert commit is not None
    key = commit.file if file == "artifact" else f"commits/{commit.digest}.json"
    return name, workspace.job_dir / key


def expect_repair(workspace: Workspace, runs: Runs, run: str, lost: set[str]) -> None:
    """Render; exactly the lost tasks and what was outstanding are computed, once each; then all is well."""
    outstanding, films = runs
    repaired = workspace.render()
    assert repaired.outcome == DONE
    assert repaired.films == films
    assert Counter(repaired.computed) == Counter(outstanding[run] | lost)
    report = verify_job(str(workspace.runs), "harbor")
    assert [damage for damage in report.damage if damage.part is not DamagedPart.EVENTS] == []
    assert workspace.render().computed == []


@pytest.mark.parametrize(("run", "task", "file", "hurt"), RESULTS)
def test_a_lost_result(
    workspace: Workspace, runs: Runs, run: str, task: str, file: str, hurt: Callable[[Path], None]
) -> None:
    workspace.restore(run)
    name, path = path_of(workspace, task, file)
    hurt(path)
    expect_repair(workspace, runs, run, {name} | LOST[run][task])


@pytest.mark.parametrize(("run", "name", "hurt"), OTHERS)
def test_a_lost_document(
    workspace: Workspace, runs: Runs, run: str, name: str, hurt: Callable[[Path], None]
) -> None:
    workspace.restore(run)
    path = workspace.job_dir / name
    if path.is_dir():
        path = min(path.iterdir())
    hurt(path)
    if name == "state.json" and hurt is not delete:
        expect_refusal(workspace)
    expect_repair(workspace, runs, run, set())


def expect_refusal(workspace: Workspace) -> None:
    """A state that cannot be read may be that of a cancelled job: it is rendered on purpose only."""
    with pytest.raises(DamagedDocument, match="farm resume harbor"):
        workspace.render()
    list(render(workspace.spec(), runs=str(workspace.runs), serial=True, resume=True, until="encode"))


@pytest.mark.parametrize("hurt", [*HURTS, decay])
def test_a_lost_film(workspace: Workspace, runs: Runs, hurt: Callable[[Path], None]) -> None:
    """One that decayed is delivered again. One that was written to might be somebody's work, and is kept."""
    workspace.restore("finished")
    assert workspace.render().computed == []
    film = workspace.out / "dawn.mp4"
    hurt(film)
    if hurt in (truncate, corrupt):
        written = film.read_bytes()
        with pytest.raises(UsageError, match="keep it under another name, or delete it"):
            workspace.render()
        assert film.read_bytes() == written
        film.unlink()
    expect_repair(workspace, runs, "finished", set())


@pytest.mark.parametrize("hurt", HURTS)
def test_a_lost_note_of_evicted_frames(
    workspace: Workspace, runs: Runs, hurt: Callable[[Path], None]
) -> None:
    workspace.restore("finished")
    store = workspace.store()
    digest = digests_of(store)["dawn/00001/decode"]
    hurt(workspace.job_dir / "evicted" / f"{digest}.json")
    expect_repair(workspace, runs, "finished", {"dawn/00001/decode"})
    assert not any("decode" in task for task in frames_kept(workspace))


def frames_kept(workspace: Workspace) -> set[str]:
    """Decode tasks whose frames take up space."""
    store = workspace.store()
    digests = digests_of(store)
    kept = store.committed_digests()
    return {task for task, digest in digests.items() if digest in kept and task.endswith("/decode")}


@pytest.mark.parametrize("task", ["dawn/00001/decode", "dawn/00002/sample"])
def test_decay_without_a_mark_is_met_and_mended_on_the_way(
    workspace: Workspace, runs: Runs, task: str
) -> None:
    workspace.restore("half")
    name, path = path_of(workspace, task, "artifact")
    decay(path)
    expect_repair(workspace, runs, "half", {name})


@pytest.mark.parametrize("run", ["half", "finished"])
def test_a_segment_that_decayed_is_met_at_delivery_and_made_again(
    workspace: Workspace, runs: Runs, run: str
) -> None:
    workspace.restore(run)
    name, path = path_of(workspace, "dawn/00000/segment", "artifact")
    decay(path)
    (workspace.out / "dawn.mp4").unlink(missing_ok=True)
    expect_repair(workspace, runs, run, {name, "dawn/00000/decode"})


def test_a_medium_that_loses_what_it_is_given_pauses_the_job(
    workspace: Workspace, runs: Runs, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Segments are read when their film is joined; here each one decays just before that."""
    workspace.restore("half")
    real = Store.local

    def decaying(store: Store, commit: Commit, copies: Scratch) -> Path:
        decay(workspace.job_dir / commit.file)
        return real(store, commit, copies)

    with monkeypatch.context() as broken:
        broken.setattr(Store, "local", decaying)
        stuck = workspace.render()
    assert (stuck.outcome, "rendered again" in stuck.reason) == (PAUSED, True)
    repaired = workspace.render()
    assert (repaired.outcome, repaired.films) == (DONE, runs[1])


def test_what_was_written_for_nothing_is_swept(workspace: Workspace, runs: Runs) -> None:
    """A driver killed in mid-write, and a record that was torn, leave artifacts that nobody names."""
    workspace.restore("half")
    _, record = path_of(workspace, "dawn/00002/sample", "record")
    truncate(record)
    (workspace.job_dir / "artifacts" / "00.1-00.safetensors").write_bytes(b"half a la")
    expect_repair(workspace, runs, "half", {"dawn/00002/sample"})
    assert verify_job(str(workspace.runs), "harbor").unused == 0


def test_everything_at_once(workspace: Workspace, runs: Runs) -> None:
    workspace.restore("half")
    store = workspace.store()
    digests = digests_of(store)
    for kind in ("artifacts", "commits", "events"):
        for path in (workspace.job_dir / kind).iterdir():
            truncate(path)
    expect_repair(workspace, runs, "half", set(digests) - runs[0]["half"])
