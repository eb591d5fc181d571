"""LTX-2 through the whole farm: sound that the model makes, and a soundtrack that it hears."""

from __future__ import annotations

import wave
from dataclasses import replace
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np
import pytest
from comfyui_farm import artifacts, render_serial, sampled_chain

from jobs.frames import ChunkSpan

if TYPE_CHECKING:
    from comfyui_kit import Kit

pytestmark = pytest.mark.comfyui

SIDE, STEPS, RATE = 64, 2, 25.0
FIRST, NEW, OVERLAP = 25, 16, 16
FILM = FIRST + NEW
PROMPT, SEEDS = "a red ball bounces", (5, 6)
WAV_RATE, WAV_SECONDS = 44100, 1.2
"""The soundtrack ends before the film does: the last chunk hears silence too."""


@pytest.fixture(scope="module")
def score(tmp_path_factory: pytest.TempPathFactory) -> tuple[Path, np.ndarray]:
    """A stereo file, and its samples, float32 `[2, samples]`."""
    path = tmp_path_factory.mktemp("score") / "score.wav"
    noise = np.random.default_rng(0).normal(0, 3000, (2, int(WAV_RATE * WAV_SECONDS))).astype("<i2")
    with wave.open(str(path), "wb") as file:
        file.setnchannels(2)
        file.setsampwidth(2)
        file.setframerate(WAV_RATE)
        file.writeframes(np.ascontiguousarray(noise.T).tobytes())
    return path, noise.astype(np.float32) / 32768


@pytest.fixture(scope="module")
def av(core: Any, request: pytest.FixtureRequest) -> tuple[Kit, Any]:
    if not core.has("LTXVConcatAVLatent"):
        pytest.skip(f"ComfyUI {core.version} has no audio-video models")
    return request.getfixturevalue("ltxav")


@pytest.fixture(scope="module")
def made_rate(core: Any, av: tuple[Kit, Any]) -> int:
    """Samples per second that the model's vocoder makes."""
    return int(sound_of(core, av[1], np.zeros((1, 8, 4, 16), np.float32))[1])


@pytest.fixture(scope="module")
def job(made_rate: int, folder: Path, score: tuple[Path, np.ndarray], tmp_path_factory: Any) -> Path:
    """The folder in which both films were rendered, upscaled too."""
    from comfyui_checkpoints import write_upsampler

    where = tmp_path_factory.mktemp("job")
    generate = {"prompt": PROMPT, "num_frames": FIRST, "seed": SEEDS[0]}
    extend = {"prompt": PROMPT, "num_new_frames": NEW, "overlap_frames": OVERLAP, "seed": SEEDS[1]}
    chunks = [{"generate": generate}, {"extend": extend}]
    heard = {"file": str(score[0]), "mode": "condition"}
    checkpoint = str(folder / "ltxav.safetensors")
    spec = {
        "version": 1,
        "name": "sound",
        "engine": {
            "name": "comfyui",
            "checkpoint": checkpoint,
            "audio_vae": checkpoint,
            "upscale_model": str(write_upsampler(folder / "sound_upsampler.safetensors")),
        },
        "defaults": {"width": SIDE, "height": SIDE, "steps": STEPS, "cfg": 3.0, "frame_rate": RATE},
        "upscale": {"steps": 1, "denoise": 0.5},
        "videos": [
            {
                "name": "made",
                "chunks": chunks,
                "sound": [{"generate": True}],
                "mix": {"sample_rate": made_rate},
            },
            {"name": "heard", "chunks": chunks, "sound": [heard], "mix": {"sample_rate": WAV_RATE}},
        ],
        "output": {"dir": str(where / "out"), "container": "mkv"},
        "run": {"threads": 1},
    }
    render_serial(spec, where)
    return where


def sound_of(core: Any, audio_vae: Any, latents: np.ndarray) -> tuple[np.ndarray, int]:
    """What audio latents sound like, float32 `[2, samples]`, by core's own node."""
    import torch

    with torch.inference_mode():
        audio = core.call(
            "LTXVAudioVAEDecode", samples={"samples": torch.from_numpy(latents.copy())}, audio_vae=audio_vae
        )[0]
        waveform = audio["waveform"].float()
    return waveform.expand(-1, 2, -1)[0].numpy(), int(audio["sample_rate"])


def track_of(film: Path) -> np.ndarray:
    """The film's sound, float32 `[2, samples]`."""
    import ffmpeg

    from actors.media.process import Call, compile_command, exchange

    stream = ffmpeg.output(ffmpeg.input(str(film))["a:0"], "pipe:", **{"f": "f32le", "c:a": "pcm_f32le"})
    raw, _ = exchange(compile_command(stream), Call("hear the film", reads=film))
    return np.frombuffer(raw, "<f4").reshape(-1, 2).T


def at(frame: int, rate: int) -> int:
    return int(frame * rate / RATE + 0.5)


def test_made_sound_is_decoded_cross_faded_and_muxed(
    core: Any, av: tuple[Kit, Any], job: Path, made_rate: int
) -> None:
    """The film's track against the chunks' audio latents, decoded and faded here."""
    import torch

    from actors.engines.latents import lasting

    clips = artifacts(job / "runs", "sound", "upscale", "made")
    latents = [lasting(torch.from_numpy(clip["audio_latents"].copy()), FIRST / RATE) for clip in clips]
    first, second = (sound_of(core, av[1], sound.numpy())[0] for sound in latents)
    assert clips[0]["audio_latents"].std() > 0.1
    total = at(FILM, made_rate)
    due = np.zeros((2, total), np.float32)
    # The overlap's first latent is dropped: the fade covers the eight frames of the second.
    clip_start, fade_start, fade_stop = FIRST - 1 - 8, FIRST - 8, FIRST
    held = min(first.shape[1], at(fade_stop, made_rate))
    due[:, :held] = first[:, :held]
    start, stop = at(fade_start, made_rate), at(fade_stop, made_rate)
    own = second[:, start - at(clip_start, made_rate) :][:, : total - start]
    length = stop - start
    weights = np.arange(1, length + 1, dtype=np.float32) / (length + 1)
    due[:, start:stop] = weights * own[:, :length] + (1 - weights) * due[:, start:stop]
    due[:, stop : start + own.shape[1]] = own[:, length:]
    heard = track_of(job / "out" / "made.mkv")
    assert heard.shape == due.shape
    assert np.abs(heard - due).max() <= 1e-3


def test_an_extend_carries_the_previous_sound_on(core: Any, av: tuple[Kit, Any], job: Path) -> None:
    """The audio latents that both clips have are the first one's, as they were."""
    from actors.engines.comfyui.audio import audio_format

    first, second = (clip["audio_latents"] for clip in artifacts(job / "runs", "sound", "sample", "made"))
    shared = audio_format(core, av[1], 9, RATE).latents
    assert shared >= 2
    assert np.allclose(second[:, :, :shared], first[:, :, -shared:], atol=1e-5)
    assert not np.allclose(second[:, :, shared : 2 * shared], first[:, :, -shared:], atol=1e-2)


def test_a_heard_soundtrack_is_muxed_from_the_original(job: Path, score: tuple[Path, np.ndarray]) -> None:
    track, original = track_of(job / "out" / "heard.mkv"), score[1]
    assert track.shape == (2, at(FILM, WAV_RATE))
    assert np.abs(track[:, : original.shape[1]] - original).max() <= 1e-6
    assert np.abs(track[:, original.shape[1] :]).max() == 0.0


def node_inputs(av: tuple[Kit, Any], folder: Path) -> dict[str, Any]:
    """What both nodes are given in the same way."""
    from actors.engines.comfyui.loading.tiny import TinyText

    kit, audio_vae = av
    text = TinyText(folder / "ltxav.safetensors")
    return {
        "model": kit.model,
        "vae": kit.vae,
        "positive": text.conditioning(PROMPT),
        "negative": text.conditioning(""),
        "steps": STEPS,
        "cfg": 3.0,
        "frame_rate": RATE,
        "audio_vae": audio_vae,
    }


def test_each_chunk_hears_its_own_slice_as_in_the_nodes(
    av: tuple[Kit, Any], job: Path, folder: Path, score: tuple[Path, np.ndarray]
) -> None:
    """The same soundtrack on Generate and Extend: the farm's latents, bit for bit."""
    import torch

    from farm.nodes import NODE_CLASS_MAPPINGS

    shared = node_inputs(av, folder)
    begins: Any = NODE_CLASS_MAPPINGS["RSLTXVGenerate"]()
    goes_on: Any = NODE_CLASS_MAPPINGS["RSLTXVExtend"]()

    def chain(waveform: np.ndarray) -> np.ndarray:
        audio = {"waveform": torch.from_numpy(waveform)[None], "sample_rate": WAV_RATE}
        first, *_ = begins.generate(
            **shared, audio=audio, width=SIDE, height=SIDE, num_frames=FIRST, seed=SEEDS[0]
        )
        whole, *_ = goes_on.extend(
            **shared, audio=audio, latent=first, num_new_frames=NEW, overlap_frames=OVERLAP,
            overlap_strength=1.0, seed=SEEDS[1],
        )  # fmt: skip
        return whole["samples"].numpy()

    by_farm = sampled_chain(job / "runs", "sound", "heard", overlap=OVERLAP // 8)
    assert np.array_equal(chain(score[1]), by_farm)
    # What the film says after the second chunk's start changes that chunk alone.
    later = score[1].copy()
    later[:, at(FIRST, WAV_RATE) :] *= -1
    other = chain(later)
    kept = (FIRST - 1) // 8
    assert np.array_equal(other[:, :, :kept], by_farm[:, :, :kept])
    assert not np.array_equal(other[:, :, kept + 1 :], by_farm[:, :, kept + 1 :])


@pytest.mark.parametrize(("video", "kept"), [("made", False), ("heard", True)])
def test_a_second_pass_makes_sound_anew_and_leaves_a_soundtrack_alone(
    job: Path, video: str, kept: bool
) -> None:
    first, second = (artifacts(job / "runs", "sound", stage, video) for stage in ("sample", "upscale"))
    for one, other in zip(first, second, strict=True):
        assert other["latents"].shape[3:] == (SIDE // 16, SIDE // 16)
        assert np.allclose(one["audio_latents"], other["audio_latents"], atol=1e-5) == kept


@pytest.mark.usefixtures("av")
def test_a_second_pass_hears_the_sound_and_has_the_images(job: Path, folder: Path) -> None:
    from comfyui_kit import pass_params, sampling

    from actors.engines.make import make_engine
    from actors.engines.pieces import PassSound, Piece
    from actors.payload import Payload
    from jobs.planning.params import EncodeText
    from jobs.spec.engine import EngineConfig
    from jobs.tasks.task import Stage

    checkpoint = str(folder / "ltxav.safetensors")
    engine = make_engine(EngineConfig(name="comfyui", checkpoint=checkpoint, audio_vae=checkpoint), "cpu", 1)
    engine.setup(frozenset({Stage.UPSCALE}))
    words = engine.encode_text(EncodeText(PROMPT, ""))
    (first, _) = artifacts(job / "runs", "sound", "sample", "heard")
    clip = Payload({"latents": first["latents"].copy()})
    run = pass_params(width=SIDE, height=SIDE, audio_mode="hold", sampling=sampling(steps=1, denoise=0.5))
    run = replace(run, span=ChunkSpan(0, 4, 4))

    def made(sound: np.ndarray, *pieces: Piece) -> np.ndarray:
        heard = PassSound(sound, held=True)
        clip_made = engine.denoise(run, [Piece(clip, hold=0.0), *pieces], heard, words)
        assert isinstance(clip_made, Payload)
        return clip_made["latents"]

    sound = first["audio_latents"]
    plain, other = made(sound), made(-sound)
    assert not np.array_equal(plain, other)
    image = Payload({"latents": first["latents"][:, :, :1].copy()})
    assert not np.array_equal(made(sound, Piece(image, 8)), plain)
