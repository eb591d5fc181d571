"""What `farm verify` says of a damaged file comes true: after the next render the job is whole."""

from __future__ import annotations

import os
from collections.abc import Callable
from typing import TYPE_CHECKING, Any

import pytest

from farm.state.job_state import DONE
from farm.verbs.verify import NOT_NOTED, RENDER_AGAIN, Damage, verify_job
from jobs.errors import StorageProblem
from jobs.store.documents import DIGESTS
from jobs.store.store import Store

if TYPE_CHECKING:
    from tests.durability.conftest import Workspace

Harm = Callable[[Store], None]


def rot(store: Store, *tasks: str) -> None:
    """Change a byte and leave size and time stamp alone, as a decaying disk does."""
    digests: Any = store.read_json(DIGESTS)
    for task in tasks:
        commit = store.commit(digests["digests"][task])
        assert commit is not None
        path = store.backend.path(commit.file)
        assert path is not None
        times, data = path.stat(), bytearray(path.read_bytes())
        data[len(data) // 2] ^= 1
        path.write_bytes(data)
        os.utime(path, ns=(times.st_atime_ns, times.st_mtime_ns))


def tear(store: Store, name: str) -> None:
    path = store.backend.path(name)
    assert path is not None
    path.write_bytes(path.read_bytes()[:-3])


HARMS: dict[str, Harm] = {
    "a sample that rotted": lambda store: rot(store, "dawn/00001/sample"),
    "a segment that rotted": lambda store: rot(store, "dawn/00002/segment"),
    "two that rotted": lambda store: rot(store, "dawn/00000/segment", "noon/00000/segment"),
    "a torn plan": lambda store: tear(store, "plan.json"),
    "torn digests": lambda store: tear(store, "digests.json"),
    "a torn record": lambda store: tear(store, f"commits/{next(iter(store.committed_digests()))}.json"),
}


@pytest.fixture(scope="module")
def films(workspace: Workspace) -> dict[str, str]:
    found = workspace.render().films
    workspace.save("whole")
    return found


@pytest.fixture
def job(workspace: Workspace, films: dict[str, str]) -> Store:  # noqa: ARG001  for its effect
    workspace.restore("whole")
    return workspace.store()


def damage(workspace: Workspace) -> tuple[Damage, ...]:
    return verify_job(str(workspace.runs), "harbor").damage


@pytest.mark.parametrize("harm", HARMS.values(), ids=HARMS)
def test_the_next_render_mends_what_verify_found(
    workspace: Workspace, job: Store, films: dict[str, str], harm: Harm
) -> None:
    harm(job)
    found = damage(workspace)
    assert found
    again = workspace.render()
    assert (again.outcome, again.films) == (DONE, films)
    promised = {each.place for each in found if each.cure == RENDER_AGAIN}
    assert promised <= set(again.computed)
    assert damage(workspace) == ()
    assert workspace.render().computed == []


@pytest.mark.usefixtures("films")
def test_verify_deletes_nothing_and_says_where_it_could_not_leave_a_note(
    workspace: Workspace, job: Store, monkeypatch: pytest.MonkeyPatch
) -> None:
    rot(job, "dawn/00001/sample")
    before = {path for path in workspace.job_dir.rglob("*") if path.is_file()}

    def refused(*_: object) -> None:
        raise StorageProblem("the file system is read-only")

    with monkeypatch.context() as patch:
        patch.setattr(Store, "save", refused)
        (found,) = damage(workspace)
    assert found.cure == NOT_NOTED
    assert {path for path in workspace.job_dir.rglob("*") if path.is_file()} == before
    damage(workspace)
    after = {path for path in workspace.job_dir.rglob("*") if path.is_file()}
    assert after == before | {workspace.job_dir / "suspects.json"}
    workspace.render()
    assert not (workspace.job_dir / "suspects.json").exists()


@pytest.mark.usefixtures("films")
def test_one_torn_copy_of_the_seeds_is_written_again(workspace: Workspace, job: Store) -> None:
    job.override({("dawn", 1): 5})
    whole = job.read_json("seeds.json")
    for name in ("seeds.json", "seeds.copy.json"):
        tear(job, name)
        assert [each.place for each in damage(workspace)] == [name]
        assert workspace.render().outcome == DONE
        assert damage(workspace) == ()
        assert job.read_json(name) == whole
