"""`farm` as a light install has it: the packages that only rendering needs are not to be found."""

from __future__ import annotations

import json
import os
import subprocess
import sys
from pathlib import Path
from typing import Any

REPOSITORY = Path(__file__).parents[1]
ABSENT = ("torch", "ray", "diffusers", "transformers", "huggingface_hub")
COMMANDS = """
import contextlib, io, json, sys
from importlib.machinery import PathFinder

found = PathFinder.find_spec
PathFinder.find_spec = lambda name, *rest: None if name.partition(".")[0] in {absent} else found(name, *rest)
from farm.cli.main import run

answers = []
for words in json.loads(sys.argv[1]):
    out, err = io.StringIO(), io.StringIO()
    with contextlib.redirect_stdout(out), contextlib.redirect_stderr(err):
        code = run(words)
    answers.append((code, out.getvalue(), err.getvalue()))
print(json.dumps(answers))
"""


def answers(folder: Path, *commands: tuple[str, ...], **changes: str) -> list[tuple[int, str, str]]:
    """Exit code, output and messages of each command, run where the packages are not to be found."""
    environment = {**os.environ, "PYTHONPATH": str(REPOSITORY), **changes}
    done = subprocess.run(
        [sys.executable, "-c", COMMANDS.format(absent=ABSENT), json.dumps(commands)],
        cwd=folder,
        env=environment,
        capture_output=True,
        text=True,
        check=False,
    )
    assert done.returncode == 0, done.stderr
    told: list[Any] = json.loads(done.stdout)
    return [tuple(answer) for answer in told]
