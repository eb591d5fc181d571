"""Which of the APIs this project uses a ComfyUI has: `python -m actors.engines.comfyui.probe PATH`."""

from __future__ import annotations

import importlib
import json
import subprocess
import sys
from collections.abc import Mapping
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any

from actors.engines.comfyui.requirements import FEATURES
from jobs.errors import CannotRun

MARK = "ltx-farm-probe:"
TIMEOUT_S = 120


@dataclass(frozen=True, slots=True)
class CoreReport:
    """A core's version and, by feature, the node ids and functions it lacks."""

    version: str
    missing: Mapping[str, tuple[str, ...]]

    @property
    def usable(self) -> bool:
        """Whether anything can be rendered at all."""
        return not self.missing["sampling"]

    def lines(self) -> list[str]:
        """What to tell a user, a line per feature."""
        return [_line(name, self.missing[name]) for name in FEATURES]


def _line(name: str, missing: tuple[str, ...]) -> str:
    if not missing:
        return f"{name}: complete"
    feature = FEATURES[name]
    return (
        f"{name}: lacks {', '.join(missing)}; ComfyUI {feature.since} and later have it, or {feature.without}"
    )


def probe(root: Path, python: str = sys.executable) -> CoreReport:
    """Ask the ComfyUI at `root` in a process of its own. Raises CannotRun when it does not start."""
    command = [python, "-m", "actors.engines.comfyui.probe", str(root)]
    try:
        done = subprocess.run(command, capture_output=True, text=True, timeout=TIMEOUT_S, check=False)
    except subprocess.TimeoutExpired:
        raise CannotRun(f"The ComfyUI at {root} did not start in {TIMEOUT_S} s: try its main.py.") from None
    answer = next((line for line in done.stdout.splitlines() if line.startswith(MARK)), None)
    if answer is None:
        reason = (done.stderr.strip().splitlines() or ["no output"])[-1]
        raise CannotRun(f"The ComfyUI at {root} does not start: {reason}")
    found = json.loads(answer.removeprefix(MARK))
    return CoreReport(found["version"], {name: tuple(apis) for name, apis in found["missing"].items()})


def inspect_core(root: Path) -> CoreReport:
    """Boot the core in this process and look every API up."""
    from actors.engines.comfyui.boot import BootOptions, boot
    from actors.engines.comfyui.core import Core

    boot(BootOptions(root, device="cpu"))
    core = Core.current()
    missing = {
        name: (
            *(node for node in feature.nodes if not core.has(node)),
            *(function for function in feature.functions if not _exists(function)),
        )
        for name, feature in FEATURES.items()
    }
    return CoreReport(core.version, missing)


def _exists(dotted: str) -> bool:
    """Whether a function is there: the longest importable prefix, then attributes."""
    parts = dotted.split(".")
    for split in range(len(parts) - 1, 0, -1):
        try:
            found: Any = importlib.import_module(".".join(parts[:split]))
        except ModuleNotFoundError:
            continue
        for part in parts[split:]:
            found = getattr(found, part, None)
        return found is not None
    return False


def main() -> None:
    try:
        print(MARK + json.dumps(asdict(inspect_core(Path(sys.argv[1])))))
    except CannotRun as error:
        sys.exit(str(error))


if __name__ == "__main__":
    main()
