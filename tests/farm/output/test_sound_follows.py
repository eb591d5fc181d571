"""Sound follows the picture: of a source's own sound, what belongs to the frames that the film opens with."""

from __future__ import annotations

import subprocess
import wave
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np
import pytest

from actors.engines.fake import FakeEngine
from actors.media.ffmpeg import find_ffmpeg
from actors.media.probe import probe_video
from actors.steps.encode import encode, heard, source_frames, source_sound
from farm.output.stitch import assemble_film
from jobs.frames import Span, audio_sample
from jobs.planning.facts import SourceFacts
from jobs.planning.params import EncodeAudio, EncodeSource
from jobs.planning.plan import make_plan
from jobs.spec.engine import FakeConfig
from jobs.spec.job import JobSpec
from jobs.tasks.graph import build_graph
from tests.farm.output.test_stitch_sound import decoded_sound

if TYPE_CHECKING:
    from jobs.planning.planned import PlannedVideo
    from tests.conftest import Marks

RATE, FRAMES, SAMPLE_RATE = 25.0, 79, 48_000


STEPS = np.random.default_rng(5).integers(-20_000, 20_000, (2, FRAMES * SAMPLE_RATE // 25))
SOUND = (STEPS / 32768).astype(np.float32)
"""What 16 bits hold exactly, so that lossless codecs give it back."""


def write_sound(path: Path) -> Path:
    with wave.open(str(path), "wb") as file:
        file.setparams((2, 2, SAMPLE_RATE, 0, "NONE", ""))
        file.writeframes(STEPS.T.astype("<i2").tobytes())
    return path


@pytest.fixture
def clip(tmp_path: Path, marks: Marks) -> Path:
    """79 numbered frames and their sound."""
    return write_clip(tmp_path / "clip.mkv", marks)


def write_clip(path: Path, marks: Marks, sound_late_s: float = 0.0) -> Path:
    raw, wav = path.with_suffix(".raw"), path.with_suffix(".wav")
    raw.write_bytes(marks.frames(0, FRAMES).tobytes())
    write_sound(wav)
    pictures = ["-f", "rawvideo", "-pix_fmt", "rgb24", "-s", "64x64", "-framerate", "25", "-i", str(raw)]
    shift = ["-itsoffset", str(sound_late_s)] if sound_late_s > 0 else []
    lead = ["-itsoffset", str(-sound_late_s)] if sound_late_s < 0 else []
    coded = ["-c:v", "libx264", "-crf", "12", "-c:a", "flac", "-fps_mode", "passthrough"]
    command = [
        find_ffmpeg().path,
        "-v",
        "error",
        "-y",
        *lead,
        *pictures,
        *shift,
        "-i",
        str(wav),
        *coded,
        *("-map", "0:v", "-map", "1:a"),
        str(path),
    ]
    subprocess.run(command, check=True)
    return path


def planned(clip: Path, source: dict[str, Any], sound: Any, rate: float = RATE) -> tuple[PlannedVideo, Any]:
    """The film of a clip that is gone on with, and its tasks' parameters."""
    video = {"name": "a", "source": {"video": str(clip), **source}, "sound": [] if sound is None else [sound],
             "chunks": [{"extend": {"prompt": "p", "num_new_frames": 24, "overlap_frames": 16}}]}  # fmt: skip
    document = {"name": "x", "engine": {"name": "fake"}, "videos": [video],
                "defaults": {"width": 64, "height": 64, "frame_rate": rate}}  # fmt: skip
    plan = make_plan(JobSpec.model_validate(document), SourceFacts(videos={str(clip): probe_video(clip)}))
    return plan.videos[0], [task.params for task in build_graph(plan).tasks.values()]


def film_sound(video: PlannedVideo, marks: Marks, folder: Path) -> np.ndarray:
    """What is heard in the film, whose pictures do not matter here."""
    folder.mkdir()
    lengths = [len(chunk.owned) for chunk in video.chunks]
    segments = marks.segments(folder, "h264", lengths, video.frame_rate)
    return decoded_sound(assemble_film(video, segments, "mkv", folder / "film.mkv").path)


def expected(first: int, samples: int) -> np.ndarray:
    """`samples` of the clip's sound from sample `first` on, silence around it."""
    wanted = np.zeros((2, samples), np.float32)
    low, high = max(0, first), min(SOUND.shape[1], first + samples)
    if low < high:
        wanted[:, low - first : high - first] = SOUND[:, low:high]
    return wanted


@pytest.mark.parametrize(("source", "skipped"), [({}, 6), ({"last_frames": 33}, 46)])
@pytest.mark.parametrize("offset", [0.0, 0.5, -0.25, 1 / 48_000, -1 / 48_000, 7.0])
def test_a_clips_own_sound_starts_with_the_frame_that_the_film_starts_with(
    clip: Path, source: dict[str, Any], skipped: int, offset: float, marks: Marks, tmp_path: Path
) -> None:
    video, params = planned(clip, source, {"file": str(clip), "at": offset})
    opened = next(each for each in params if isinstance(each, EncodeSource))
    assert marks.numbers(source_frames(opened)) == list(range(skipped, FRAMES))
    heard_in_film = film_sound(video, marks, tmp_path / "film")
    first = skipped * SAMPLE_RATE // 25 - round(offset * SAMPLE_RATE)
    assert np.array_equal(heard_in_film, expected(first, audio_sample(video.frames, SAMPLE_RATE, RATE)))


@pytest.mark.parametrize("late_s", [0.2, -0.32])
def test_sound_that_starts_with_another_frame_keeps_its_place(
    late_s: float, marks: Marks, tmp_path: Path
) -> None:
    clip = write_clip(tmp_path / "clip.mkv", marks, sound_late_s=late_s)
    video, _ = planned(clip, {}, {"file": str(clip)})
    first = 6 * SAMPLE_RATE // 25 - round(late_s * SAMPLE_RATE)
    found = film_sound(video, marks, tmp_path / "film")
    assert np.array_equal(found, expected(first, audio_sample(video.frames, SAMPLE_RATE, RATE)))


@pytest.mark.parametrize("offset", [0.5, -0.5])
def test_another_file_starts_with_the_film_and_its_offset(
    offset: float, clip: Path, marks: Marks, tmp_path: Path
) -> None:
    score = write_sound(tmp_path / "score.wav")
    video, _ = planned(clip, {}, {"file": str(score), "at": offset})
    found = film_sound(video, marks, tmp_path / "film")
    first = -round(offset * SAMPLE_RATE)
    assert np.array_equal(found, expected(first, audio_sample(video.frames, SAMPLE_RATE, RATE)))


@pytest.mark.parametrize("offset", [0.0, 0.5, -0.5])
@pytest.mark.usefixtures("marks")
def test_chunks_hear_what_the_film_plays_there(offset: float, clip: Path) -> None:
    video, params = planned(clip, {}, {"file": str(clip), "mode": "condition", "at": offset})
    (listening,) = [each for each in params if isinstance(each, EncodeAudio)]
    hears = video.chunks[1].heard
    assert hears is not None
    frames = video.chunks[1].span.sampled_frames
    start, stop = (audio_sample(frame, SAMPLE_RATE, RATE) for frame in (frames.start, frames.stop))
    first = start + 6 * SAMPLE_RATE // 25 - round(offset * SAMPLE_RATE)
    assert hears.samples == Span(first, first + stop - start)
    assert np.array_equal(heard(listening), expected(first, stop - start))


def test_generated_sound_goes_on_from_what_belongs_to_the_frames(marks: Marks, tmp_path: Path) -> None:
    clip = write_clip(tmp_path / "clip.mkv", marks, sound_late_s=0.2)
    _, params = planned(clip, {}, {"generate": True})
    opened = next(each for each in params if isinstance(each, EncodeSource))
    first = (6 - 5) * SAMPLE_RATE // 25
    wanted = expected(first, 73 * SAMPLE_RATE // 25)
    assert np.array_equal(heard(source_sound(opened, SAMPLE_RATE)), wanted)
    engine = FakeEngine(FakeConfig())
    made = encode(opened, engine)["audio_latents"]
    assert np.array_equal(
        made, engine.encode_audio(source_sound(opened, SAMPLE_RATE), wanted)["audio_latents"]
    )


def test_at_another_rate_it_is_counted_in_the_films_frames(clip: Path, marks: Marks, tmp_path: Path) -> None:
    """79 frames at 25 a second are 75.84 at 24, of which the last 73 are taken."""
    video, _ = planned(clip, {}, {"file": str(clip)}, rate=24.0)
    first = 2 * SAMPLE_RATE // 24
    found = film_sound(video, marks, tmp_path / "film")
    assert np.array_equal(found, expected(first, audio_sample(video.frames, SAMPLE_RATE, 24.0)))
