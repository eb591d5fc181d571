"""Renders the run directories that later versions have to read: one that is done, and one that was cancelled.

python -m tools.golden_run

It writes `tests/golden/<version>/` once for each version; what an earlier version wrote there stays. Paths of
this machine are replaced by `/golden`, and whoever reads a copy puts its own in their place (`moved`).
"""

from __future__ import annotations

import json
import shutil
import sys
import tempfile
from pathlib import Path
from socket import gethostname
from typing import Any

import yaml

from farm.api import render
from farm.cli.main import run
from farm.events import FilmDelivered, TaskCommitted
from farm.verbs.control import cancel
from jobs.records import seal, unseal
from jobs.version import VERSION

HOME = Path(__file__).parents[1] / "tests" / "golden"
ROOT = "/golden"
DONE_JOB, CANCELLED_JOB = "harbor", "dusk"
STOP_AFTER = 6
TEXTS = (".json", ".jsonl", ".yaml")
GENERATE = {"generate": {"prompt": "a harbor at dawn", "num_frames": 17}}
EXTEND = {"extend": {"prompt": "the fog lifts", "num_new_frames": 16, "overlap_frames": 16}}


def document(job: str) -> dict[str, Any]:
    """Two short films on the fake engine, at its smallest size."""
    return {
        "version": 1,
        "name": job,
        "engine": {"name": "fake"},
        "defaults": {"width": 64, "height": 64, "steps": 1},
        "videos": [
            {"name": f"{job}-noon", "chunks": [GENERATE]},
            {"name": f"{job}-dawn", "chunks": [GENERATE, EXTEND, EXTEND]},
        ],
        "output": {"dir": "films"},
    }


def make(root: Path) -> None:
    """Renders both jobs under `root`: the first in two runs and with a reseeded chunk, the second until its
    first film is there."""
    runs = str(root / "runs")
    specs = {job: _spec(job, root) for job in (DONE_JOB, CANCELLED_JOB)}
    events, count = render(specs[DONE_JOB], runs=runs, serial=True), 0
    for event in events:
        count += isinstance(event, TaskCommitted)
        if count == STOP_AFTER:
            events.close()
            break
    list(render(specs[DONE_JOB], runs=runs, serial=True))
    _farm("retry", DONE_JOB, "--videos", f"{DONE_JOB}-noon", "--reseed", "--runs", runs)
    _farm("resume", DONE_JOB, "--serial", "--runs", runs)
    for event in render(specs[CANCELLED_JOB], runs=runs, serial=True):
        if isinstance(event, FilmDelivered) and not event.preview:
            cancel(runs, CANCELLED_JOB)


def _spec(job: str, root: Path) -> Path:
    path = root / f"{job}.yaml"
    path.parent.mkdir(parents=True, exist_ok=True)
    path.write_text(yaml.safe_dump(document(job), sort_keys=False))
    return path


def _farm(*words: str) -> None:
    if code := run(list(words)):
        raise SystemExit(code)


def moved(folder: Path, old: str, new: str) -> None:
    """Puts `new` in place of the path `old` in every text of a golden folder; checksums follow."""
    for path in folder.rglob("*"):
        if path.suffix == ".json":
            value = _replaced(unseal(path.read_bytes()), old, new)
            path.write_bytes(seal(value))
        elif path.suffix in TEXTS:
            path.write_text(path.read_text().replace(old, new))


def _replaced(value: Any, old: str, new: str) -> Any:
    return json.loads(json.dumps(value).replace(json.dumps(old)[1:-1], json.dumps(new)[1:-1]))


def anonymous(folder: Path) -> None:
    """Takes out what names this machine, its hosts and processes, and what is made again anyway."""
    for made in (
        *folder.glob("runs/.*"),
        *folder.glob("runs/*/.reserve"),
        *folder.glob("runs/*/report.html"),
    ):
        made.unlink()
    for path in folder.rglob("*.json"):
        value = unseal(path.read_bytes())
        if "process" in value:
            value |= {"host": "golden", "process": {"pid": 1, "machine": "golden", "started": "1"}}
        if isinstance(value.get("provenance"), dict) and "host" in value["provenance"]:
            value["provenance"]["host"] = "golden"
        path.write_bytes(seal(value))


def main() -> int:
    """Renders this version's run directories, unless they are there."""
    target = HOME / VERSION
    if target.exists():
        sys.stderr.write(f"{target} is there already: what a version wrote is not written anew\n")
        return 1
    with tempfile.TemporaryDirectory() as temp:
        root = Path(temp).resolve() / "golden"
        make(root)
        anonymous(root)
        moved(root, str(root), ROOT)
        texts = [path for path in root.rglob("*") if path.suffix in TEXTS]
        if left := [path for path in texts if temp in path.read_text() or gethostname() in path.read_text()]:
            raise SystemExit(f"these still name this machine: {left}")
        shutil.copytree(root, target)
    return 0


if __name__ == "__main__":
    sys.exit(main())
