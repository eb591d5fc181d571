"""Gives `farm check` every input that was thought of to hang it, crash it or fill the memory, and writes what
came of it into docs/reliability.md.

python -m tools.hostile_inputs [--only WORD]
"""

from __future__ import annotations

import argparse
import re
import resource
import subprocess
import sys
import tempfile
import time
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path

from tools.hostile_corpus import corpus, write

PAGE = Path(__file__).parents[1] / "docs" / "reliability.md"
MOST_S, MOST_MB = 10.0, 300
CUT_S = 60.0


@dataclass(frozen=True)
class Measured:
    """One run of `farm check`: exit code, seconds on the clock and of a processor, peak resident MB, and all
    that it printed."""

    code: int
    seconds: float
    cpu_s: float
    peak_mb: int
    said: str

    @property
    def answered(self) -> bool:
        """Accepted, or refused with a place, without a traceback."""
        if self.code == 0:
            return True
        return self.code == 2 and "rule: " in self.said and "Traceback" not in self.said


CHECK = """
import sys
from farm.cli.main import run
code = run(["check", sys.argv[1]])
peak = next(line for line in open("/proc/self/status") if line.startswith("VmHWM"))
print("\\n" + peak.split()[1], file=sys.stderr)
sys.exit(code)
"""


def measure(path: Path) -> Measured:
    """`farm check` on it, in a process of its own that is ended after a minute."""
    with tempfile.TemporaryFile() as output:
        before, start = resource.getrusage(resource.RUSAGE_CHILDREN), time.monotonic()
        command = [sys.executable, "-c", CHECK, str(path)]
        child = subprocess.Popen(command, stdin=subprocess.DEVNULL, stdout=output, stderr=output)
        try:
            code = child.wait(CUT_S)
        except subprocess.TimeoutExpired:
            child.kill()
            code = child.wait()
        seconds, used = time.monotonic() - start, resource.getrusage(resource.RUSAGE_CHILDREN)
        output.seek(0)
        said, _, peak_kib = output.read().decode(errors="replace").rstrip().rpartition("\n")
    cpu_s = used.ru_utime + used.ru_stime - before.ru_utime - before.ru_stime
    peak_mb = int(peak_kib) * 1024 // 10**6 if peak_kib.isdigit() else 0
    return Measured(code, seconds, cpu_s, peak_mb, said)


def rows(results: Mapping[str, Measured]) -> list[str]:
    """The table, and the line above it."""
    answered = sum(result.answered for result in results.values())
    slowest = max(result.seconds for result in results.values())
    busiest = max(result.cpu_s for result in results.values())
    largest = max(result.peak_mb for result in results.values())
    head = (
        f"{len(results)} inputs tried, {answered} answered (accepted, or exit code 2 with a place), "
        f"{sum('Traceback' in result.said for result in results.values())} tracebacks; "
        f"the longest took {slowest:.1f} s, {busiest:.1f} s of a processor, the largest {largest} MB."
    )
    lines = [
        head,
        "",
        "| input | answer | seconds | of a processor | peak MB |",
        "| --- | --- | --- | --- | --- |",
    ]
    for name, result in results.items():
        answer = {0: "accepted", 2: "refused"}.get(result.code, f"exit code {result.code}")
        lines.append(f"| {name} | {answer} | {result.seconds:.1f} | {result.cpu_s:.1f} | {result.peak_mb} |")
    return lines


def write_page(lines: list[str]) -> None:
    """Puts the lines between the page's marks."""
    begin, end = "<!-- inputs: made by tools/hostile_inputs.py -->\n", "<!-- end of inputs -->"
    text = PAGE.read_text()
    body = re.escape(begin) + ".*?" + re.escape(end)
    PAGE.write_text(re.sub(body, lambda _: begin + "\n" + "\n".join(lines) + "\n\n" + end, text, flags=re.S))


def main() -> int:
    """Tries all, prints one line each, and writes the page where none was left out."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0] if __doc__ else "")
    parser.add_argument("--only", default="", help="inputs whose name holds this")
    only = parser.parse_args().only
    results: dict[str, Measured] = {}
    with tempfile.TemporaryDirectory() as folder:
        for name in filter(lambda name: only in name, corpus()):
            path = write(name, Path(folder))
            result = results[name] = measure(path)
            path.unlink(missing_ok=True) if not path.is_dir() else path.rmdir()
            well = result.answered and result.seconds <= MOST_S and result.peak_mb <= MOST_MB
            times = f"{result.seconds:.1f} s ({result.cpu_s:.1f} s CPU)"
            print(f"{'' if well else '!! '}{name}: {result.code}, {times}, {result.peak_mb} MB", flush=True)
            if not well:
                print(result.said[-600:])
    if not only:
        write_page(rows(results))
    return 0


if __name__ == "__main__":
    sys.exit(main())
