"""What counts as there, and what is left, without a store."""

from __future__ import annotations

from dataclasses import replace
from typing import TYPE_CHECKING, Any

import pytest

from farm.session.ledger import Ledger
from jobs.loading.load import load_spec
from jobs.planning.plan import make_plan
from jobs.store.commits import Commit
from jobs.tasks.digest import Fingerprint
from jobs.tasks.graph import build_graph

if TYPE_CHECKING:
    from jobs.tasks.task import Stage


def ledger(until: Stage | None = None, **more: Any) -> Ledger:
    """Two chunks; with a matrix of prompts for the second one, two videos that share the first."""
    extend = {"extend": {"prompt": "b", "num_new_frames": 16, "overlap_frames": 16}}
    data = {
        "version": 1,
        "name": "job",
        "engine": {"name": "fake"},
        "defaults": {"width": 64, "height": 64, "steps": 1, "seed": 7},
        "videos": [{"name": "film", "chunks": [{"generate": {"prompt": "a", "num_frames": 17}}, extend]}],
        **more,
    }
    found = Ledger(build_graph(make_plan(load_spec(data).spec)), until)
    found.resolve(Fingerprint({}, {}, {}))
    return found


def commit(digest: str, exact: bool = True) -> Commit:
    return Commit(digest, f"artifacts/{digest}.1-x.bin", 1, "00", provenance={"exact": exact})


def all_commits(found: Ledger) -> dict[str, Commit]:
    return {digest: commit(digest) for digest in found.digests.values()}


def test_nothing_is_left_of_what_the_store_has() -> None:
    found = ledger()
    assert Ledger(found.graph).left == found.scoped, "while nothing is known"
    retired = found.survey(all_commits(found), {})
    assert (found.todo, found.waiting, found.stages_left) == ([], set(), frozenset())
    assert set(retired) == {"film/00000/decode", "film/00001/decode"}


def test_a_result_counts_once() -> None:
    found = ledger()
    found.survey({}, {})
    task = found.todo[0]
    assert found.keep(task, commit(found.digests[task])) == (task,)
    assert found.keep(task, commit(found.digests[task])) == ()
    found.forget(task)
    assert found.keep(task, commit(found.digests[task])) == (task,)


def test_frames_are_evicted_with_their_last_reader() -> None:
    found = ledger()
    found.survey({}, {})
    for task in found.todo:
        found.keep(task, commit(found.digests[task]))
    kept = {**found.commits}
    del found.commits["film/00001/segment"]
    assert found.retire("film/00000/segment") == [], "the next chunk cross-fades from them"
    found.commits["film/00001/segment"] = kept["film/00001/segment"]
    names = {"film/00000/decode", "film/00001/decode"}
    assert {one.digest for one in found.retire("film/00001/segment")} == {found.digests[one] for one in names}
    assert names.isdisjoint(found.commits)


def test_equal_tasks_are_computed_once_and_are_all_there() -> None:
    chunks = [
        {"generate": {"prompt": "a", "num_frames": 17}},
        {"extend": {"prompt": "{what}", "num_new_frames": 16, "overlap_frames": 16}},
    ]
    found = ledger(matrix={"what": ["b", "c"]}, videos=[{"name": "film", "chunks": chunks}])
    found.survey({}, {})
    sample = next(task for task in found.todo if task.endswith("00000/sample"))
    family = found.keep(sample, commit(found.digests[sample]))
    assert len(family) == 2
    assert set(family) <= found.commits.keys()
    assert set(family) <= found.waiting
    assert not set(family[1:]).intersection(found.todo)


@pytest.mark.parametrize("evicted", [False, True])
def test_bytes_that_the_ladder_changed_mark_their_film(evicted: bool) -> None:
    found = ledger()
    commits, decode = all_commits(found), "film/00000/decode"
    changed = replace(commits.pop(found.digests[decode]), provenance={"exact": False})
    if evicted:
        found.survey(commits, {changed.digest: changed})
    else:
        found.survey({**commits, changed.digest: changed}, {})
    assert not found.is_exact(decode)
    assert not found.is_exact_film("film")
    assert not found.exact
    assert found.is_exact("film/00001/decode")


def test_a_damaged_artifact_is_made_again_with_what_it_needs() -> None:
    found = ledger()
    found.survey(all_commits(found), {})
    segment, decode = "film/00001/segment", "film/00001/decode"
    found.forget(decode)
    lost = found.forget_artifact(found.digests[segment])
    assert lost == [segment]
    found.remake(lost)
    assert found.todo == [decode, segment]
