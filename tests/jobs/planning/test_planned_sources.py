"""Films that open with given material, and sound that is given."""

from __future__ import annotations

import pytest

from jobs.errors import InputError
from jobs.frames import Span
from jobs.planning.facts import LatentFact, SourceFacts, VideoFact
from jobs.planning.plan import make_plan
from jobs.planning.planned import HeardSound
from tests.jobs.planning.plan_specs import extend, generate, only_video, spec_of

SHOT = SourceFacts(videos={"shot.mp4": VideoFact(100, 640, 480, 25.0)})


def test_a_source_opens_the_film_with_its_last_frames() -> None:
    video = only_video(spec_of(extend(), video={"source": {"video": "shot.mp4"}}), SHOT)
    first = video.chunks[0]
    assert first.kind == "source"
    assert first.source is not None
    assert (first.source.frames, first.source.skip_frames) == (97, 3)
    assert video.frames == 97 + 80
    assert [chunk.shot for chunk in video.chunks] == [0, 0]


def test_a_source_may_be_cut_to_its_end() -> None:
    source = {"video": "shot.mp4", "last_frames": 33}
    first = only_video(spec_of(extend(), video={"source": source}), SHOT).chunks[0]
    assert first.source is not None
    assert (first.source.frames, first.source.skip_frames) == (33, 67)


def test_a_source_is_counted_at_the_rate_of_the_film() -> None:
    facts = SourceFacts(videos={"shot.mp4": VideoFact(100, 640, 480, 50.0)})
    video = only_video(spec_of(extend(), video={"source": {"video": "shot.mp4"}}), facts)
    assert video.chunks[0].source is not None
    assert (video.chunks[0].source.frames, video.chunks[0].source.skip_frames) == (49, 1)


def test_a_latent_source_counts_its_latents() -> None:
    facts = SourceFacts(latents={"a.safetensors": LatentFact(13, 128, 16, 24)})
    video = only_video(spec_of(extend(), video={"source": {"latent": "a.safetensors"}}), facts)
    assert video.frames == 97 + 80


def test_a_generate_after_a_source_is_a_cut() -> None:
    video = only_video(spec_of(generate(), video={"source": {"video": "shot.mp4"}}), SHOT)
    assert [chunk.shot for chunk in video.chunks] == [0, 1]


def test_an_unmeasured_source_is_an_error() -> None:
    with pytest.raises(InputError, match="probe"):
        make_plan(spec_of(extend(), video={"source": {"video": "shot.mp4"}}))


def test_conditioning_audio_is_cut_to_the_sampled_clip() -> None:
    sound = [{"file": "score.wav", "mode": "condition"}]
    chunks = only_video(spec_of(generate(), extend(), generate("b"), video={"sound": sound})).chunks
    heard = [Span(0, 97 * 1920), Span(88 * 1920, 177 * 1920), Span(177 * 1920, 274 * 1920)]
    assert [chunk.heard for chunk in chunks] == [HeardSound("score.wav", each, 48_000) for each in heard]
    assert {chunk.sound for chunk in chunks} == {"condition"}


def test_a_muxed_track_reaches_no_chunk() -> None:
    video = only_video(spec_of(generate(), video={"sound": [{"file": "score.wav"}]}))
    assert video.sound is not None
    (track,) = video.sound.tracks
    assert (track.mode, track.path, track.name, video.sound.sample_rate) == (
        "mux",
        "score.wav",
        "score",
        48000,
    )
    assert (video.chunks[0].sound, video.chunks[0].heard) == (None, None)
