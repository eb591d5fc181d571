"""docs/benchmarks.md: each benchmark writes its own section, with the machine it ran on."""

from __future__ import annotations

import os
import platform
import re
from collections.abc import Iterable, Sequence
from datetime import UTC, datetime
from importlib.metadata import PackageNotFoundError, version
from pathlib import Path

PAGE = Path(__file__).parent.parent / "docs" / "benchmarks.md"
INTRO = """# Benchmarks

`make bench` measures everything on this page and writes it anew, each section with the machine and the
versions that it ran with. Each section's own command is named in it.
"""
_SECTION = re.compile(r"^## .*?(?=^## |\Z)", re.MULTILINE | re.DOTALL)


def write_section(title: str, text: str, page: Path = PAGE) -> None:
    """Put the section in its place on the page, or at the end if it is new."""
    before = page.read_text() if page.exists() else INTRO
    section = f"## {title}\n\n{text.strip()}\n"
    found = {each.splitlines()[0][3:]: each.strip() + "\n" for each in _SECTION.findall(before)}
    found[title] = section
    page.write_text("\n".join([INTRO, *found.values()]))


def machine(packages: Iterable[str]) -> str:
    """One sentence: the processor, its cores, the load before the run, the day, Python and packages."""
    versions = ", ".join(f"{name} {_version(name)}" for name in packages)
    load = os.getloadavg()[0]
    day = datetime.now(UTC).date().isoformat()
    return (
        f"{_processor()}, {os.cpu_count()} cores, {platform.system()} {platform.machine()}, load {load:.1f} "
        f"before the run, {day}; Python {platform.python_version()}, {versions}."
    )


def table(head: Sequence[str], rows: Iterable[Sequence[str]]) -> str:
    """A Markdown table; the first column is text, the others numbers."""
    rules = ["---", *("---:" for _ in head[1:])]
    return "".join(f"| {' | '.join(cells)} |\n" for cells in (head, rules, *rows))


def _version(package: str) -> str:
    try:
        return version(package)
    except PackageNotFoundError:
        return "not installed"


def _processor() -> str:
    info = Path("/proc/cpuinfo")
    names = re.findall(r"model name\s*: (.*)", info.read_text()) if info.exists() else []
    return names[0] if names else platform.processor()
