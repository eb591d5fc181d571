"""Everything that needs no GPU and no other checkout, one after the other: `make bench`.

The machine should have nothing else to do. Exits 1 when a bar was missed. `python -m benchmarks NAME...` runs
only those.
"""

from __future__ import annotations

import argparse
import subprocess
import sys

from benchmarks.page import machine, write_section

PARTS = (
    "prediction",
    "topology_real",
    "scaling_real",
    "side_by_side",
    "topology_table",
    "scaling_curves",
)
"""They write their own pages."""

PRINTED = {
    "scheduler_cost": (
        "Scheduler cost",
        "Films of guided chunks on 512 workers, simulated on one core: what the scheduler itself takes.",
    ),
    "segment_throughput": (
        "Segments",
        "Decoded 1080p frames to cross-faded, encoded segments, beside ffmpeg alone encoding the same frames "
        "from a file; frames per second of one core.",
    ),
}
"""Their output becomes a section of docs/benchmarks.md."""


def main() -> None:
    """Each part in a process of its own, as it would be run by itself."""
    parser = argparse.ArgumentParser(prog="python -m benchmarks", description=__doc__)
    parser.add_argument("parts", nargs="*", metavar="NAME", help=", ".join((*PARTS, *PRINTED)))
    parts = parser.parse_args().parts or (*PARTS, *PRINTED)
    if missed := [part for part in parts if not run(part)]:
        raise SystemExit(f"missed: {', '.join(missed)}")


def run(part: str) -> bool:
    """Run one part; whether it met its bars."""
    print(f"== {part}", flush=True)
    command = [sys.executable, "-m", f"benchmarks.{part}"]
    if part not in PRINTED:
        return subprocess.run(command, check=False).returncode == 0
    on = machine(("numpy", "imageio-ffmpeg"))
    done = subprocess.run(command, stdout=subprocess.PIPE, text=True, check=False)
    print(done.stdout, flush=True)
    title, about = PRINTED[part]
    said = done.stdout if done.stdout.startswith("|") else f"```json\n{done.stdout.strip()}\n```"
    write_section(title, f"`python -m benchmarks {part}`. {on}\n\n{about}\n\n{said}")
    return done.returncode == 0


if __name__ == "__main__":
    main()
