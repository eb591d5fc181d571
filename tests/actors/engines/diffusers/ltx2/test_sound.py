"""Sound and its latents: windows agree with the whole, and every chunk's lie on one grid."""

from __future__ import annotations

from fractions import Fraction
from pathlib import Path

import numpy as np
import pytest
import torch

from actors.engines.diffusers.checkpoint import Checkpoint
from actors.engines.diffusers.ltx2 import components
from actors.engines.diffusers.ltx2.pieces import picture_coords, sound_coords
from actors.engines.diffusers.ltx2.sound.codec import SoundCodec, placed
from actors.engines.diffusers.ltx2.sound.mel import log_mel, mel_bands, resampled
from actors.engines.diffusers.ltx2.timing import Heard, heard_of, stretched
from actors.engines.pieces import Piece
from actors.models import TINY_CHECKPOINT
from jobs.frames import Span, exact_rate, lay_chain
from jobs.planning.rounds.params import HeardPart
from tests.official.ltx2_files import write_narrow
from tools.train_tiny.procedural.sound import random_notes, synthesise


@pytest.fixture(scope="module")
def codec(tmp_path_factory: pytest.TempPathFactory) -> SoundCodec:
    return _codec(write_narrow(tmp_path_factory.mktemp("ltx2") / "narrow.safetensors", "2.0"))


def _codec(path: Path) -> SoundCodec:
    opened = Checkpoint.open(path)
    makers = (components.audio_vae_component, components.vocoder_component)
    return SoundCodec(*(make(opened).load(torch.float32) for make in makers))


def test_windows_agree_with_the_whole(codec: SoundCodec) -> None:
    latents = torch.randn(1, 8, 90, 16, generator=torch.Generator().manual_seed(0))
    with torch.inference_mode():
        whole, windows = codec.decode(latents), codec.decode(latents, window=40)
    assert whole.shape == (2, 240 * (4 * 90 - 3))
    assert float((windows - whole).abs().max() / whole.abs().max()) < 1e-5


def test_the_bundled_models_sides_do_not_cancel_out() -> None:
    """A telephone has one loudspeaker: a note there is as loud as on both sides of a pair."""
    codec = _codec(TINY_CHECKPOINT)
    notes = random_notes(1, 2.0, torch.Generator().manual_seed(0))
    with torch.inference_mode():
        latents = codec.encode(synthesise(notes, 32000, 16000)[0].numpy(), 16000, 50)
        sides = codec.decode(latents)
    power = sides.square().mean()
    assert power > 1e-4
    assert sides.mean(0).square().mean() > 0.8 * power


def test_encoding_takes_as_many_latents_as_are_due(codec: SoundCodec) -> None:
    samples = np.random.default_rng(0).uniform(-0.3, 0.3, (2, 48000)).astype(np.float32)
    with torch.inference_mode():
        short, due, long = (codec.encode(samples, 48000, count) for count in (10, 25, 40))
    assert torch.equal(short, due[:, :, :10])
    assert torch.equal(long[:, :, 30:], long[:, :, 29:30].expand(-1, -1, 10, -1))


def test_a_tone_lies_in_its_band() -> None:
    """440 Hz: 6.6 mels of 66.7 Hz, of 64 bands over 45.2 mels."""
    seconds = torch.arange(16000) / 16000
    tone = torch.sin(2 * torch.pi * 440 * seconds).expand(2, -1)
    mel = log_mel(tone, 16000, 160, 64)
    assert mel.shape == (2, 101, 64)
    loudest = int(mel[0, 50].argmax())
    centre = float(torch.linspace(0, 8000, 513)[mel_bands(16000, 64)[loudest].argmax()])
    assert abs(centre - 440) < 70


def test_resampling_keeps_a_tone() -> None:
    def tone(rate: int) -> torch.Tensor:
        return torch.sin(2 * torch.pi * 440 * torch.arange(rate) / rate).expand(2, -1)

    for rate in (44100, 48000):
        found = resampled(tone(rate), rate, 16000)
        assert found.shape == (2, 16000)
        assert float((found - tone(16000))[:, 100:-100].abs().max()) < 1e-3


@pytest.mark.parametrize("rate", [23.976, 24.0, 25.0, 29.97, 30.0, 50.0])
def test_fifty_extends_stay_on_one_grid(rate: float) -> None:
    """A chunk takes over what the chain has and adds the rest; the film's sound is as long as its pictures,
    and no chunk lies more than half a latent beside its frames."""
    chain = lay_chain([(0, 13), *[(3, 11)] * 50])
    total = 0
    for span in chain:
        heard = heard_of(span, rate)
        assert abs(heard.shift_s) <= 0.02 + 1e-9
        start = round(8 * (span.stop - span.sampled) / exact_rate(rate) * 25)
        assert start + heard.kept == total, "it goes on where the chain's sound ends"
        total = start + heard.latents
    frames = 8 * (chain[-1].stop - 1) + 1
    assert total == round(Fraction(frames) / exact_rate(rate) * 25)


def test_coordinates_of_a_chunk_are_those_of_the_film() -> None:
    whole, at = sound_coords(80, 0.0), Heard.at(4, 33, 24.0)
    first = round(4 * 8 / 24 * 25)
    own = sound_coords(at.latents, at.shift_s) + 4 * 8 / 24
    assert torch.allclose(own[..., 1:, :], whole[..., first + 1 : first + at.latents, :], atol=1e-6)


@pytest.mark.parametrize("rate", [23.976, 24.0, 25.0, 30.0, 48.0])
def test_coordinates_are_the_references_to_the_last_bit(rate: float) -> None:
    """The highest of their rotary frequencies makes 1e-3 of an angle out of that bit."""
    from diffusers.models.transformers.transformer_ltx2 import LTX2AudioVideoRotaryPosEmbed

    scales = {"modality": "audio", "scale_factors": (4, 32, 32)}
    heard = LTX2AudioVideoRotaryPosEmbed(64, **scales).prepare_audio_coords(1, 500, torch.device("cpu"))
    seen = LTX2AudioVideoRotaryPosEmbed(64).prepare_video_coords(1, 61, 3, 5, torch.device("cpu"), fps=rate)
    assert torch.equal(sound_coords(500, 0.0), heard)
    assert torch.equal(picture_coords(Piece(torch.zeros(1, 128, 61, 3, 5)), rate), seen)


def test_sound_is_placed_to_the_sample() -> None:
    samples = torch.arange(10.0).expand(2, -1)
    assert placed(samples, 100, 0.02)[0].tolist()[:4] == [0, 0, 0, 1]
    assert placed(samples, 100, -0.02)[0].tolist()[0] == 2


def test_a_tile_hears_what_is_heard_while_it_plays() -> None:
    """Of 51 latents that sound for 49/24 s those from the second 1 on: between two of them straight lines,
    behind the last one nothing new."""
    sound = np.arange(51, dtype=np.float32).reshape(1, 1, 51, 1)
    heard = HeardPart(Span(0, 7), 24.0, start_s=1.0, seconds=49 / 24)
    found = stretched(sound, heard, 20).ravel()
    first = 51 * 24 / 49
    np.testing.assert_allclose(found, np.minimum(first + 51 / 20 * np.arange(20), 50), rtol=1e-6)
    assert found.dtype == np.float32
