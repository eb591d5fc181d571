"""The audio VAE by its file: in `vae/` or `checkpoints/`, named as Lightricks or as core names it."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import pytest
import torch
from comfyui_releases import SOUND, shrink, write_release
from safetensors import safe_open
from safetensors.torch import save_file

pytestmark = pytest.mark.comfyui


@pytest.fixture(scope="module")
def release(core: Any, tmp_path_factory: Any) -> dict[str, Any]:
    if core.lacks("ltx-2.5"):
        pytest.skip("cores before 0.32 build other text encoders")
    with pytest.MonkeyPatch.context() as patch:
        shrink(patch)
        return write_release(tmp_path_factory.mktemp("release"), "2.5", "split")


def named_as_core(path: Path, written: Path) -> Path:
    with safe_open(path, framework="pt") as file:
        names = {name: name.replace(SOUND[0], "autoencoder.") for name in list(file.keys())}
        tensors = {new: file.get_tensor(name) for name, new in names.items()}
        save_file(tensors, written, metadata=file.metadata())
    return written


def decoded(engine: dict[str, Any]) -> torch.Tensor:
    from actors.engines.comfyui.audio import decode_track
    from actors.engines.comfyui.core.nodes import Core
    from actors.engines.comfyui.loading.by_node import load_audio_vae
    from actors.engines.comfyui.loading.loaders import ComfyModelFiles
    from jobs.spec.engine import EngineConfig

    config, latents = EngineConfig.model_validate(engine), torch.ones(1, 8, 4, 16)
    with torch.inference_mode():
        vae = load_audio_vae(Core.current(), ComfyModelFiles.locate(config))
        return decode_track(Core.current(), vae, latents)["waveform"]


@pytest.mark.parametrize("folder", ["vae", "checkpoints"])
@pytest.mark.parametrize("by_core", [False, True], ids=["as Lightricks", "as core"])
def test_it_is_found_and_read(release: dict[str, Any], folder: str, by_core: bool, tmp_path: Path) -> None:
    import folder_paths

    path, name = Path(release["audio_vae"]), f"audio-{folder}-{by_core}.safetensors"
    written = tmp_path / name
    if by_core:
        named_as_core(path, written)
    else:
        written.write_bytes(path.read_bytes())
    folder_paths.add_model_folder_path(folder, str(tmp_path))
    folder_paths.filename_list_cache.clear()
    wanted = decoded(release)
    assert wanted.abs().max() > 0
    assert torch.equal(decoded({**release, "audio_vae": name}), wanted)
