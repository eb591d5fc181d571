"""Guiders of the bundled model, whose clips have sound, beside the diffusers engine; and what has none."""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from comfyui_kit import sampled, sampling

from jobs.planning.params import COMFYUI_PARAMS, LTX2_PARAMS, PlannedGuider

pytestmark = pytest.mark.comfyui

SIDE, LATENTS, SEED = 64, 4, 3
SIDES = ("latents", "audio_latents")
GUIDERS: dict[str, dict[str, Any]] = {
    "cfg": {},
    "a scale of the sound's own": {"stg_scale": 0.0, "rescale": 0.0, "audio_cfg": 30.0},
    "stg": {"stg_scale": 1.0, "rescale": 0.0, "blocks": (1, 3)},
    "stg in the default block": {"stg_scale": 1.5, "rescale": 0.0},
    "modality": {"stg_scale": 0.0, "rescale": 0.0, "modality": 3.0},
    "rescale": {"stg_scale": 0.0, "rescale": 0.7},
    "all": {"stg_scale": 1.0, "rescale": 0.5, "modality": 2.0, "audio_cfg": 2.0, "blocks": (2,)},
}


def guider(params: dict[str, Any]) -> PlannedGuider:
    return PlannedGuider("stg", tuple(sorted(params.items()))) if params else PlannedGuider()


@pytest.fixture(scope="module")
def deaf_to_pictures(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """The bundled model without what its sound takes from its picture: core from 0.31 on lets it hear of the
    picture as the block has changed it, Lightricks and diffusers as it was before."""
    from safetensors.torch import safe_open, save_file

    from actors.models import TINY_CHECKPOINT

    with safe_open(TINY_CHECKPOINT, framework="pt") as file:
        names = list(file.keys())
        tensors = {name: file.get_tensor(name) for name in names}
        metadata = file.metadata()
    for name in names:
        if "video_to_audio_attn.to_out.0." in name:
            tensors[name].zero_()
    path = tmp_path_factory.mktemp("deaf") / "tiny.safetensors"
    save_file(tensors, path, metadata)
    return path


@pytest.fixture(scope="module")
def engines(core: Any, deaf_to_pictures: Path) -> dict[str, tuple[Any, Any]]:
    """Both engines with that model, each with what it reads of a prompt."""
    from benchmarks.tiny.engines import open_engine
    from jobs.planning.params import EncodeText

    if core.lacks("guiders"):
        pytest.skip("cores before 0.32 have no guiders for LTX-2")
    opened = {name: open_engine(name, 1, deaf_to_pictures) for name in ("comfyui", "diffusers")}
    words = EncodeText("a red ball bounces over a teal background", "")
    return {name: (engine, engine.encode_text(words)) for name, engine in opened.items()}


@pytest.fixture(autouse=True)
def cores_noise(monkeypatch: pytest.MonkeyPatch) -> None:
    """The diffusers engine draws noise for its tokens; here it has that of core."""
    import torch

    from actors.engines.diffusers.ltx2.denoise import denoise

    def with_noise(model: Any, run: Any, picture: Any, sound: Any, conditioning: Any) -> Any:
        generator = torch.Generator().manual_seed(SEED)
        drawn = torch.randn(1, 128, LATENTS, SIDE // 32, SIDE // 32, generator=generator)
        heard = torch.randn(sound.latents.shape, generator=generator)
        tokens = drawn.flatten(2).transpose(1, 2), heard.transpose(1, 2).flatten(2)
        return denoise(model, run, picture, sound, conditioning, torch.cat(tokens, dim=1))

    monkeypatch.setattr("actors.engines.diffusers.ltx2.runner.denoise", with_noise)


def clip(engine: Any, words: Any, params: dict[str, Any], **changes: Any) -> Any:
    from actors.engines.base import landed
    from actors.engines.pieces import PassSound, Piece
    from benchmarks.tiny.engines import pass_params
    from jobs.frames import ChunkSpan

    run = replace(
        pass_params(SEED),
        width=SIDE,
        height=SIDE,
        span=ChunkSpan(0, LATENTS, LATENTS),
        sampling=sampling(sigmas=(1.0, 0.0), sampler="euler", guider=guider(params)),
    )
    return landed(engine.denoise(replace(run, **changes), [Piece(None)], PassSound(), words))


@pytest.mark.parametrize("name", GUIDERS)
def test_a_guider_is_that_of_the_diffusers_engine(engines: dict[str, tuple[Any, Any]], name: str) -> None:
    """In one step, of which the result is what was denoised."""
    ours, theirs = (clip(*engines[engine], GUIDERS[name]) for engine in ("comfyui", "diffusers"))
    plain = clip(*engines["comfyui"], {})
    apart = [float(np.abs(ours[side] - theirs[side]).max()) for side in SIDES]
    changed = [float(np.abs(ours[side] - plain[side]).max()) for side in SIDES]
    print(f"{name}: picture and sound {apart} apart, changed by {changed}")
    assert max(apart) <= 5e-3
    assert max(changed) == 0.0 if name == "cfg" else max(changed) > 10 * max(apart)


def test_a_clip_without_sound_is_guided_too(engines: dict[str, tuple[Any, Any]]) -> None:
    plain, guided = (clip(*engines["comfyui"], GUIDERS[name], audio_mode=None) for name in ("cfg", "stg"))
    assert np.isfinite(guided["latents"]).all()
    assert np.abs(guided["latents"] - plain["latents"]).max() > 1e-2


@pytest.mark.usefixtures("ltxv")
def test_what_a_model_of_pictures_cannot_do_is_known_before_and_refused(conditioning: Any) -> None:
    from actors.engines.make import make_engine
    from jobs.errors import InvalidInput
    from jobs.spec.engine import EngineConfig

    engine: Any = make_engine(EngineConfig(name="comfyui", checkpoint="ltxv.safetensors"), "cpu", 1)
    assert engine.guiders() == {"cfg": (), "stg": COMFYUI_PARAMS}
    with pytest.raises(InvalidInput, match="no parameter 'modality'"):
        sampled(engine, conditioning, sampling=sampling(guider=guider({"modality": 3.0})))


@pytest.mark.usefixtures("ltxav")
def test_a_core_without_the_guiders_says_so(core: Any, folder: Path) -> None:
    from actors.engines.comfyui.sampling.settings import make_guidance
    from actors.engines.make import make_engine
    from jobs.errors import MissingCoreApi
    from jobs.spec.engine import EngineConfig

    config = EngineConfig(name="comfyui", checkpoint=str(folder / "ltxav.safetensors"))
    engine: Any = make_engine(config, "cpu", 1)
    how = sampling(guider=guider({"modality": 3.0}))
    if core.lacks("guiders"):
        assert engine.guiders()["stg"] == COMFYUI_PARAMS
        with pytest.raises(MissingCoreApi, match="leave `audio_cfg` and `modality` out"):
            make_guidance(core, how, layers=3, sound=True)
    else:
        assert engine.guiders()["stg"] == LTX2_PARAMS
        assert make_guidance(core, how, layers=3, sound=True).blocks == (1,)
