"""Draws the sample of mutants that docs/mutants.md reports on, after `mutmut` has made them all.

mutmut run --max-children 1 $(python -m tools.mutants)
"""

from __future__ import annotations

import json
import random
from collections.abc import Iterator
from pathlib import Path

SEED = 19
MUTANTS = Path("mutants")
SAMPLES = {
    "jobs/frames.py": 70,
    "jobs/canonical.py jobs/hashing.py jobs/file_digests.py jobs/tasks/digest.py": 50,
    "farm/scheduler/*.py": 110,
    "jobs/store/*.py": 70,
}
"""How many mutants are drawn of the files that some patterns match."""


def drawn() -> Iterator[str]:
    """Names of mutants, the same for the same sources and seed."""
    dice = random.Random(SEED)
    for patterns, count in SAMPLES.items():
        metas = [meta for pattern in patterns.split() for meta in MUTANTS.glob(f"{pattern}.meta")]
        names = [name for meta in metas for name in json.loads(meta.read_text())["exit_code_by_key"]]
        yield from dice.sample(sorted(names), count)


if __name__ == "__main__":
    print("\n".join(drawn()))
