"""Everything that needs no GPU and no other checkout, one after the other: `make bench`.

The machine should have nothing else to do. Exits 1 when a bar was missed.
"""

from __future__ import annotations

import subprocess
import sys

PARTS: tuple[tuple[str, ...], ...] = (
    ("prediction",),
    ("topology_real",),
    ("side_by_side",),
    ("topology_table",),
    ("scaling_curves",),
    ("scheduler_cost",),
    ("segment_throughput",),
)


def main() -> None:
    """Each part in a process of its own, as it would be run by itself."""
    missed = []
    for part, *options in PARTS:
        print(f"== {part}", flush=True)
        if subprocess.run([sys.executable, "-m", f"benchmarks.{part}", *options], check=False).returncode:
            missed.append(part)
    if missed:
        raise SystemExit(f"missed: {', '.join(missed)}")


if __name__ == "__main__":
    main()
