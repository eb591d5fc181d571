"""Quantised files: the diffusers engine scales weights back as core does, and core's own result has an
effect."""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest

pytestmark = pytest.mark.comfyui

torch = pytest.importorskip("torch")
pytest.importorskip("comfy_kitchen")

from tests.official.quantised import READ, write_quantised  # noqa: E402


def by_core(path: Path, dtype: str) -> dict[str, Any]:
    """The weights as core computes with them in `dtype`, in the original names. On a CPU it computes with
    quantised files in float32, whatever it is asked for: its own layout scales back to the other type."""
    from actors.engines.comfyui.loading.loaders import ComfyModelFiles, load_model

    with torch.inference_mode():
        model = load_model(ComfyModelFiles(path, None, None, (), None, None, ()), dtype)
    state = {}
    for name, tensor in model.model.diffusion_model.named_parameters():
        if hasattr(tensor, "_qdata"):
            params = replace(tensor._params, orig_dtype=getattr(torch, dtype))
            state[name] = tensor.layout_cls.dequantize(tensor._qdata, params)
        else:
            state[name] = tensor
    return state


def by_farm(path: Path, dtype: str) -> dict[str, Any]:
    from actors.engines.diffusers.checkpoint import Checkpoint
    from actors.engines.diffusers.ltx_video.checkpoint import load_transformer
    from actors.engines.diffusers.ltx_video.names import original_transformer_state

    module = load_transformer(Checkpoint.open(path), getattr(torch, dtype))
    return original_transformer_state(module.state_dict())


@pytest.mark.parametrize("dtype", ["float32", "bfloat16"])
@pytest.mark.parametrize("kind", READ)
@pytest.mark.usefixtures("ltxv")
def test_weights_are_those_of_core(kind: str, dtype: str, folder: Path) -> None:
    import comfy.utils

    path = write_quantised(folder / "ltxv.safetensors", folder / f"{kind}.safetensors", kind)
    if kind.startswith("scaled") and not hasattr(comfy.utils, "convert_old_quants"):
        before_0_8(path, kind, dtype)
        return
    wanted, found = by_core(path, dtype), by_farm(path, dtype)
    scales_of_activations = {name for name in wanted if name.endswith(".input_scale")}
    assert wanted.keys() - scales_of_activations == found.keys()
    unequal = [name for name in found if not torch.equal(found[name], wanted[name].to(found[name].dtype))]
    assert unequal == []


def before_0_8(path: Path, kind: str, dtype: str) -> None:
    """Those cores know the scales of the older layout alone, and keep them beside the weights."""
    from jobs.errors import CannotRun

    if kind == "scaled fp8, scale_weight":
        assert any(name.endswith(".scale_weight") for name in by_core(path, dtype))
        return
    with pytest.raises(CannotRun, match="whose scales this ComfyUI passes over"):
        by_core(path, dtype)
