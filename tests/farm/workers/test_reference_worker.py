"""A job takes the class that most of its GPUs have, whichever of them is ready first."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import pytest

from actors.media.ffmpeg import media_fingerprint
from cluster.failures import CallFailure
from cluster.inventory import Inventory, NodeFacts
from cluster.local.cluster import LocalCluster
from cluster.pool.events import Lost, Placed, PoolEvent, Ready
from cluster.pool.shell import Placement
from farm.estimates.durations import Hardware
from farm.events import Event, Notice, WorkerGone
from farm.execution.render_loop import RenderLoop
from farm.session.opening import Scope
from farm.session.session import JobSession
from farm.workers.reference_worker import WINDOW_S
from farm.workers.workforce import make_workforce
from jobs.errors import FailureKind
from tests.ray.kit.specs import document, load

H100, A100 = "H100", "A100"


def report(compute: str) -> dict[str, Any]:
    own = {"engine": "fake", "compute": compute}
    return {"fingerprint": own, "media": media_fingerprint(), "modes": {}, "sources": {"files": {}}}


class ScriptedPool:
    """Tells what the script says, batch by batch; then nothing more comes."""

    def __init__(self, batches: list[list[PoolEvent]]) -> None:
        self.batches, self.killed, self.replaced = batches, [], []  # type: ignore[var-annotated]
        self.cluster = LocalCluster()

    def wait(self, timeout_s: float) -> list[PoolEvent]:
        if not self.batches:
            raise EOFError
        return self.batches.pop(0)

    def kill(self, worker: str) -> tuple[()]:
        self.killed.append(worker)
        return ()

    def replace(self, worker: str) -> None:
        self.replaced.append(worker)

    def busy(self, worker: str) -> tuple[()]:
        return ()

    def leaving(self) -> tuple[()]:
        return ()

    def submit(self, worker: str, call: Any) -> None:
        pass

    def drop(self, task: str) -> None:
        pass


class Scene:
    """A loop on a cluster with GPUs of these types, one on each node; `typed`: Ray knows them."""

    def __init__(self, folder: Path, kinds: list[str], typed: bool = True, **run: Any) -> None:
        self.kinds = kinds
        self.typed = typed
        self.said: list[Event] = []
        nodes = (NodeFacts(f"n{n}", f"n{n}", 1, 8, kind if typed else None) for n, kind in enumerate(kinds))
        inventory = Inventory(tuple(nodes))
        data = {**document(folder / "out", videos=8, count=2), "run": run}
        self.session = JobSession(load(data), Scope(str(folder / "runs")))
        self.workforce = make_workforce("mono", inventory, None, self.session.graph.stages)
        self.place = Hardware(self.session.plan.engine, inventory.device)

    def placement(self, number: int) -> Placement:
        kind = self.kinds[number] if self.typed else None
        worker, node = f"mono-{number}", f"n{number}"
        return Placement(worker, 1, node, node, 1, ("0",), "0", "cuda", kind)

    def placed(self, *numbers: int) -> list[PoolEvent]:
        return [Placed(f"mono-{number}", self.placement(number)) for number in numbers]

    def ready(self, *numbers: int) -> list[PoolEvent]:
        return [
            Ready(f"mono-{number}", self.placement(number), report(self.kinds[number]), 1.0)
            for number in numbers
        ]

    def run(self, *batches: list[PoolEvent]) -> RenderLoop:
        pool = ScriptedPool(list(batches))
        with self.session:
            self.said += self.session.begin()
            self.session.resolve()
            loop = RenderLoop(self.session, pool, self.workforce, self.place)  # type: ignore[arg-type]
            with pytest.raises(EOFError):
                self.said.extend(loop.run())
        return loop

    @property
    def notices(self) -> list[str]:
        return [event.message for event in self.said if isinstance(event, Notice)]

    @property
    def compute(self) -> str:
        """The class that the job froze; empty while it has not."""
        return str(self.session.engine.get("compute", ""))


SEVEN = [*[H100] * 7, A100]
EVERY = range(8)


@pytest.mark.parametrize("typed", [True, False], ids=["Ray knows the types", "reports alone tell"])
def test_the_odd_one_is_left_out_though_it_was_first(tmp_path: Path, typed: bool) -> None:
    scene = Scene(tmp_path, SEVEN, typed)
    loop = scene.run(scene.placed(*EVERY), scene.ready(7), *(scene.ready(n) for n in range(7)))
    assert scene.compute == H100
    assert set(loop.membership.members) == {f"mono-{n}" for n in range(7)}
    assert [event.worker for event in scene.said if isinstance(event, WorkerGone)] == ["mono-7"]
    (said,) = scene.notices
    assert said.startswith("GPUs left out: 1 of 8. Their films would differ: compute is A100 there and H100")
    assert "`run.mixed_compute: true`" in said


def test_known_types_need_not_wait_for_half_of_the_reports(tmp_path: Path) -> None:
    scene = Scene(tmp_path, SEVEN)
    scene.run(scene.placed(*EVERY), scene.ready(7), scene.ready(0))
    assert scene.compute == H100


def test_reports_decide_once_more_than_half_are_alike(tmp_path: Path) -> None:
    scene = Scene(tmp_path, SEVEN, typed=False)
    scene.run(scene.ready(7), scene.ready(0, 1, 2, 3))
    assert scene.compute == ""
    again = Scene(tmp_path / "again", SEVEN, typed=False)
    again.run(again.ready(7), again.ready(0, 1, 2, 3), again.ready(4))
    assert again.compute == H100


@pytest.fixture
def clock(monkeypatch: pytest.MonkeyPatch) -> list[float]:
    """Every look at it is a second later."""
    now = [1000.0]

    def tick(_cluster: LocalCluster) -> float:
        now[0] += 1.0
        return now[0]

    monkeypatch.setattr(LocalCluster, "now_s", tick)
    return now


@pytest.mark.usefixtures("clock")
def test_reports_that_do_not_come_are_waited_for_a_short_time(tmp_path: Path) -> None:
    scene = Scene(tmp_path, SEVEN, typed=False)
    scene.run(scene.ready(0, 7, 1), *([[]] * int(WINDOW_S)))
    assert scene.compute == H100
    assert "GPUs left out: 1 of 8" in scene.notices[0]


@pytest.mark.usefixtures("clock")
def test_a_class_that_most_workers_will_have_is_waited_for_and_the_wait_is_told(tmp_path: Path) -> None:
    """The cluster is busy: only the one A100 had room."""
    scene = Scene(tmp_path, SEVEN)
    scene.run(scene.placed(7), scene.ready(7), *([[]] * 60))
    assert scene.compute == ""
    (said,) = scene.notices
    assert said.startswith("workers ready: 1 of 8, on A100. The job waits for H100")
    assert "`run.mixed_compute: true`" in said


@pytest.mark.usefixtures("clock")
def test_mixed_classes_begin_with_what_is_there(tmp_path: Path) -> None:
    scene = Scene(tmp_path, SEVEN, mixed_compute=True)
    loop = scene.run(scene.placed(7), scene.ready(7), *([[]] * int(WINDOW_S)), scene.ready(0))
    assert (scene.compute, scene.notices) == (A100, [])
    assert set(loop.membership.members) == {"mono-7", "mono-0"}


def test_what_the_workers_have_counts_not_what_the_cluster_has(tmp_path: Path) -> None:
    """Three workers found room on the A100s of a cluster that is H100 for the most part."""
    scene = Scene(tmp_path, [A100] * 3)
    scene.place = Hardware(scene.session.plan.engine, H100)
    loop = scene.run(scene.placed(0, 1, 2), scene.ready(0))
    assert scene.compute == A100
    assert loop.place.device == A100, "stage times are kept for what computed"


def test_workers_that_do_not_start_are_waited_for_no_longer(tmp_path: Path) -> None:
    scene = Scene(tmp_path, [H100, H100, A100])
    failure = CallFailure(FailureKind.WORKER_LOST, "the node is broken", worker_gone=True)
    lost: list[PoolEvent] = [Lost(f"mono-{n}", (), failure) for n in range(2)]
    loop = scene.run(scene.placed(0, 1, 2), scene.ready(2), lost, lost, lost)
    assert scene.compute == A100
    assert loop.membership.members == ("mono-2",)


def test_a_frozen_class_stays(tmp_path: Path) -> None:
    scene = Scene(tmp_path, [A100])
    scene.run(scene.placed(0), scene.ready(0))
    again = Scene(tmp_path, SEVEN)
    loop = again.run(again.placed(*EVERY), again.ready(*EVERY))
    assert again.compute == A100
    assert loop.membership.members == ("mono-7",)
    assert again.notices[-1].startswith("GPUs left out: 7 of 8")
