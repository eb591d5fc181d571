"""Memory of GPUs as their driver tells it: here a stand-in for `nvidia-smi`."""

from __future__ import annotations

from pathlib import Path

import pytest

from cluster.device_memory import local_memory_gib, with_memory
from cluster.inventory import Inventory, NodeFacts


@pytest.mark.parametrize(
    ("prints", "code", "expected"),
    [("24564\\n24564\\n", 0, 23.99), ("81559\\n24564\\n", 0, 23.99), ("[N/A]\\n", 0, None), ("", 9, None)],
)
def test_the_smallest_gpu_of_a_machine_counts(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, prints: str, code: int, expected: float | None
) -> None:
    tool = tmp_path / "nvidia-smi"
    tool.write_text(f"#!/bin/sh\nprintf '{prints}'\nexit {code}\n")
    tool.chmod(0o755)
    monkeypatch.setenv("PATH", f"{tmp_path}:/bin:/usr/bin")
    assert local_memory_gib() == pytest.approx(expected, abs=0.01)


def test_a_machine_without_the_driver_does_not_tell(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("PATH", str(tmp_path))
    assert local_memory_gib() is None


def test_logical_gpus_are_not_asked() -> None:
    inventory = Inventory((NodeFacts("a", "a", 2, 8),))
    assert with_memory(inventory) == inventory
