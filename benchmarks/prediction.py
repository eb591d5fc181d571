"""What `farm plan` predicts against what a render on Ray takes: `python -m benchmarks.prediction`.

Stages sleep, or the bundled model renders; films of different lengths, stage ratios, topologies, with and
without upscale. One job of each kind is rendered first: what it measured lies beside the runs, as it does for
any user, and the predictions use it. Writes docs/benchmarks.md.
"""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path

from benchmarks.page import machine, table, write_section
from benchmarks.timed_runs import Place, farm_lap, memory_folder, own_ray
from benchmarks.workloads import STAGED, Workload
from farm.simulator.workload import H200, SLEEPS, StageTimes
from farm.verbs.plan import PlanRequest, plan_job
from jobs.loading.load import load_spec

GPUS = 4
ALLOWED = 0.10
SCALE = 0.04
"""Of the H200's seconds, so that a job takes seconds."""

JOBS: dict[str, tuple[Workload, str]] = {
    "4 films of 8": (Workload((8,) * 4), STAGED),
    "1 film of 12": (Workload((12,)), "mono=2"),
    "20 clips": (Workload((1,) * 20), "mono=4"),
    "films of 9, 4, 2 and 1": (Workload((9, 4, 2, 1)), "sample=2,upscale+decode=1"),
    "3 films of 6, no upscale": (Workload((6,) * 3, StageTimes(0.3, 0.0, 0.15)), "sample=2,decode=1"),
    "2 films of 6, heavy decode": (
        Workload((6,) * 2, StageTimes(0.1, 0.1, 0.5)),
        "sample+upscale=1,decode=2",
    ),
    "5 films of 3, heavy upscale": (
        Workload((3,) * 5, StageTimes(0.2, 0.5, 0.1)),
        "sample+decode=1,upscale=2",
    ),
    "2 films of 6, LTXV 2B": (
        Workload((6,) * 2, H200["LTXV 2B"].scaled(2 * SCALE)),
        "sample=1,upscale=1,decode=1",
    ),
    "3 films of 4, LTXV 13B": (
        Workload((4,) * 3, H200["LTXV 13B"].scaled(SCALE)),
        "sample=2,upscale+decode=2",
    ),
    "6 films of 2, LTX-2": (Workload((2,) * 6, H200["LTX-2"].scaled(SCALE)), "mono=4"),
    "2 films of 3, bundled model": (Workload((3,) * 2, None, 128), "mono=1"),
}
LEARNT_FROM = ((Workload((3, 2), SLEEPS), STAGED), (Workload((3, 3), None, 128), "mono=1"))

NOTES = """
`farm plan` before the render, and the render on Ray from the first task handed out, when every worker is
ready, to the last commit. One small job of each kind was rendered before into the same runs directory; what
it and the jobs above measured is all that a plan knows. Stages sleep 0.4 / 0.1 / 0.2 s or as named; those of
a model sleep the seconds of an H200, scaled down.
"""


@dataclass(frozen=True, slots=True)
class Row:
    """One job: seconds predicted and taken."""

    name: str
    topology: str
    predicted_s: float
    actual_s: float

    @property
    def error(self) -> float:
        return self.predicted_s / self.actual_s - 1


def measure(folder: Path) -> list[Row]:
    """Every job, predicted and then rendered on the open Ray session."""
    runs, rows = folder / "runs", []
    for number, (work, topology) in enumerate(LEARNT_FROM):
        farm_lap(work, topology, Place(folder / f"learn-{number}", runs))
    for number, (name, (work, topology)) in enumerate(JOBS.items()):
        place = Place(folder / f"job-{number}", runs)
        predicted_s = predict_s(work, topology, place)
        rows.append(Row(name, topology, predicted_s, farm_lap(work, topology, place).makespan_s))
        print(
            f"{name} on {topology}: {predicted_s:.2f} {rows[-1].actual_s:.2f} {rows[-1].error:+.1%}",
            flush=True,
        )
    return rows


def predict_s(work: Workload, topology: str, place: Place) -> float:
    """What `farm plan` says of the job."""
    request = PlanRequest(place.runs_url, place.folder.name, place.gpus or GPUS, topology=topology)
    return plan_job(load_spec(work.document(place.folder / "out")), request).makespan_s


def section(rows: list[Row], on: str) -> str:
    """The section of the page."""
    cells = (
        [row.name, f"`{row.topology}`", f"{row.predicted_s:.2f}", f"{row.actual_s:.2f}", f"{row.error:+.1%}"]
        for row in rows
    )
    within = sum(abs(row.error) <= ALLOWED for row in rows)
    rendered = table(["job", "topology", "predicted, s", "taken, s", "error"], cells)
    closing = f"{within} of {len(rows)} within {ALLOWED:.0%}.\n"
    return f"`python -m benchmarks.prediction`. {on}\n{NOTES}\n{rendered}\n{closing}"


def main() -> None:
    on = machine(("ray",))
    with memory_folder() as folder, own_ray(GPUS):
        rows = measure(folder)
    write_section("Predicted and taken", section(rows, on))
    if any(abs(row.error) > ALLOWED for row in rows):
        raise SystemExit(1)


if __name__ == "__main__":
    main()
