"""Guiders of the bundled model, whose clips have sound, beside the diffusers engine; and what has none."""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from comfyui_kit import sampled, sampling

from jobs.planning.sampling import COMFYUI_PARAMS, LTX2_PARAMS, PlannedGuider

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
def engines(core: Any, deaf_to_pictures: Path) -> dict[str, tuple[Any, Any]]:
    """Both engines with that model, each with what it reads of a prompt."""
    from benchmarks.tiny.engines import open_engine
    from jobs.planning.params import EncodeText

    if core.lacks("guiders"):
        pytest.skip("cores before 0.32 have no guiders for LTX-2")
    opened = {name: open_engine(name, 1, deaf_to_pictures) for name in ("comfyui", "diffusers")}
    words = EncodeText("a red ball bounces over a teal background", "")
    return {name: (engine, engine.encode_text(words)) for name, engine in opened.items()}


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
