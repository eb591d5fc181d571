"""What the tests took, by folder, written into CONTRIBUTING.md.

python -m tools.minutes_table build/tests.xml

`make test-minutes` runs the tests and then this.
"""

from __future__ import annotations

import re
import sys
from collections import defaultdict
from pathlib import Path
from xml.etree import ElementTree

PAGE = Path(__file__).parents[1] / "CONTRIBUTING.md"
BEGIN, END = "<!-- test minutes -->\n", "<!-- end of test minutes -->\n"
SLOWEST = 5


def table(report: str) -> str:
    """The table of a JUnit report: tests and minutes of each folder, longest first, and the slowest tests.

    Seconds of a test include those of the fixtures that were made for it.
    """
    suite = ElementTree.fromstring(report).find("testsuite")
    assert suite is not None
    took: dict[str, list[float]] = defaultdict(list)
    slowest: list[tuple[float, str]] = []
    for case in suite.iter("testcase"):
        module, seconds = case.get("classname", ""), float(case.get("time", 0))
        if not module:  # a file that was skipped whole
            continue
        took["/".join(module.split(".")[:2])].append(seconds)
        slowest.append((seconds, f"{module.replace('.', '/')}.py::{case.get('name')}"))
    rows = [_row(f"`{folder}`", took[folder]) for folder in sorted(took, key=lambda each: -sum(took[each]))]
    every = [seconds for each in took.values() for seconds in each]
    most = ", ".join(f"`{name}` {seconds:.0f} s" for seconds, name in sorted(slowest, reverse=True)[:SLOWEST])
    wall = f"`make test` took {float(suite.get('time', 0)) / 60:.1f} minutes on two cores"
    return "\n".join(
        [
            f"{wall}. By folder, minutes of all processes together (`make test-minutes` writes this):",
            "",
            "| folder | tests | minutes |",
            "| --- | ---: | ---: |",
            *rows,
            _row("all", every),
            "",
            f"The slowest: {most}.",
            "",
        ]
    )


def _row(name: str, seconds: list[float]) -> str:
    return f"| {name} | {len(seconds):,} | {sum(seconds) / 60:.1f} |"


def put(page: str, text: str) -> str:
    """The page with the text between its marks."""
    found = re.compile(re.escape(BEGIN) + ".*" + re.escape(END), re.DOTALL)
    assert found.search(page), f"no place for it: {BEGIN.strip()}"
    return found.sub(lambda _: f"{BEGIN}{text}{END}", page)


def main(report: Path) -> None:
    """Writes what the report says into the page."""
    PAGE.write_text(put(PAGE.read_text(), table(report.read_text())))


if __name__ == "__main__":
    main(Path(sys.argv[1]))
