"""A text encoder counts while prompts are encoded, and leaves where the rest needs its room."""

from __future__ import annotations

from pathlib import Path

import pytest

from cluster.inventory import Inventory, NodeFacts
from farm.doctor.device import check_fit
from farm.session.opening import Scope
from farm.session.session import JobSession
from farm.topology.auto import choose_topology, has_prompts_first
from farm.topology.candidates import fitting
from farm.topology.memory import engine_footprint
from farm.topology.model_sizes import model_sizes
from jobs.loading.load import load_spec
from jobs.spec.engine import EngineConfig
from jobs.tasks.task import Stage
from jobs.tasks.topology import Machine, parse_topology
from tests.farm.topology.test_memory import TWICE, tasks
from tests.official.files import write_sparse
from tests.official.ltx2_files import write_single_file


def ltx2_with_gemma(folder: Path, name: str = "diffusers", dtype: str = "auto") -> EngineConfig:
    """LTX-2.3 and Gemma 3 12B, 12.2 B parameters in 16 bits."""
    model = write_single_file(folder / "ltx-2.3.safetensors", "2.3")
    (folder / "gemma" / "text_encoder").mkdir(parents=True)
    shape = (12_187_325, 1000)
    write_sparse(folder / "gemma" / "text_encoder" / "model.safetensors", {"model.x": ("BF16", shape)})
    files = {"checkpoint": str(model), "text_encoder": str(folder / "gemma")}
    return EngineConfig.model_validate({"name": name, "dtype": dtype, **files})


@pytest.mark.parametrize(
    ("name", "dtype", "device_gib", "exchanges"),
    [
        ("diffusers", "bfloat16", 80.0, False),
        ("diffusers", "bfloat16", 48.0, True),
        ("diffusers", "fp8", 48.0, False),
        ("comfyui", "auto", 80.0, False),
        ("comfyui", "auto", 48.0, True),
    ],
)
def test_a_text_encoder_counts_while_prompts_are_encoded(
    name: str, dtype: str, device_gib: float, exchanges: bool, tmp_path: Path
) -> None:
    """With the text encoder beside the rest 121 frames at 1536x1024 would need 91 GiB in bfloat16."""
    engine = ltx2_with_gemma(tmp_path, name, dtype)
    footprint = engine_footprint(engine, tasks(frames=121, upscale=TWICE), device_gib)
    assert footprint is not None
    assert footprint.at_once_gib(Stage) > device_gib
    (mono,) = fitting([parse_topology("mono=1", Machine(1))], set(Stage), footprint)
    assert mono[1] is exchanges
    (*_, said) = check_fit(footprint, frozenset(Stage))
    assert said.level == ("warn" if exchanges else "ok")
    assert ("prompts are encoded first" in said.message) is not exchanges


@pytest.mark.parametrize(("engine", "twice"), [("diffusers", False), ("comfyui", True)])
def test_a_text_encoder_in_32_bits_counts_as_the_engine_holds_it(
    engine: str, twice: bool, tmp_path: Path
) -> None:
    """The folders of `Lightricks/LTX-2` and T5's have such; the diffusers engine turns them into 16."""
    gib = []
    for kind in ("BF16", "F32"):
        (tmp_path / kind).mkdir()
        file = write_sparse(tmp_path / kind / "model.safetensors", {"model.x": (kind, (2**15, 2**15))})
        text = str(file if engine == "comfyui" else file.parent)
        named = {"name": engine, "checkpoint": str(tmp_path / kind), "text_encoder": text}
        gib.append(model_sizes(EngineConfig.model_validate(named)).text_encoder)
    assert gib == pytest.approx([2.0, 4.0 if twice else 2.0])


def test_the_text_encoder_is_the_larger_phase_where_it_is_larger(tmp_path: Path) -> None:
    """Of small clips of a model in fp8."""
    clips = {"width": 256, "height": 128, "prompt": "a clip"}
    footprint = engine_footprint(ltx2_with_gemma(tmp_path, dtype="fp8"), tasks(defaults=clips), 48.0)
    assert footprint is not None
    assert footprint.together_gib(Stage) == footprint.together_gib((Stage.ENCODE,))
    assert footprint.together_gib(Stage) > footprint.together_gib(set(Stage) - {Stage.ENCODE})


@pytest.mark.parametrize(("card", "first"), [("H100", True), ("H200", False), ("unheard of", False)])
def test_the_driver_knows_whether_prompts_come_first(card: str, first: bool, tmp_path: Path) -> None:
    """By the memory of its GPUs, as `auto`; where that is unknown, all is taken to fit."""
    engine = ltx2_with_gemma(tmp_path).model_dump(exclude_unset=True)
    size = {"width": 1536, "height": 1024, "prompt": "a clip"}
    spec = {
        "name": "harbor",
        "engine": engine,
        "defaults": size,
        "videos": [{"name": "a", "chunks": [{"generate": {"num_frames": 121}}]}],
    }
    work = JobSession(load_spec(spec), Scope(str(tmp_path / "runs"))).remaining_work
    there = Inventory((NodeFacts("n", "n", 1, 8, card),))
    mono = choose_topology(work, there, None).winner.topology
    assert str(mono).startswith("mono=1")
    assert has_prompts_first(work, there, mono) is first
