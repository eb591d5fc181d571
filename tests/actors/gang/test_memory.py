"""Memory of a further rank that runs out within a step."""

from __future__ import annotations

import itertools
import threading
from dataclasses import replace
from io import BytesIO
from pathlib import Path
from typing import TYPE_CHECKING

from actors.engines.diffusers.engine import DiffusersEngine
from actors.gang import member
from actors.gang.child import ChildRank
from actors.gang.messages import Answer, Charter, StepOrder, send_step
from actors.worker import worker
from actors.worker.memory_ladder import rungs_of_room
from jobs.errors import OutOfMemory
from jobs.planning.params import PassParams
from jobs.spec.engine import EngineConfig
from jobs.tasks.task import Stage
from tests.actors.gang.test_gang import SAMPLE, SLOW, film

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


def test_the_first_rank_forgets_what_it_chose_in_the_proof(
    make_bench: MakeBench, small_ltx_video: Path, image: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """As the others do, from one size to the next: they would else differ where memory was short."""
    spec = film(small_ltx_video, image)
    alone = make_bench(spec)
    passes = [task.params for task in alone.graph.tasks.values() if isinstance(task.params, PassParams)]
    seen, difference = list[threading.Thread](), DiffusersEngine.difference

    def noted(self: DiffusersEngine, run: PassParams) -> float:
        seen.append(threading.current_thread())
        return difference(self, run)

    monkeypatch.setattr(DiffusersEngine, "difference", noted)
    monkeypatch.setattr(worker, "failed_allocations", lambda _: int(len(seen) >= 2))
    gang = make_bench(spec, ranks=2, sizes=(*passes[:2], *passes[:2]))
    assert gang.report["unproven"] == ""
    assert len(seen) == 4
    assert seen[0] is seen[1], "memory runs out in the second"
    assert seen[1] is not seen[2]
    assert seen[2] is seen[3]
    assert gang.worker._device.run(threading.current_thread) is seen[3]


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
