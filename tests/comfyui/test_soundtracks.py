"""Soundtracks that are given or made, against the real core."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import pytest
from comfyui_kit import FRAMES, HEIGHT, WIDTH

pytestmark = pytest.mark.comfyui

Run = Callable[..., Any]


def test_sound_for_a_deaf_model_is_refused(needs: Run, generate: Run, soundtrack: Any) -> None:
    from jobs.errors import InvalidInput

    needs("audio")
    with pytest.raises(InvalidInput, match="load an LTX-2 checkpoint"):
        generate(audio=soundtrack, audio_vae=object())


def test_a_given_soundtrack_is_heard_and_not_changed(needs: Run, request: Any, soundtrack: Any) -> None:
    import torch

    from actors.engines.comfyui.audio import encode_track, heard_track, soundtrack_slice
    from actors.engines.comfyui.sampling.denoise import Settings, empty_clip, sample_clip
    from jobs.frames import Span

    needs("audio")
    core = request.getfixturevalue("core")
    kit, audio_vae = request.getfixturevalue("ltxav")
    heard = soundtrack_slice(soundtrack, Span(0, FRAMES), 25.0)
    assert heard["waveform"].shape[2] == round(FRAMES * 44100 / 25)
    with torch.inference_mode():
        track = heard_track(encode_track(core, audio_vae, heard, FRAMES, 25.0))
        clip = sample_clip(
            core,
            kit.model,
            (kit.positive, kit.negative),
            empty_clip(core, WIDTH, HEIGHT, 3),
            Settings(seed=1, frame_rate=25.0, steps=2),
            track=track,
        )
    assert clip.audio is not None
    assert torch.allclose(clip.audio, track.latents, atol=1e-5)
    assert clip.video.shape[2] == 3


def test_generated_sound_carries_the_previous_tail(needs: Run, request: Any) -> None:
    import torch

    from actors.engines.comfyui.audio import Kept, audio_format, decode_track, generated_track

    needs("audio")
    core = request.getfixturevalue("core")
    _, audio_vae = request.getfixturevalue("ltxav")
    form = audio_format(core, audio_vae, 25, 25.0)
    before = torch.randn(1, form.channels, form.latents, form.bins)
    track = generated_track(core, audio_vae, 33, 25.0, Kept(before, 9))
    kept = audio_format(core, audio_vae, 9, 25.0).latents
    assert torch.equal(track.latents[:, :, :kept], before[:, :, -kept:])
    assert track.mask[:, :, :kept].max() == 0.0
    assert track.mask[:, :, kept:].min() == 1.0
    with torch.inference_mode():
        sound = decode_track(core, audio_vae, before)
    seconds = sound["waveform"].shape[-1] / sound["sample_rate"]
    assert seconds == pytest.approx(1.0, abs=0.1)


@pytest.mark.usefixtures("core")
def test_every_soundtrack_slice_is_whole() -> None:
    import torch

    from actors.engines.comfyui.audio import soundtrack_slice
    from jobs.frames import Span

    mono = {"waveform": torch.ones(1, 1, 1000), "sample_rate": 1000}
    late = soundtrack_slice(mono, Span(20, 45), 25.0)["waveform"]
    assert late.shape == (1, 2, 1000)
    assert late.sum() == 2 * 200
    assert soundtrack_slice(mono, Span(100, 125), 25.0)["waveform"].sum() == 0
