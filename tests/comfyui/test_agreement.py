"""The bundled model, and an LTX-Video of random weights, in both engines: the same numbers."""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest

pytestmark = pytest.mark.comfyui

FRAMES = 97
PROMPT = "a red ball moves right over a teal background"


@pytest.mark.parametrize("apart", ["a2v_cross_attn", "v2a_cross_attn"])
def test_the_transformer_agrees_with_diffusers(tiny: Any, apart: str) -> None:
    """With each of the ways between picture and sound closed: where both are open, core from 0.31 on lets the
    sound hear of the picture as the block has changed it, Lightricks and diffusers as it was before."""
    import comfy.model_management
    import torch

    from actors.engines.comfyui.loading.tiny import tiny_conditioning
    from actors.engines.diffusers.ltx2.pieces import Sound, picture_tokens, sound_tokens
    from actors.engines.pieces import Piece

    draw = torch.Generator().manual_seed(0)
    clip = torch.randn(1, 128, 13, 4, 4, generator=draw)
    sound = torch.randn(1, 8, 97, 16, generator=draw)
    ((context, options),) = tiny_conditioning(PROMPT)
    mask = options["attention_mask"]
    picture, heard = picture_tokens([Piece(clip)], 25.0), sound_tokens(Sound(sound, torch.zeros(97)))
    with torch.inference_mode():
        comfy.model_management.load_models_gpu([tiny[0]])
        ours = tiny[0].model.diffusion_model(
            [clip.clone(), sound.clone()], torch.full((1,), 0.6), context, mask, frame_rate=25.0,
            transformer_options={apart: False},
        )  # fmt: skip
        answer = _answer(picture, heard, context, mask, apart)
    wanted = (
        answer[0].transpose(1, 2).reshape(clip.shape),
        answer[1].unflatten(2, (8, 16)).transpose(1, 2),
    )
    for name, own, other in zip(("picture", "sound"), ours, wanted, strict=True):
        difference, most = float((own - other).abs().max()), float(other.abs().max())
        print(f"transformer, {apart} closed, {name}: {difference:.2g} at values up to {most:.1f}")
        assert difference <= 5e-4 * max(1.0, most), name


def _answer(picture: Any, heard: Any, context: Any, mask: Any, apart: str) -> Any:
    """What diffusers' transformer makes of the tokens at the noise level .6, one way between them closed."""
    import torch

    from actors.engines.diffusers.checkpoint import Checkpoint
    from actors.engines.diffusers.ltx2.components import transformer_component
    from actors.models import TINY_CHECKPOINT

    theirs = transformer_component(Checkpoint.open(TINY_CHECKPOINT)).load(torch.float32)
    for block in theirs.transformer_blocks:
        way = block.audio_to_video_attn if apart == "a2v_cross_attn" else block.video_to_audio_attn
        way.to_out[0].weight.zero_()
        way.to_out[0].bias.zero_()
    width = theirs.config.cross_attention_dim
    level = torch.full((1, 1), 600.0)
    return theirs(
        hidden_states=picture.known,
        audio_hidden_states=heard.known,
        encoder_hidden_states=context[..., :width],
        audio_encoder_hidden_states=context[..., width:],
        encoder_attention_mask=mask,
        audio_encoder_attention_mask=mask,
        timestep=level,
        audio_timestep=level,
        sigma=level[0],
        audio_sigma=level[0],
        video_coords=picture.coords,
        audio_coords=heard.coords,
        video_keyframes_mask=picture.marks,
        use_cross_timestep=True,
        return_dict=False,
    )


def test_the_vae_agrees_with_diffusers(tiny: Any) -> None:
    import torch

    from actors.engines.diffusers.checkpoint import Checkpoint
    from actors.engines.diffusers.codec import VideoCodec
    from actors.engines.diffusers.ltx_video.checkpoint import load_vae
    from actors.models import TINY_CHECKPOINT

    codec = VideoCodec(load_vae(Checkpoint.open(TINY_CHECKPOINT), torch.float32).eval())
    latents = torch.randn(1, 128, 7, 4, 4, generator=torch.Generator().manual_seed(1))
    with torch.inference_mode():
        theirs = codec.vae.decode(codec.unnormalize(latents), return_dict=False)[0]
        ours = tiny[1].decode(latents)
        expected = ((theirs[0].permute(1, 2, 3, 0) + 1) / 2).clamp(0, 1)
    difference = float((ours.reshape(expected.shape) - expected).abs().max())
    print(f"VAE: {difference:.2g} at values up to {float(expected.max()):.2f}")
    assert difference <= 1e-4


def test_both_engines_draw_the_same_latents(core: Any, small_ltx_video: Path) -> None:
    """LTX-Video: text, image guides at two strengths, an extend, a chunk between held clips: whole runs, not
    single passes."""
    import numpy as np

    if tuple(int(part) for part in core.version.split(".")[:2]) < (0, 25):
        pytest.skip("cores before 0.25 build the VAE wider")
    ours, theirs = (_drawn(name, small_ltx_video) for name in ("comfyui", "diffusers"))
    for name, latents in theirs.items():
        difference = np.abs(ours[name] - latents).max()
        print(f"{name}: {difference:.2g} at values up to {np.abs(latents).max():.1f}")
        assert difference <= 1e-2, name


SAMPLED_ALIKE = ("euler", "euler_ancestral", "heun", "dpmpp_2m", "lcm")
"""The samplers that both engines have; core has no `res_2s`."""


@pytest.fixture(scope="module")
def deaf_engines(core: Any, deaf_to_pictures: Path) -> dict[str, Any]:
    from benchmarks.tiny.engines import open_engine
    from jobs.planning.params import EncodeText

    if core.lacks("ltx-2.5"):
        pytest.skip("cores before 0.32 know no keyframes, which the tiny model marks")
    opened = {name: open_engine(name, 1, deaf_to_pictures) for name in ("comfyui", "diffusers")}
    return {name: (engine, engine.encode_text(EncodeText(PROMPT, ""))) for name, engine in opened.items()}


@pytest.mark.parametrize("sampler", SAMPLED_ALIKE)
def test_a_seed_is_one_film_with_sound_in_both_engines(deaf_engines: Any, sampler: str) -> None:
    """Noise of the start and of the steps, and the noise levels that `steps` stand for."""
    _agree(deaf_engines, sampler, sampler=sampler)


def test_second_passes_and_excerpts_are_one_film_with_sound_too(deaf_engines: Any) -> None:
    """A pass over latents and sound, with the clip's own noise and with that of its shot."""
    import torch

    from actors.engines.pieces import PassSound, Piece
    from actors.payload import from_torch
    from jobs.frames import ChunkSpan, Span
    from jobs.planning.params import Excerpt

    draw = torch.Generator().manual_seed(8)
    over = [Piece(from_torch({"latents": torch.randn(1, 128, 4, 2, 2, generator=draw)}), hold=0.0)]
    sound = PassSound(torch.randn(1, 8, 25, 16, generator=draw).numpy())
    excerpt = {"span": ChunkSpan(0, 4, 9), "excerpt": Excerpt((Span(0, 9),), 0)}
    _agree(deaf_engines, "second pass", over, sound, denoise=0.5)
    _agree(deaf_engines, "excerpt", over, sound, run=excerpt, denoise=0.5)


def _agree(
    engines: Any, name: str, pieces: Any = None, sound: Any = None, run: Any = None, **sampling: Any
) -> None:
    import numpy as np

    from actors.engines.base import AUDIO, landed
    from actors.engines.pieces import PassSound, Piece
    from benchmarks.tiny.engines import pass_params
    from jobs.frames import ChunkSpan

    params = replace(pass_params(5), width=64, height=64, **{"span": ChunkSpan(0, 4, 4), **(run or {})})
    params = replace(params, sampling=replace(params.sampling, steps=4, **sampling))
    made = {
        which: landed(engine.denoise(params, pieces or [Piece(None)], sound or PassSound(), words))
        for which, (engine, words) in engines.items()
    }
    for side in ("latents", AUDIO):
        own, other = (np.asarray(made[which][side]) for which in ("comfyui", "diffusers"))
        apart, most = float(np.abs(own - other).max()), float(np.abs(other).max())
        print(f"{name}, {side}: {apart:.2g} at values up to {most:.1f}")
        assert apart <= 5e-4 * most, (name, side)


def _drawn(name: str, checkpoint: Path) -> dict[str, Any]:
    import numpy as np

    from actors.steps.passes import run_pass
    from benchmarks.tiny.engines import SIDE, open_engine
    from benchmarks.tiny.engines import pass_params as with_sound
    from jobs.frames import ChunkSpan
    from jobs.planning.params import EncodeClip, EncodeImage, EncodeText
    from jobs.planning.sampling import GuideUse

    def pass_params(seed: int) -> Any:
        return replace(with_sound(seed), audio_mode=None)

    pixels = np.full((SIDE, SIDE, 3), (0, 128, 128), dtype=np.uint8)
    pixels[40:80, 40:80] = (220, 30, 30)
    moving = np.stack([np.roll(pixels, 2 * frame, axis=1) for frame in range(9)])
    engine = open_engine(name, 1, checkpoint)
    words = engine.encode_text(EncodeText("a red ball", ""))
    image = engine.encode_image(EncodeImage("still.png", SIDE, SIDE, 0), pixels)
    clip = engine.encode_video(EncodeClip("clip.mkv", SIDE, SIDE, 9, 25.0, 0, 2), moving)

    def step(params: Any, **inputs: Any) -> Any:
        return run_pass(params, {"conditioning": [words], **inputs}, engine)

    def guided(strength: float) -> Any:
        return step(replace(pass_params(6), guides=(GuideUse(0, strength, 0.95),)), guide=[image])

    first = step(pass_params(3))
    extend = replace(pass_params(5), span=ChunkSpan(2, 10, 23))
    ends = (GuideUse(0, 1.0, 1.0), GuideUse(FRAMES - 16, 1.0, 1.0))
    return {
        "text": first["latents"],
        "extend": step(extend, previous=[first])["latents"],
        "guided": guided(1.0)["latents"],
        "weak": guided(0.6)["latents"],
        "held": step(replace(pass_params(7), guides=ends), guide=[clip, clip])["latents"],
    }
