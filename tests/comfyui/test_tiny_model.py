"""The bundled trained model in ComfyUI: it loads, agrees with diffusers, follows prompts, and continues."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest

pytestmark = pytest.mark.comfyui

Run = Callable[..., Any]
SIDE, FRAMES, STEPS = 128, 97, 16
PROMPT = "a red ball moves right over a teal background"


@pytest.fixture(scope="module")
def tiny(core: Any, folder: Path) -> tuple[Any, Any, Any]:
    """(MODEL, VAE, VAE of the sound), by core's own loaders of single files."""
    if core.lacks("ltx-2.5"):
        pytest.skip("cores before 0.32 know no keyframes, which the tiny model marks")
    import comfy.sd

    from actors.models import TINY_CHECKPOINT

    model, _, vae, _ = comfy.sd.load_checkpoint_guess_config(str(TINY_CHECKPOINT))
    assert type(model.model).__name__ == "LTXAV"
    (folder / "tiny.safetensors").symlink_to(TINY_CHECKPOINT)
    return model, vae, core.call("LTXVAudioVAELoader", ckpt_name="tiny.safetensors")[0]


@pytest.fixture(scope="module")
def generated(tiny: Any) -> Any:
    """(LATENT, IMAGE) of the prompt."""
    return node("RSLTXVGenerate", tiny, "generate", num_frames=FRAMES, width=SIDE, height=SIDE, decode=True)


def node(name: str, tiny: Any, method: str, prompt: str = PROMPT, **inputs: Any) -> Any:
    from actors.engines.comfyui.loading.tiny import tiny_conditioning
    from farm.nodes import NODE_CLASS_MAPPINGS

    shared = {
        "model": tiny[0],
        "vae": tiny[1],
        "audio_vae": tiny[2],
        "positive": tiny_conditioning(prompt),
        "negative": tiny_conditioning(""),
        "steps": STEPS,
        "cfg": 3.0,
        "seed": 3,
        "frame_rate": 25.0,
    }
    return getattr(NODE_CLASS_MAPPINGS[name](), method)(**{**shared, **inputs})


def test_the_transformer_agrees_with_diffusers(tiny: Any) -> None:
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
            [clip, sound], torch.full((1,), 0.6), context, mask, frame_rate=25.0, transformer_options={}
        )
        answer = _answer(picture, heard, context, mask)
    wanted = (
        answer[0].transpose(1, 2).reshape(clip.shape),
        answer[1].unflatten(2, (8, 16)).transpose(1, 2),
    )
    for name, own, other in zip(("picture", "sound"), ours, wanted, strict=True):
        assert float((own - other).abs().max()) <= 5e-4 * max(1.0, float(other.abs().max())), name


def _answer(picture: Any, heard: Any, context: Any, mask: Any) -> Any:
    """What diffusers' transformer makes of the tokens at the noise level .6."""
    import torch

    from actors.engines.diffusers.checkpoint import Checkpoint
    from actors.engines.diffusers.ltx2.components import transformer_component
    from actors.models import TINY_CHECKPOINT

    theirs = transformer_component(Checkpoint.open(TINY_CHECKPOINT)).load(torch.float32)
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


def test_the_vae_agrees_with_diffusers(tiny: Any, generated: Any) -> None:
    import torch

    from actors.engines.diffusers.checkpoint import Checkpoint
    from actors.engines.diffusers.codec import VideoCodec
    from actors.engines.diffusers.ltx_video.checkpoint import load_vae
    from actors.models import TINY_CHECKPOINT

    codec = VideoCodec(load_vae(Checkpoint.open(TINY_CHECKPOINT), torch.float32).eval())
    latents = generated[0]["samples"]
    with torch.inference_mode():
        theirs = codec.vae.decode(codec.unnormalize(latents), return_dict=False)[0]
        ours = tiny[1].decode(latents)
        expected = ((theirs[0].permute(1, 2, 3, 0) + 1) / 2).clamp(0, 1)
    difference = float((ours.reshape(expected.shape) - expected).abs().max())
    print(f"VAE: {difference:.2g} at values up to {float(expected.max()):.2f}")
    assert difference <= 1e-4


def test_the_prompt_is_followed(generated: Any) -> None:
    from benchmarks.tiny.detector import read

    seen = read(generated[1].permute(0, 3, 1, 2))
    assert (seen.colour, seen.shape, seen.background) == ("red", "ball", "teal")


def test_a_first_image_opens_the_clip(tiny: Any, generated: Any) -> None:
    from benchmarks.tiny.scores import psnr

    image = generated[1][40:41]
    _, images, _ = node(
        "RSLTXVGenerate", tiny, "generate", num_frames=49, width=SIDE, height=SIDE, decode=True,
        first_image=image, image_strength=1.0, seed=4,
    )  # fmt: skip
    assert psnr(images[0], image[0]) >= 26.0


def test_the_upscaler_that_is_installed_is_the_models_own(core: Any, tiny: Any, folder: Path) -> None:
    import torch

    from actors.engines.comfyui.loading.loaders import load_own_upsampler
    from actors.engines.comfyui.upscale import upsample
    from actors.models import TINY_CHECKPOINT
    from farm.nodes.install import TINY_UPSCALER_NAME, tiny_upsampler

    (folder / TINY_UPSCALER_NAME).write_bytes(tiny_upsampler())
    by_core = core.call("LatentUpscaleModelLoader", model_name=TINY_UPSCALER_NAME)[0]
    clip = torch.randn(1, 128, 3, 4, 4, generator=torch.Generator().manual_seed(0))
    with torch.inference_mode():
        ours = upsample(core, load_own_upsampler(core, TINY_CHECKPOINT), tiny[1], clip)
        theirs = upsample(core, by_core, tiny[1], clip)
    assert ours.shape == (1, 128, 3, 8, 8)
    assert torch.equal(ours, theirs)


@pytest.mark.slow
@pytest.mark.timeout(3600)
@pytest.mark.usefixtures("tiny")
def test_text_adherence_is_that_of_the_diffusers_engine() -> None:
    from benchmarks.tiny.engines import adherence, held_out, open_engine

    theirs = adherence(open_engine("diffusers", 1), held_out())
    ours = adherence(open_engine("comfyui", 1), held_out())
    print("diffusers", theirs, "comfyui", ours)
    for name, share in theirs.items():
        assert ours[name] >= share - 0.03, name


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


def _drawn(name: str, checkpoint: Path) -> dict[str, Any]:
    import numpy as np

    from actors.steps.passes import run_pass
    from benchmarks.tiny.engines import SIDE, open_engine
    from benchmarks.tiny.engines import pass_params as with_sound
    from jobs.frames import ChunkSpan
    from jobs.planning.params import EncodeClip, EncodeImage, EncodeText, GuideUse

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


@pytest.fixture(scope="module")
def nine_extends(tiny: Any, generated: Any) -> tuple[Any, list[int]]:
    """The latent of one Generate and nine Extends, and the frames where the ten cross-fades begin."""
    from jobs.frames import frames_of

    chain, seams = generated[0], []
    for seed in range(100, 110):
        # The one blended latent is the chain's last.
        seams.append(frames_of(chain["samples"].shape[2] - 1))
        if seed < 109:
            chain, *_ = extended(tiny, chain, seed)
    return chain, seams


def extended(tiny: Any, latent: Any, seed: int, **inputs: Any) -> Any:
    settings: dict[str, Any] = {"num_new_frames": 80, "overlap_frames": 16, "overlap_strength": 1.0}
    said: dict[str, Any] = {"prompt": "the red ball keeps bouncing", "seed": seed}
    return node("RSLTXVExtend", tiny, "extend", latent=latent, **settings, **said, **inputs)


def moves(film: Any, seams: list[int]) -> Any:
    """How the film of ten Extends moves."""
    from benchmarks.tiny.scores import motion

    assert len(film) == FRAMES + 800
    return motion(film.permute(0, 3, 1, 2), seams, fade=8)


@pytest.fixture(scope="module")
def long_take(tiny: Any, nine_extends: tuple[Any, list[int]]) -> Any:
    chain, seams = nine_extends
    return moves(extended(tiny, chain, 109, decode=True)[1], seams)


@pytest.mark.slow
@pytest.mark.timeout(3600)
def test_ten_extends_have_no_visible_seam(long_take: Any) -> None:
    print(long_take, long_take.ratio)
    assert long_take.last_colour == "red"
    assert long_take.ratio <= 1.25


@pytest.mark.slow
@pytest.mark.timeout(3600)
def test_ten_extends_have_no_visible_seam_when_refined(
    core: Any, tiny: Any, nine_extends: tuple[Any, list[int]]
) -> None:
    """The last Extend upscales: the whole film is refined at twice the size."""
    from actors.engines.comfyui.loading.loaders import load_own_upsampler
    from actors.models import TINY_CHECKPOINT

    chain, seams = nine_extends
    upscaler = load_own_upsampler(core, TINY_CHECKPOINT)
    _, film, _ = extended(tiny, chain, 109, upscale=True, upscale_model=upscaler, decode=True)
    assert film.shape[1:3] == (2 * SIDE, 2 * SIDE)
    refined = moves(film, seams)
    print(refined, refined.ratio)
    assert refined.last_colour == "red"
    assert refined.ratio <= 1.25


@pytest.mark.slow
@pytest.mark.timeout(3600)
def test_ten_extends_keep_their_speed(long_take: Any) -> None:
    assert abs(long_take.last_speed / long_take.first_speed - 1) <= 0.2
