"""Before a commit runs what CI runs: the pieces of `make lint`, all of them."""

from __future__ import annotations

import re
from pathlib import Path

import yaml

ROOT = Path(__file__).parents[2]


def test_the_hooks_are_the_pieces_of_lint() -> None:
    (local,) = yaml.safe_load((ROOT / ".pre-commit-config.yaml").read_text())["repos"]
    assert local["repo"] == "local"
    hooks = [hook["entry"].removeprefix("make --silent ") for hook in local["hooks"]]
    makefile = (ROOT / "Makefile").read_text()
    (pieces,) = re.findall(r"^lint: (.*)$", makefile, flags=re.MULTILINE)
    assert hooks == pieces.split()
    assert all(re.search(rf"^{hook}: install-test$", makefile, flags=re.MULTILINE) for hook in hooks)
    assert "make lint " in (ROOT / ".ci" / "run").read_text()
