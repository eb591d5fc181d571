"""The README fits a screen and tells the truth; the tree of the architecture names what is there."""

from __future__ import annotations

import re
import subprocess
from pathlib import Path

import farm

ROOT = Path(__file__).parents[2]


MOST_LINES = 60


def tree() -> str:
    return (ROOT / "docs" / "architecture.md").read_text().split("## Where things are")[1].split("```")[1]


def test_the_readme_is_short() -> None:
    assert len((ROOT / "README.md").read_text().splitlines()) <= MOST_LINES


def test_tree_names_every_folder() -> None:
    named = set(re.findall(r"^([a-z]+)/ ", tree(), flags=re.MULTILINE))
    tracked = subprocess.run(["git", "ls-files"], cwd=ROOT, capture_output=True, text=True, check=True).stdout
    folders = {
        line.split("/")[0] for line in tracked.splitlines() if "/" in line and not line.startswith(".")
    }
    assert named == folders


def test_tree_names_every_room() -> None:
    named, top = set(), ""
    for line in tree().splitlines():
        words = re.split(r" {2,}", line.strip())[0]
        if not line.startswith(" "):
            top = words.removesuffix("/")
        else:
            named |= {f"{top}/{word}" for word in words.split()}
    rooms = {
        path.parent.relative_to(ROOT).as_posix()
        for top in ("farm", "jobs", "actors", "cluster")
        for path in (ROOT / top).glob("*/__init__.py")
    }
    assert rooms <= named
    assert [room for room in named if not (ROOT / room).exists() and not (ROOT / f"{room}.py").exists()] == []


def test_documents_it_points_to_exist() -> None:
    text = (ROOT / "README.md").read_text()
    paths = re.findall(r"`((?:docs|examples|actors|cluster)/[\w./-]+)`", text)
    paths += re.findall(r"(?:\]\(|src=\")([\w./-]+)", text)
    assert len(paths) > 20
    assert [path for path in paths if not (ROOT / path).exists()] == []


def test_commands_are_make_targets() -> None:
    readme, makefile = (ROOT / "README.md").read_text(), (ROOT / "Makefile").read_text()
    for target in re.findall(r"^make (\w[\w-]*)", readme, flags=re.MULTILINE):
        assert re.search(rf"^{target}:", makefile, flags=re.MULTILINE)


def test_public_names() -> None:
    assert sorted(farm.__all__) == [
        "CannotRun",
        "Event",
        "FarmError",
        "FilmDelivered",
        "InputError",
        "JobCancelled",
        "JobFailed",
        "JobFinished",
        "JobPlanned",
        "Notice",
        "RenderOptions",
        "SpecError",
        "TaskCommitted",
        "TaskFailed",
        "TaskStarted",
        "TaskSuperseded",
        "WorkerGone",
        "WorkerPlaced",
        "WorkerReady",
        "WorkerSuspended",
        "__version__",
        "films",
        "render",
    ]
    assert all(getattr(farm, name) is not None for name in farm.__all__)
