"""The sound of the procedural world: notes come where the object bounces, and sound alike at every cut."""

from __future__ import annotations

from pathlib import Path

import pytest
import torch

from tools.train_tiny.coders import audio_vae, vocoder
from tools.train_tiny.modules import SOUND, new_audio_vae, new_vocoder
from tools.train_tiny.procedural.sound import (
    HOP,
    MEL_BINS,
    OUTPUT_RATE,
    WALLS,
    audio_latents,
    bounces,
    log_mel,
    mel_frames,
    mel_of,
    random_notes,
    synthesise,
)
from tools.train_tiny.procedural.world import SPEED_PER_FRAME, Frame, centres, draw_scenes
from tools.train_tiny.training import Run

FRAME = Frame(128, 192)


def test_every_note_is_where_the_object_touches_a_wall() -> None:
    swaying = torch.arange(32) % 2 == 0
    scenes = draw_scenes(32, FRAME, torch.Generator().manual_seed(0), swaying=swaying)
    notes = bounces(scenes, 4.0, FRAME)
    low, high = 0.16, (FRAME.extent[0] - 0.16, FRAME.extent[1] - 0.16)
    for i in range(len(scenes)):
        times = notes.time_s[i][notes.time_s[i] < 4]
        assert (times[1:] >= times[:-1]).all()
        for at_s, wall in zip(times, notes.wall[i], strict=False):
            x, y = centres(scenes.pick(slice(i, i + 1)), at_s[None] * 25, FRAME)[0, 0]
            touched = {"left": x - low, "right": high[0] - x, "top": y - low, "bottom": high[1] - y}
            assert abs(touched[list(WALLS)[wall]]) < 0.3 * SPEED_PER_FRAME


def test_a_sound_is_the_same_at_every_cut() -> None:
    notes = bounces(draw_scenes(3, FRAME, torch.Generator().manual_seed(1)), 4.0, FRAME)
    whole = synthesise(notes, 4 * OUTPUT_RATE, OUTPUT_RATE)
    cut = synthesise(notes, OUTPUT_RATE, OUTPUT_RATE, start_s=2.0)
    torch.testing.assert_close(cut, whole[:, :, 2 * OUTPUT_RATE : 3 * OUTPUT_RATE], atol=5e-3, rtol=0)
    assert whole.abs().max() <= 1


def test_a_mel_peaks_at_the_pitch() -> None:
    wave = torch.sin(2 * torch.pi * 1000 * torch.arange(16_000) / 16_000).expand(1, 2, -1)
    mel = log_mel(wave)
    assert mel.shape == (1, 2, 16_000 // HOP + 1, MEL_BINS)
    # Slaney's scale is linear up to 1 kHz: mel 15 of 45.2, so bin 15 / (45.2 / 65) - 1.
    assert mel[0, 0, 50].argmax() == pytest.approx(20.5, abs=1)
    assert log_mel(torch.zeros(1, 2, 1600)).unique().tolist() == pytest.approx([-11.5129], abs=1e-3)


def test_latents_and_mel_frames_fit() -> None:
    notes = bounces(draw_scenes(1, FRAME, torch.Generator().manual_seed(2)), 4.0, FRAME)
    assert audio_latents(97, 25.0) == 97
    assert audio_latents(97, 50.0) == 48
    assert mel_of(notes, 97).shape == (1, 2, mel_frames(97), MEL_BINS) == (1, 2, 385, 64)


def test_an_audio_vae_learns_to_use_its_first_channels_alone(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(audio_vae, "LATENTS", 6)
    torch.manual_seed(0)
    run, vae = Run(torch.device("cpu"), tmp_path, 60, batch_scale=0.05), new_audio_vae()
    training = audio_vae._Training(run, vae)
    for _ in range(2):
        training.step()
    mel = mel_of(random_notes(1, 0.2, torch.default_generator), 6)
    with torch.no_grad():
        tokens = audio_vae.encode_mel(vae, mel)
        noisy = tokens.clone()
        noisy[:, :, SOUND:] = torch.randn_like(noisy[:, :, SOUND:])
        assert tokens[:, :, :SOUND].any()
        assert not tokens[:, :, SOUND:].any()
        torch.testing.assert_close(audio_vae.decode_mel(vae, noisy), audio_vae.decode_mel(vae, tokens))


def test_a_vocoder_learns_from_what_the_audio_vae_makes_of_mels(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(vocoder, "LATENTS", 6)
    torch.manual_seed(0)
    run, model = Run(torch.device("cpu"), tmp_path, 60, batch_scale=0.05), new_vocoder()
    before = model.conv_in.weight.clone()
    training = vocoder._Training(run, new_audio_vae(), model)
    training.step()
    assert training.errors.isfinite().all()
    assert not torch.equal(model.conv_in.weight, before)
    wave = torch.rand(1, 2, 4800)
    assert training._rises(wave, wave) == 0
    assert training._rises(torch.zeros_like(wave), wave) == pytest.approx(1, abs=0.05)
