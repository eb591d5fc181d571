"""Memory of a further rank that runs out within a step."""

from __future__ import annotations

import itertools
import threading
from dataclasses import replace
from io import BytesIO
from pathlib import Path
from typing import TYPE_CHECKING

from actors.gang import member
from actors.gang.child import ChildRank
from actors.gang.messages import Answer, Charter, StepOrder, send_step
from actors.worker.memory_ladder import rungs_of_room
from jobs.errors import OutOfMemory
from jobs.planning.params import PassParams
from jobs.spec.engine import EngineConfig
from jobs.tasks.task import Stage
from tests.actors.gang.test_gang import SAMPLE, SLOW

if TYPE_CHECKING:
    import pytest

    from tests.actors.conftest import Bench, MakeBench


def threads_of(some: list[bool], bench: Bench, monkeypatch: pytest.MonkeyPatch) -> list[threading.Thread]:
    """In which thread a rank computes each step, where memory runs out in `some`. One of them fails of it."""
    task, counts, seen = bench.graph.tasks[SAMPLE], itertools.count(), []
    source = BytesIO()
    assert isinstance(task.params, PassParams)

    def take_part(*_: object) -> None:
        seen.append(threading.current_thread())
        if len(seen) == len(some) - 1:
            raise OutOfMemory("as the first rank does")

    def failed(_: str) -> int:
        """Asked before a step and behind it."""
        at = next(counts)
        return sum(some[: (at + 1) // 2])

    monkeypatch.setattr(member, "take_part", take_part)
    monkeypatch.setattr(member, "failed_allocations", failed)
    for _ in some:
        send_step(StepOrder(task.id, task.stage, task.params), {}, [source])
    source.seek(0)
    charter = Charter(EngineConfig(name="fake"), frozenset({Stage.SAMPLE}), "cpu", 1, 2)
    member._Member(charter, 1, BytesIO()).run(Path(), source)
    return seen


def test_a_rank_forgets_what_it_chose_while_memory_was_short(
    make_bench: MakeBench, monkeypatch: pytest.MonkeyPatch
) -> None:
    """A kernel that was taken for want of a workspace is kept by thread."""
    first, second, third, fourth = threads_of([False, True, True, False], make_bench(SLOW), monkeypatch)
    assert first is not threading.current_thread()
    assert second is first
    assert third is not second
    assert fourth is not third, "a step that fails leaves what it chose, too"


def test_only_a_step_that_the_ranks_share_is_short_with_them(
    make_bench: MakeBench, monkeypatch: pytest.MonkeyPatch
) -> None:
    """The decode behind it is the first rank's alone."""
    bench, answer = make_bench({**SLOW, "engine": {"name": "fake"}}, ranks=2), ChildRank.answer
    bench.run_before(SAMPLE)

    def short(self: ChildRank, patience_s: float) -> Answer | None:
        said = answer(self, patience_s)
        return said and replace(said, short=True)

    with monkeypatch.context() as patched:
        patched.setattr(ChildRank, "answer", short)
        assert bench.run(SAMPLE, rungs=rungs_of_room(Stage.SAMPLE)).provenance["exact"] is False
    assert bench.run("one/00000/decode").provenance["exact"] is True
    bench.store.void([bench.digests[SAMPLE]])
    assert bench.run(SAMPLE).provenance["exact"] is True
