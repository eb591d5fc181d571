"""LoRA files of every kind: what core makes of them, both engines make, or refuse as a whole."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import pytest

pytestmark = pytest.mark.comfyui

torch = pytest.importorskip("torch")

from tests.official.loras import KINDS, layers_of, write_lora  # noqa: E402

STRENGTH = 0.8
TAKEN = [name for name, kind in KINDS.items() if kind.comfyui]
REFUSED = [name for name, kind in KINDS.items() if not kind.comfyui]


@pytest.fixture(scope="module")
def layers() -> Any:
    from comfyui_checkpoints import TEXT_DIM, TRANSFORMER

    width = TRANSFORMER["num_attention_heads"] * TRANSFORMER["attention_head_dim"]
    return layers_of(width, TRANSFORMER["cross_attention_dim"], TEXT_DIM)


def by_core(model: Any, path: Path) -> dict[str, Any]:
    """The weights that core's own loader and its own patching make."""
    import comfy.lora
    import comfy.sd
    import comfy.utils

    weights = comfy.utils.load_torch_file(str(path), safe_load=True)
    patched, _ = comfy.sd.load_lora_for_models(model, None, weights, STRENGTH, 0.0)
    state = {name: tensor.float() for name, tensor in model.model.state_dict().items()}
    for key, patches in patched.patches.items():
        state[key] = comfy.lora.calculate_weight(patches, state[key].clone(), key)
    return {name.removeprefix("diffusion_model."): tensor for name, tensor in state.items()}


def by_farm(path: Path, engine: str, loras: list[tuple[Path, float]]) -> dict[str, Any]:
    """The weights that an engine of the farm loads, in the original names."""
    if engine == "diffusers":
        from actors.engines.diffusers.files import ModelFiles
        from actors.engines.diffusers.ltx_video.loading import Loader
        from actors.engines.diffusers.ltx_video.names import original_transformer_state
        from jobs.spec.engine import PassStrengths

        strengths = ((lora, PassStrengths(sample=each, upscale=each)) for lora, each in loras)
        model = Loader(ModelFiles(path, None, None, None, tuple(strengths)), torch.float32).denoising()
        model.loras.use("sample")
        state = model.transformer.state_dict()
        return {
            name.replace(".ff.inner.", ".ff."): t for name, t in original_transformer_state(state).items()
        }
    from actors.engines.comfyui.loading.loaders import ComfyModelFiles as Files
    from actors.engines.comfyui.loading.loaders import load_model

    with torch.inference_mode():
        model = load_model(Files(path, None, None, (), None, None, tuple(loras)), "float32")
    return dict(model.model.diffusion_model.state_dict())


@pytest.mark.parametrize("name", TAKEN)
def test_both_engines_make_what_core_makes(name: str, ltxv: Any, folder: Path, layers: Any) -> None:
    path = write_lora(folder / "style.safetensors", name, layers)
    judge = path
    if name in ("diffusers", "peft", "without prefix"):
        # Names that no core knows for LTX, or not every one: the same values under those that it knows.
        judge = _under_cores_names(path, folder / "judge.safetensors")
    wanted = by_core(ltxv.model, judge)
    engines = ["comfyui", *(["diffusers"] if KINDS[name].diffusers else [])]
    for engine in engines:
        plain = by_farm(folder / "ltxv.safetensors", engine, [])
        found = by_farm(folder / "ltxv.safetensors", engine, [(path, STRENGTH)])
        changed = {key for key in found if not torch.equal(found[key], plain[key])}
        assert changed
        for key, tensor in found.items():
            error = (tensor - wanted[key]).abs().max() / wanted[key].abs().max().clamp(min=1e-12)
            assert error <= 1e-5, f"{engine} {key}: {error:.2g}"


def _under_cores_names(path: Path, target: Path) -> Path:
    from safetensors.torch import load_file, save_file

    from jobs.weights.lora_keys import layer_name, split_key

    tensors = {}
    for key, tensor in load_file(path).items():
        layer, role = split_key(key)
        tensors[f"diffusion_model.{layer_name(layer)}.lora_{role}.weight"] = tensor
    save_file(tensors, target)
    return target


@pytest.mark.parametrize("name", REFUSED)
@pytest.mark.parametrize("engine", ["comfyui", "diffusers"])
@pytest.mark.usefixtures("ltxv")
def test_neither_engine_drops_a_key(engine: str, name: str, folder: Path, layers: Any) -> None:
    from jobs.errors import SpecError

    path = write_lora(folder / "bad.safetensors", name, layers)
    with pytest.raises(SpecError, match=r"bad.safetensors[\s\S]*(of its \d+ keys|is for a weight of)"):
        by_farm(folder / "ltxv.safetensors", engine, [(path, STRENGTH)])
