"""Tries every fault against real renders on this machine, prints one line each, and writes what came of them
into docs/reliability.md. It needs the right to mount, and takes about a quarter of an hour."""

from __future__ import annotations

import argparse
import os
import re
import tempfile
from collections import Counter
from collections.abc import Iterable
from datetime import UTC, datetime
from pathlib import Path

import fsspec
import ray

from tools.faults import cluster, driver, storage
from tools.faults.bench import Bench
from tools.faults.trial import Result, attempt

PAGE = Path(__file__).parents[2] / "docs" / "reliability.md"
BEGIN, END = "<!-- faults: made by tools/faults -->\n", "<!-- end of faults -->"


def main() -> int:
    """0 where every fault was survived."""
    parser = argparse.ArgumentParser(prog="python -m tools.faults", description=__doc__)
    parser.add_argument("--only", default="", help="faults whose part or name holds this")
    only = parser.parse_args().only
    every = (*driver.trials(), *storage.trials(), *cluster.trials())
    chosen = [trial for trial in every if only in f"{trial.part}: {trial.name}"]
    load, results = os.getloadavg()[0], []
    with tempfile.TemporaryDirectory(prefix="faults-", ignore_cleanup_errors=True) as root:
        bench = Bench(Path(root))
        bench.begin()
        bench.films = {film["name"]: film["sha256"] for film in bench.render().state["videos"]}
        for trial in chosen:
            result = attempt(trial, bench)
            results.append(result)
            mark = "!! " if result.fault else ""
            took = f"{result.seconds:.0f} s, silent for {result.silence_s:.0f} s"
            print(f"{mark}{trial.part}: {trial.name}: {took} {result.fault}", flush=True)
    if not only:
        write_page([conditions(load), "", summary(results), "", *table(results)])
    return int(any(result.fault for result in results))


def conditions(load: float) -> str:
    """Where and when."""
    day = datetime.now(UTC).date().isoformat()
    versions = f"Ray {ray.__version__}, fsspec {fsspec.__version__}"
    return f"{day}, {os.cpu_count()} cores, load {load:.0f} when it began, {versions}; fake engine."


def summary(results: Iterable[Result]) -> str:
    """How many faults were tried and survived, by part and in all."""
    tried: Counter[str] = Counter()
    survived: Counter[str] = Counter()
    for result in results:
        tried[result.trial.part] += result.trial.tried
        survived[result.trial.part] += result.survived
    parts = ", ".join(f"{part} {survived[part]} of {count}" for part, count in tried.items())
    return f"{tried.total()} faults tried, {survived.total()} survived: {parts}."


def table(results: Iterable[Result]) -> list[str]:
    """A row for each trial."""
    lines = ["| fault | tried | survived | longest silence, s |", "| --- | --- | --- | --- |"]
    for result in results:
        trial, silence = result.trial, f"{result.silence_s:.0f}" if result.silence_s else "-"
        lines.append(f"| {trial.part}: {trial.name} | {trial.tried} | {result.survived} | {silence} |")
    return lines


def write_page(lines: list[str]) -> None:
    """Puts the lines between the page's marks."""
    text = PAGE.read_text()
    body = re.escape(BEGIN) + ".*?" + re.escape(END)
    PAGE.write_text(re.sub(body, lambda _: BEGIN + "\n" + "\n".join(lines) + "\n\n" + END, text, flags=re.S))


if __name__ == "__main__":
    raise SystemExit(main())
