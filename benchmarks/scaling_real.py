"""A batch of equal films on 1, 2, 4 and 8 logical GPUs: `python -m benchmarks.scaling_real`.

Real Ray workers, commits and segments; stages sleep the 2B model's seconds scaled down. Writes
docs/benchmarks.md. What real GPUs make of it is in docs/gpu.md.
"""

from __future__ import annotations

from benchmarks.page import machine, table, write_section
from benchmarks.timed_runs import Lap, Place, farm_lap, memory_folder, own_ray
from benchmarks.workloads import Workload
from farm.simulator.workload import H200
from jobs.tasks.topology import MONO

GPUS = (1, 2, 4, 8)
FILMS, CHUNKS, SCALE = 16, 3, 0.4
LEAST_EFFICIENCY = 0.95

NOTES = f"""
{FILMS} films of {CHUNKS} chunks on one worker per logical GPU; stages sleep {SCALE:g} of the 2B
model's seconds. Efficiency is the speed-up over one GPU, by the number of GPUs. All workers, segments and the
driver share the cores of this machine, which costs more the shorter the steps are.
"""


def efficiency(laps: dict[int, Lap], gpus: int) -> float:
    """Of that many GPUs, against one."""
    return laps[1].makespan_s / laps[gpus].makespan_s / gpus


def section(laps: dict[int, Lap], on: str) -> str:
    """The section of the page."""
    cells = [
        [
            str(gpus),
            f"{lap.makespan_s:.2f}",
            f"{gpus * efficiency(laps, gpus):.2f}",
            f"{efficiency(laps, gpus):.3f}",
        ]
        for gpus, lap in laps.items()
    ]
    closing = f"At least {min(efficiency(laps, gpus) for gpus in laps):.3f}; {LEAST_EFFICIENCY} is asked.\n"
    head = ["GPUs", "makespan, s", "speed-up", "efficiency"]
    return f"`python -m benchmarks.scaling_real`. {on}\n{NOTES}\n{table(head, cells)}\n{closing}"


def main() -> None:
    on, laps = machine(("ray",)), {}
    workload = Workload((CHUNKS,) * FILMS, H200["LTXV 2B"].scaled(SCALE))
    with memory_folder() as folder, own_ray(max(GPUS)):
        for gpus in GPUS:
            place = Place(folder / f"on-{gpus}", folder / "runs", gpus)
            laps[gpus] = farm_lap(workload, f"{MONO}={gpus}", place)
            print(f"{gpus} GPUs: {laps[gpus].makespan_s:.2f} s, {efficiency(laps, gpus):.3f}", flush=True)
    write_section("Scaling, rendered", section(laps, on))
    if min(efficiency(laps, gpus) for gpus in laps) < LEAST_EFFICIENCY:
        raise SystemExit(1)


if __name__ == "__main__":
    main()
