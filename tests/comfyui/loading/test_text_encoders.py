"""Text encoders by their files, beside core's own loader."""

from __future__ import annotations

import json
import struct
from pathlib import Path
from typing import Any

import pytest
from comfyui_text import encoded, projection, shrink_gemma, write_gemma, write_projection, write_transformer

pytestmark = pytest.mark.comfyui

PROMPT = "a red ball bounces"


@pytest.fixture
def gemma(core: Any, folder: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:  # noqa: ARG001  for its effect
    if core.lacks("ltx-2.5"):
        pytest.skip(
            "cores before 0.32 build the projection for the full width of Gemma, whatever the file has"
        )
    shrink_gemma(monkeypatch)
    return write_gemma(tmp_path / "gemma3.safetensors")


def loaded(text_encoder: Any, transformer: Path) -> Any:
    import torch

    from actors.engines.comfyui.loading.loaders import ComfyModelFiles
    from actors.engines.comfyui.loading.text_encoders import load_text_encoder
    from jobs.spec.engine import EngineConfig

    config = EngineConfig(name="comfyui", checkpoint=str(transformer), text_encoder=text_encoder)
    with torch.inference_mode():
        return load_text_encoder(ComfyModelFiles.locate(config))


def by_core(gemma: Path, projection_file: Path) -> Any:
    """As core's own DualCLIPLoader calls it."""
    import comfy.sd

    paths = [str(gemma), str(projection_file)]
    return comfy.sd.load_clip(ckpt_paths=paths, clip_type=comfy.sd.CLIPType.LTXV)


def test_the_projection_may_stand_in_a_file_of_its_own_or_in_the_checkpoint(
    core: Any, gemma: Path, tmp_path: Path
) -> None:
    import torch

    own = write_projection(tmp_path / "projection.safetensors")
    bare = write_transformer(tmp_path / "transformer.safetensors")
    whole = write_transformer(tmp_path / "checkpoint.safetensors", **projection())
    with torch.inference_mode():
        wanted = encoded(core, by_core(gemma, own), PROMPT)
        assert wanted.any()
        for clip in (loaded((str(gemma), str(own)), bare), loaded(str(gemma), whole)):
            assert torch.equal(encoded(core, clip, PROMPT), wanted)


@pytest.mark.usefixtures("core")
def test_a_projection_that_is_in_no_file_is_refused(gemma: Path, tmp_path: Path) -> None:
    """Core would make one of zeros: every prompt gives the same film."""
    from jobs.errors import CannotRun

    bare = write_transformer(tmp_path / "transformer.safetensors")
    with pytest.raises(
        CannotRun, match=r"is in none of gemma3\.safetensors, transformer\.safetensors: give eng"
    ):
        loaded(str(gemma), bare)


@pytest.mark.usefixtures("core")
def test_of_a_checkpoint_only_the_text_part_is_read(gemma: Path, tmp_path: Path) -> None:
    """A transformer of 46 GB stays on the disk; here it is a hole of 12 in the file."""
    import resource

    whole = tmp_path / "checkpoint.safetensors"
    write_transformer(whole, **projection())
    _grow(whole, 12 << 30)
    before = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss
    loaded(str(gemma), whole)
    assert resource.getrusage(resource.RUSAGE_SELF).ru_maxrss - before < 1 << 20, "KiB"


def _grow(path: Path, size: int) -> None:
    """Adds a tensor of `size` bytes at the end, of which none is written."""
    data = path.read_bytes()
    (length,) = struct.unpack("<Q", data[:8])
    header = json.loads(data[8 : 8 + length])
    end = max(entry["data_offsets"][1] for name, entry in header.items() if name != "__metadata__")
    header["model.diffusion_model.rest"] = {
        "dtype": "BF16",
        "shape": [size // 2],
        "data_offsets": [end, end + size],
    }
    raw = json.dumps(header).encode()
    with path.open("wb") as file:
        file.write(struct.pack("<Q", len(raw)) + raw + data[8 + length :])
        file.truncate(8 + len(raw) + end + size)


def test_no_embeddings_of_zeros_reach_a_task(core: Any) -> None:
    import torch

    from actors.engines.comfyui.text import ClipText
    from jobs.errors import CannotRun

    class Zeros:
        def tokenize(self, text: str) -> str:
            return text

        def encode_from_tokens_scheduled(self, tokens: str, **_: Any) -> list[Any]:
            return [[torch.zeros(1, 4, 8), {}]]

    with pytest.raises(CannotRun, match="zeros"):
        ClipText(core, Zeros()).conditioning(PROMPT)
