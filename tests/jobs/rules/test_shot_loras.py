"""LoRAs of a shot are there, fit the model and stand once; ComfyUI's engine has none for one shot."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import pytest

from actors.models import TINY_CHECKPOINT
from jobs.errors import Problem, SpecError
from jobs.loading.load import load_spec
from jobs.places import shown
from jobs.planning.facts import Probes
from tests.official.files import write_release, write_sparse
from tests.official.ltx2_files import write_single_file

HERE = "videos[0].shots[1].loras"
LAYER = "diffusion_model.transformer_blocks.0.attn1.to_q"
FACE = {"image": "face.png", "scale": 2}


def lora(path: Path, width: int, metadata: dict[str, str] | None = None) -> str:
    """A LoRA for one layer of that width."""
    shapes = {"lora_A": (4, width), "lora_B": (width, 4)}
    tensors = {f"{LAYER}.{which}.weight": ("BF16", shape) for which, shape in shapes.items()}
    write_sparse(path, tensors, metadata or {})
    return str(path)


@pytest.fixture
def engine(tmp_path: Path) -> dict[str, Any]:
    """A model of width 2048."""
    model = write_release(tmp_path, "ltxv-2b-0.9.8-distilled.safetensors")
    return {"checkpoint": str(model), "text_encoder": "owner/t5"}


def problems(engine: dict[str, Any], loras: list[dict[str, Any]], **shot: Any) -> list[Problem]:
    """What is wrong with a film whose second shot has these."""
    common = {"seconds": 2.0, "prompt": "p"}
    shots = [{"name": "a", **common}, {"name": "b", **common, "loras": loras, **shot}]
    data = {"name": "x", "engine": engine, "videos": [{"name": "film", "shots": shots}]}
    try:
        load_spec(data, probes=Probes(bundled=TINY_CHECKPOINT))
    except SpecError as error:
        return list(error.problems)
    return []


def test_one_that_fits_is_taken(engine: dict[str, Any], tmp_path: Path) -> None:
    anna = lora(tmp_path / "anna.safetensors", 2048)
    strengths: list[Any] = [0.8, {"sample": 0.8, "upscale": 0.4}, 0.0]
    for strength in strengths:
        assert problems(engine, [{"path": anna, "strength": strength}]) == []


def test_one_of_another_model(engine: dict[str, Any], tmp_path: Path) -> None:
    (found,) = problems(engine, [{"path": lora(tmp_path / "anna.safetensors", 4096)}])
    assert found.place == f"{HERE}[0].path"
    assert "is for a weight of" in found.rule


@pytest.mark.parametrize("name", ["diffusers", "fake"])
def test_one_that_is_not_there(name: str, engine: dict[str, Any], tmp_path: Path) -> None:
    (found,) = problems({**engine, "name": name}, [{"path": str(tmp_path / "anna.safetensors")}])
    assert (found.place, "does not exist" in found.value) == (f"{HERE}[0].path", True)


def test_one_that_is_torn_or_pickled(engine: dict[str, Any], tmp_path: Path) -> None:
    for name, said in (("anna.safetensors", "again"), ("anna.pt", "--allow-pickle")):
        (tmp_path / name).write_bytes(b"torn")
        found = problems(engine, [{"path": str(tmp_path / name)}])
        assert (found[0].place, said in found[0].remedy) == (f"{HERE}[0].path", True)


def test_one_that_stands_twice(engine: dict[str, Any], tmp_path: Path) -> None:
    anna = lora(tmp_path / "anna.safetensors", 2048)
    (found,) = problems(engine, [{"path": anna}, {"path": str(tmp_path / "." / "anna.safetensors")}])
    assert (found.place, found.rule) == (HERE, "each LoRA once")


@pytest.mark.parametrize("linked", [True, False])
@pytest.mark.parametrize("of_engine", [True, False])
def test_one_under_two_paths(linked: bool, of_engine: bool, engine: dict[str, Any], tmp_path: Path) -> None:
    """Added to the other it has the digest of one that replaces it, and strength 0 switches nothing off."""
    anna, again = lora(tmp_path / "anna.safetensors", 2048), tmp_path / "again.safetensors"
    if linked:
        again.symlink_to(anna)
    else:
        lora(again, 2048)
    first: dict[str, Any] = {"path": anna}
    copied = {"path": str(again), "strength": 0.0}
    loras = [copied] if of_engine else [first, copied]
    (found,) = problems({**engine, "loras": [first] if of_engine else []}, loras)
    assert (found.place, found.value) == (f"{HERE}[{len(loras) - 1}].path", shown(str(again)))
    assert (shown(anna) in found.rule, found.remedy.startswith(f"write `path: {anna}`")) == (True, True)


def test_copies_in_different_shots_are_taken(engine: dict[str, Any], tmp_path: Path) -> None:
    anna, again = (lora(tmp_path / f"{name}.safetensors", 2048) for name in ("anna", "again"))
    assert problems({**engine, "loras": [{"path": anna}]}, [{"path": anna, "strength": 0.5}]) == []
    shots = [
        {"name": name, "seconds": 2.0, "prompt": "p", "loras": [{"path": path}]}
        for name, path in (("a", anna), ("b", again))
    ]
    load_spec({"name": "x", "engine": engine, "videos": [{"name": "film", "shots": shots}]})


def test_comfyui_has_one_set(tmp_path: Path) -> None:
    engine = {"name": "comfyui", "checkpoint": "model.safetensors", "text_encoder": "t5.safetensors"}
    (found,) = problems(engine, [{"path": lora(tmp_path / "anna.safetensors", 2048)}])
    assert (found.place, "engine.name: diffusers" in found.remedy) == (HERE, True)


def test_an_extend_has_those_of_its_shot(engine: dict[str, Any], tmp_path: Path) -> None:
    anna = lora(tmp_path / "anna.safetensors", 2048)
    chunks = [{"generate": {"prompt": "p"}}, {"extend": {"prompt": "p", "loras": [{"path": anna}]}}]
    data = {"name": "x", "engine": engine, "videos": [{"name": "film", "chunks": chunks}]}
    with pytest.raises(SpecError) as caught:
        load_spec(data)
    (found,) = caught.value.problems
    assert (found.place, "generate" in found.remedy) == ("videos[0].chunks[1].extend.loras", True)


def test_references_through_an_ic_lora_of_the_shot(tmp_path: Path) -> None:
    """At the scale that its own file names, and not in the second pass."""
    (tmp_path / "face.png").write_bytes(b"")
    face = FACE | {"image": str(tmp_path / "face.png")}
    model = write_single_file(tmp_path / "ltx-2.3.safetensors", "2.3")
    engine = {"checkpoint": str(model), "text_encoder": "owner/gemma"}
    ic = lora(tmp_path / "ic.safetensors", 4096, {"reference_downscale_factor": "2"})
    assert problems(engine, [{"path": ic}], references=[face]) == []
    (missing,) = problems(engine, [], references=[face])
    assert (missing.place, "IC-LoRA" in missing.remedy) == ("videos[0].shots[1].references[0]", True)
    (scale,) = problems(engine, [{"path": ic}], references=[face | {"scale": 1}])
    assert scale.remedy == "write `scale: 2`"


def test_every_shot_sees_the_references_of_defaults(tmp_path: Path) -> None:
    """Through an IC-LoRA that it has itself: one in another shot is none for it."""
    (tmp_path / "face.png").write_bytes(b"")
    ic, off = ({"path": str(tmp_path / "ic.safetensors"), "strength": which} for which in (1.0, 0.0))

    def found(always: list[Any], **second: Any) -> list[Problem]:
        common = {"seconds": 2.0, "prompt": "p"}
        shots = [{"name": "a", **common, "loras": [ic]}, {"name": "b", **common, **second}]
        data = {
            "name": "x",
            "engine": {"checkpoint": "owner/ltx-2", "text_encoder": "owner/gemma", "loras": always},
            "defaults": {"references": [{"image": str(tmp_path / "face.png")}]},
            "videos": [{"name": "film", "shots": shots}],
        }
        try:
            load_spec(data, check_files=False)
        except SpecError as error:
            return list(error.problems)
        return []

    assert found([ic]) == found([], loras=[ic]) == found([], references=[]) == []
    for missing in (found([]), found([ic], loras=[off])):
        (one,) = missing
        assert one.place == "videos[0].shots[1]"
        assert ("IC-LoRA" in one.rule, "`references: []`" in one.remedy) == (True, True)


def test_references_of_defaults_have_the_scale_of_each_shots_ic_lora(tmp_path: Path) -> None:
    """Where shots have IC-LoRAs of different scales, one of them names references of its own."""
    (tmp_path / "face.png").write_bytes(b"")
    face = FACE | {"image": str(tmp_path / "face.png")}
    model = write_single_file(tmp_path / "ltx-2.3.safetensors", "2.3")
    half, whole = (
        {"path": lora(tmp_path / f"ic{scale}.safetensors", 4096, {"reference_downscale_factor": str(scale)})}
        for scale in (2, 1)
    )

    def found(**second: Any) -> list[Problem]:
        common = {"seconds": 2.0, "prompt": "p"}
        shots = [
            {"name": "a", **common, "loras": [half]},
            {"name": "b", **common, "loras": [whole], **second},
        ]
        data = {
            "name": "x",
            "engine": {"checkpoint": str(model), "text_encoder": "owner/gemma"},
            "defaults": {"references": [face]},
            "videos": [{"name": "film", "shots": shots}],
        }
        try:
            load_spec(data, probes=Probes(bundled=TINY_CHECKPOINT))
        except SpecError as error:
            return list(error.problems)
        return []

    (one,) = found()
    assert one.place == "videos[0].shots[1]"
    assert one.rule == "ic1.safetensors was trained with references of the film's size"
    assert one.remedy == "give the shot `references` of its own, with `scale: 1`"
    assert found(references=[face | {"scale": 1}]) == []
    assert found(references=[]) == []
