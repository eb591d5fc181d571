"""Shots with LoRAs of their own: the same bytes from one worker, several, stages apart, and a resumed job."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import pytest
import torch
from safetensors.torch import save_file

from actors.models import TINY_CHECKPOINT
from cluster.local.cluster import Doom, Dooms, LocalCluster
from cluster.local.faults import Crash
from farm.events import TaskCommitted, TaskStarted, WorkerGone
from jobs.errors import InputError
from jobs.tasks.task import Stage
from jobs.weights.header import read_weights
from tests.farm.execution.local_render import render
from tests.ray.kit.specs import JOB, Rendered, render_alone

SIZES = {"num_frames": 9, "num_new_frames": 8, "overlap_frames": 8}
PROMPT = "a red ball moves right over a teal background"


def lora(path: Path, layer: str) -> Path:
    """A LoRA of one layer of the bundled model."""
    found = read_weights(TINY_CHECKPOINT).tensors
    key = next(name for name in found if name.endswith(f"{layer}.weight"))
    stem = "diffusion_model." + key[key.index("transformer_blocks") :].removesuffix(".weight")
    drawn = torch.Generator().manual_seed(1)
    down, up = (torch.randn(2, size, generator=drawn) for size in found[key].shape[::-1])
    save_file({f"{stem}.lora_A.weight": down, f"{stem}.lora_B.weight": up.T.contiguous()}, path)
    return path


def film(out: Path, *sets: list[dict[str, Any]]) -> dict[str, Any]:
    """A film of a shot of two chunks for each set."""
    shots = [
        {"name": f"s{number}", "seconds": 0.68, "prompt": PROMPT, "loras": own}
        for number, own in enumerate(sets)
    ]
    return {
        "version": 3,
        "name": JOB,
        "defaults": {"width": 32, "height": 32, "steps": 2, "sampler": "euler", "seed": 5, **SIZES},
        "upscale": {"steps": 2, "denoise": 0.5},
        "videos": [{"name": "dawn", "shots": shots}],
        "run": {"threads": 1},
        "output": {"dir": str(out)},
    }


@pytest.fixture
def sets(tmp_path: Path) -> tuple[list[dict[str, Any]], ...]:
    """Of two characters, one of whom has another strength in the second pass."""
    anna, ben = (
        str(lora(tmp_path / f"{name}.safetensors", f"transformer_blocks.0.attn1.{layer}"))
        for name, layer in (("anna", "to_v"), ("ben", "to_k"))
    )
    both = {"sample": 0.8, "upscale": 0.4}
    return [{"path": anna, "strength": both}], [{"path": ben, "strength": 0.8}]


def committed(rendered: Rendered) -> set[int]:
    """The chunks that anything but an encode was made for."""
    tasks = {event.task for event in rendered.of(TaskCommitted)}
    return {int(task.split("/")[1]) for task in tasks if not task.startswith("encode")}


def test_equal_bytes_from_every_topology(tmp_path: Path, sets: tuple[list[dict[str, Any]], ...]) -> None:
    wanted = render_alone(tmp_path / "alone", film(tmp_path / "films", *sets)).films
    plain = render_alone(tmp_path / "plain", film(tmp_path / "films of plain", [], [])).films
    assert wanted != plain
    for topology in ("mono=1", "mono=2", "sample=1,upscale+decode=1,segment=1"):
        data = film(tmp_path / topology / "films", *sets)
        rendered = render(tmp_path / topology / "runs", data, topology)
        assert (rendered.outcome, rendered.films) == ("done", wanted), topology
        reasons = " ".join(event.reason for event in rendered.of(TaskStarted))
        assert topology != "mono=1" or "the worker loads ben.safetensors 0.8" in reasons


def test_a_resumed_job_goes_on_with_them(tmp_path: Path, sets: tuple[list[dict[str, Any]], ...]) -> None:
    """A worker dies between two sets; then first passes alone, and the rest in another run."""
    data = film(tmp_path / "films", *sets)
    wanted = render_alone(tmp_path / "alone", {**data, "output": {"dir": str(tmp_path / "of alone")}}).films
    dooms = Dooms(Doom("dawn/00002/sample", Crash(0.01, noticed_s=0.01)))
    first = render(tmp_path / "runs", data, "mono=1", LocalCluster(fates=dooms), until=Stage.SAMPLE)
    assert first.of(WorkerGone)
    assert render(tmp_path / "runs", data, "mono=1").films == wanted


def test_another_strength_makes_one_shot_again(
    tmp_path: Path, sets: tuple[list[dict[str, Any]], ...]
) -> None:
    data = film(tmp_path / "films", *sets)
    render(tmp_path / "runs", data, "mono=1")
    data["videos"][0]["shots"][1]["loras"][0]["strength"] = 0.5
    again = render(tmp_path / "runs", data, "mono=1")
    assert (again.outcome, committed(again)) == ("done", {2, 3})


def test_a_file_that_went_away_is_said(tmp_path: Path, sets: tuple[list[dict[str, Any]], ...]) -> None:
    data = film(tmp_path / "films", *sets)
    Path(sets[1][0]["path"]).unlink()
    with pytest.raises(InputError, match=r"videos\[0\].shots\[1\].loras\[0\].path"):
        render(tmp_path / "runs", data, "mono=1")
