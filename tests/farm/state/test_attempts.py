"""The reducer, by hand and against what the workers of random simulated runs really hold."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from dataclasses import replace

from hypothesis import given, settings
from hypothesis import strategies as st

from cluster.local.faults import Fate, Hang
from farm.events import (
    Event,
    JobFinished,
    JobPlanned,
    LostAttempt,
    TaskCommitted,
    TaskFailed,
    TaskStarted,
    TaskSuperseded,
    WorkerGone,
    WorkerPlaced,
    WorkerReady,
    WorkerSuspended,
)
from farm.scheduler import commands, events
from farm.simulator.simulate import Simulation
from farm.state.attempts import Activity, Holdings
from tests.farm.simulator.random_faults import FaultRates, RandomFaults
from tests.farm.simulator.test_fault_schedules import make_schedule

A, B = "v/00000/sample", "v/00001/sample"
SAID_BY_WORKERS = (events.WorkerLoaded, events.WorkerDied, events.TaskDone, events.AttemptFailed)


def after(*log: Event) -> Holdings:
    holdings = Holdings()
    for at_s, event in enumerate(log):
        holdings.apply(event, float(at_s))
    return holdings


def tasks(holdings: Holdings, worker: str) -> list[str]:
    return [held.task for held in holdings.held(worker)]


def test_a_worker_runs_the_oldest_attempt_and_then_the_next() -> None:
    holdings = after(TaskStarted(A, "w", 1, "first"), TaskStarted(B, "w", 1, "second"))
    assert [(held.began_s, held.handed_s) for held in holdings.held("w")] == [(0.0, 0.0), (None, 1.0)]
    change = holdings.apply(TaskCommitted(A, "w", 1), 7.0)
    assert [ended.task for ended in change.ended] == [A]
    assert [(held.task, held.began_s) for held in holdings.held("w")] == [(B, 7.0)]


def test_what_overtakes_leaves_the_running_attempt_as_it_is() -> None:
    holdings = after(
        TaskStarted(A, "w", 1), TaskStarted(B, "w", 1), TaskFailed(B, "w", 1, "bug", "m", "again")
    )
    assert [(held.task, held.began_s) for held in holdings.held("w")] == [(A, 0.0)]


def test_a_superseded_attempt_frees_its_worker() -> None:
    holdings = after(TaskStarted(A, "w", 1), TaskStarted(A, "x", 2), TaskCommitted(A, "w", 1))
    assert tasks(holdings, "x") == [A], "its attempt goes on"
    holdings.apply(TaskSuperseded(A, "x", 2), 9.0)
    assert not list(holdings.all_held())


def test_a_worker_takes_all_that_it_held_with_it() -> None:
    holdings = after(WorkerReady("w", "cpu"), TaskStarted(A, "w", 1), TaskStarted(B, "w", 3))
    assert holdings.lost_with("w") == (LostAttempt(A, 1), LostAttempt(B, 3))
    change = holdings.apply(WorkerGone("w", "its node died"), 5.0)
    assert [ended.task for ended in change.ended] == [A, B]
    assert "w" not in holdings.workers


def test_a_late_word_of_a_superseded_attempt_ends_nothing_else() -> None:
    holdings = after(
        TaskStarted(A, "w", 1), WorkerGone("w"), TaskStarted(A, "w", 2), TaskFailed(A, "w", 1, "bug")
    )
    assert [held.attempt for held in holdings.holding(A)] == [2]


def test_a_suspended_worker_finishes_what_it_holds() -> None:
    holdings = after(WorkerPlaced("w", "n", ("sample",)), WorkerReady("w", "cpu"), TaskStarted(A, "w", 1))
    assert holdings.apply(WorkerSuspended("w", "three failures"), 4.0).ended == ()
    assert [holdings.workers["w"].activity] == [Activity.BUSY]
    holdings.apply(TaskCommitted(A, "w", 1), 5.0)
    assert [holdings.workers["w"].activity] == [Activity.SUSPENDED]
    holdings.apply(WorkerReady("w", "cpu"), 6.0)
    assert (holdings.workers["w"].activity, holdings.workers["w"].stages) == (Activity.IDLE, ("sample",))


def test_a_new_process_and_a_new_run_hold_nothing() -> None:
    assert tasks(after(TaskStarted(A, "w", 1), WorkerPlaced("w", "n", ())), "w") == []
    planned = after(WorkerReady("w", "cpu"), TaskStarted(A, "w", 1), JobPlanned("j"))
    assert tasks(planned, "w") == []
    assert "w" in planned.workers
    assert not after(TaskStarted(A, "w", 1), JobFinished("j", "cancelled")).workers


class Told:
    """Turns what a simulated scheduler hears and orders into the events that a render loop records of it."""

    def __init__(self) -> None:
        self.holdings = Holdings()
        self.committed: set[str] = set()

    def watch(self, now: float, event: events.Event, orders: list[commands.Command]) -> None:
        for told in (*self._heard(event), *self._ordered(orders)):
            self.holdings.apply(told, now)

    def _heard(self, event: events.Event) -> Iterator[Event]:
        match event:
            case events.WorkerLoaded():
                if event.worker not in self.holdings.workers:
                    yield WorkerPlaced(event.worker)
                yield WorkerReady(event.worker)
            case events.WorkerDied():
                yield WorkerGone(event.worker, event.reason, self.holdings.lost_with(event.worker))
            case events.TaskDone() if event.task in self.committed:
                yield TaskSuperseded(event.task, event.worker, event.attempt)
            case events.TaskDone():
                self.committed.add(event.task)
                yield TaskCommitted(event.task, event.worker, event.attempt)
            case events.AttemptFailed():
                self.committed.difference_update(event.lost_inputs)
                yield TaskFailed(event.task, event.worker, event.attempt)

    def _ordered(self, orders: list[commands.Command]) -> Iterator[Event]:
        for order in orders:
            match order:
                case commands.Assign():
                    yield TaskStarted(order.task, order.worker, order.attempt, str(order.reason))
                case commands.Suspend():
                    yield WorkerSuspended(order.worker)
                case commands.Kill():
                    yield WorkerGone(order.worker, "", self.holdings.lost_with(order.worker))

    def held(self, worker: str) -> list[tuple[str, int]]:
        return [(held.task, held.attempt) for held in self.holdings.held(worker)]


class NoZombies(RandomFaults):
    """What hangs never ends: a simulated worker that gives a result all the same would stay stuck in it."""

    def _hang(self, task: str, after_s: float) -> Fate:
        return Hang()


def followed(simulation: Simulation, check: Callable[[Told, events.Event], None]) -> None:
    """A whole run; `check` is called after each exchange, when its commands are carried out."""
    told, tell = Told(), simulation._tell
    simulation.watch = told.watch

    def tell_and_check(event: events.Event) -> None:
        tell(event)
        check(told, event)

    simulation._tell = tell_and_check  # type: ignore[method-assign]
    simulation.run()


@settings(max_examples=60, deadline=None)
@given(seed=st.integers(0, 10**6), worse=st.sampled_from([0.0, 1.0, 4.0]))
def test_it_knows_what_the_simulated_workers_hold(seed: int, worse: float) -> None:
    """Compared for each worker of which nothing is on its way to the scheduler, and whose present process was
    not reported lost in place of an earlier one: a pool on Ray knows the two apart, the simulator does not.
    """
    made, referee = make_schedule(seed)
    rates = replace(FaultRates(), duplicate=0.0, late=0.0).scaled(worse)
    faults = NoZombies(seed, rates, {task: each.needs for task, each in referee.tasks.items()})
    config = replace(made.config, handoff_s=0.0, commit_s={}, report_s=0.0)
    simulation, compared = Simulation(made.graph, made.topology, config, faults), []
    mistaken: dict[str, int] = {}

    def check(told: Told, event: events.Event) -> None:
        if isinstance(event, events.WorkerDied) and simulation.workers[event.worker].alive:
            mistaken[event.worker] = simulation.workers[event.worker].life
        sent = [value for _, _, _, values in simulation._pending for value in values]
        on_their_way = {value.worker for value in sent if isinstance(value, SAID_BY_WORKERS)}
        for name, worker in simulation.workers.items():
            if name not in on_their_way and worker.alive and mistaken.get(name) != worker.life:
                assert told.held(name) == list(worker.queue), name
                compared.append(name)

    followed(simulation, check)
    assert compared


@settings(max_examples=60, deadline=None)
@given(seed=st.integers(0, 10**6))
def test_it_knows_all_that_the_scheduler_counts_on_whatever_comes_late_or_twice(seed: int) -> None:
    simulation, _ = make_schedule(seed)

    def check(told: Told, _event: events.Event) -> None:
        board = simulation.scheduler.board
        for worker in board.roster.workers:
            believed = [(board.graph.ids[task], attempt) for task, attempt in worker.held]
            assert [each for each in told.held(worker.id) if each in believed] == believed, worker.id

    followed(simulation, check)
