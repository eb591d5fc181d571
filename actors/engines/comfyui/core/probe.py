"""Which of the APIs this project uses a ComfyUI has: `python -m actors.engines.comfyui.core.probe PATH`."""

from __future__ import annotations

import json
import subprocess
import sys
from collections.abc import Mapping
from dataclasses import asdict, dataclass, field
from pathlib import Path

from actors.engines.comfyui.core.requirements import FEATURES, in_words
from jobs.errors import CannotRun

MARK = "ltx-farm-probe:"
TIMEOUT_S = 120
KEYS = ("missing", "folders")


@dataclass(frozen=True, slots=True)
class CoreReport:
    """A core's version, by feature what keeps it from that, and its model folders by kind."""

    version: str
    missing: Mapping[str, tuple[str, ...]]
    folders: Mapping[str, tuple[str, ...]] = field(default_factory=dict)

    @property
    def usable(self) -> bool:
        """Whether anything can be rendered at all."""
        return not self.missing["sampling"]

    def lines(self) -> list[str]:
        """What to tell a user, a line per feature."""
        return [in_words(name, self.missing[name]) for name in FEATURES]


def probe(root: Path, python: str = sys.executable) -> CoreReport:
    """Ask the ComfyUI at `root` in a process of its own. Raises CannotRun when it does not start."""
    command = [python, "-m", "actors.engines.comfyui.core.probe", str(root)]
    try:
        done = subprocess.run(command, capture_output=True, text=True, timeout=TIMEOUT_S, check=False)
    except subprocess.TimeoutExpired:
        raise CannotRun(f"The ComfyUI at {root} did not start in {TIMEOUT_S} s: try its main.py.") from None
    answer = next((line for line in done.stdout.splitlines() if line.startswith(MARK)), None)
    if answer is None:
        reason = (done.stderr.strip().splitlines() or ["no output"])[-1]
        raise CannotRun(f"The ComfyUI at {root} does not start: {reason}")
    found = json.loads(answer.removeprefix(MARK))
    missing, folders = ({name: tuple(all_) for name, all_ in found[key].items()} for key in KEYS)
    return CoreReport(found["version"], missing, folders)


def inspect_core(root: Path) -> CoreReport:
    """Boot the core in this process and look every API up."""
    from actors.engines.comfyui.core.boot import BootOptions, boot
    from actors.engines.comfyui.core.nodes import Core

    boot(BootOptions(root, device="cpu"))
    core = Core.current()
    return CoreReport(core.version, {name: core.lacks(name) for name in FEATURES}, _model_folders())


def _model_folders() -> dict[str, tuple[str, ...]]:
    """Where this ComfyUI looks for models, by kind, `extra_model_paths.yaml` included."""
    import folder_paths

    return {kind: tuple(folder_paths.get_folder_paths(kind)) for kind in folder_paths.folder_names_and_paths}


def main() -> None:
    try:
        print(MARK + json.dumps(asdict(inspect_core(Path(sys.argv[1])))))
    except CannotRun as error:
        sys.exit(str(error))


if __name__ == "__main__":
    main()
