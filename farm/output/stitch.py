"""Films: the stream copy of a video's segments with one track of sound.

Nothing is decoded or encoded again but the sound. What was made is read again and counted before anybody
gives it the film's name.
"""

from __future__ import annotations

import tempfile
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass, replace
from fractions import Fraction
from functools import partial
from pathlib import Path
from typing import TYPE_CHECKING

from actors.media.audio import SAME_ON_EVERY_CPU, track_options
from actors.media.boxes import MovieTrack, read_movie
from actors.media.codecs import Options, png_name, time_scale
from actors.media.listing import packet_times
from actors.media.process import (
    Call,
    compile_command,
    exchange,
    refused,
    require_room,
    run,
    sync,
)  # fmt: skip
from actors.sound.mix import no_numbers
from farm.output.png_sequences import sequence_sha256
from farm.output.soundtrack import Soundtrack, soundtrack
from farm.output.timeline import with_chapters
from jobs.errors import BadOutput, CorruptArtifact, InvalidInput, StageBug
from jobs.formats import CONTAINERS
from jobs.frames import Span, exact_rate
from jobs.hashing import sha256_of_file
from jobs.planning.output_names import PNG_SEQUENCE

if TYPE_CHECKING:
    from jobs.planning.planned import PlannedVideo

MUXERS = {"mp4": "mp4", "mov": "mov", "mkv": "matroska"}
NO_NUMBERS = "Input contains (near) NaN/+-Inf"
"""What the AAC encoder says of such samples."""
MICROSECONDS = 1_000_000
MATROSKA_ROUNDING_S = Fraction(1, 2000)


@dataclass(frozen=True, slots=True)
class FilmFacts:
    """A delivered film. `sha256` of a PNG sequence is that of its manifest (`png_manifest`). `said` is for
    the user, of its sound."""

    path: Path
    sha256: str
    frames: int
    fps: float
    said: tuple[str, ...] = ()


@dataclass(frozen=True, slots=True)
class FilmSegment:
    """A segment with pictures: `start` and `frames` count frames of the film."""

    path: Path
    start: int
    frames: int


@dataclass(frozen=True, slots=True)
class FilmMaker:
    """`codec` of the film's track, and the command line for a playlist and a soundtrack."""

    codec: str
    command: Callable[[Path, Soundtrack | None], list[str]]


def assemble_film(
    video: PlannedVideo,
    segments: Sequence[Path],
    container: str,
    out: Path,
    name: str = "",
    *,
    sound: str | None = None,
    chapters: bool = False,
) -> FilmFacts:
    """Join `segments`, one for each chunk of `video` in order, into the film `out`, where nothing stands yet.

    `name` is what the film is going to be called, for messages. The file's user track, or the sound kept in
    the segments, becomes the film's track, as the codec `sound`; with `chapters` each shot is
    one. A PNG sequence has neither. Raises
    CorruptArtifact when a segment is not what the plan says, StorageProblem when the disk refuses, BadOutput
    when the film does not hold exactly the planned frames.
    """
    if len(segments) != len(video.chunks):
        raise StageBug(
            f"{video.name} has {len(video.chunks)} chunks and {len(segments)} segments; report this"
        )
    call = Call(f"write the film of {video.name}", writes=out.with_name(name or out.name))
    try:
        pieces = tuple(check_segments(video, segments, Span(0, len(segments))))
        call = replace(call, need_bytes=sum(piece.path.stat().st_size for piece in pieces))
        out.parent.mkdir(parents=True, exist_ok=True)
        require_room(call)
        command = partial(film_command, video, container=container, out=out, chapters=chapters)
        made = FilmMaker(sound or CONTAINERS[container].sounds[0], command)
        said = _write(video, pieces, container, out, call, made)
        digest = sequence_sha256(out, video.frames) if container == PNG_SEQUENCE else sha256_of_file(out)
    except OSError as error:
        raise refused(error, call) from error
    return FilmFacts(out, digest, video.frames, float(exact_rate(video.frame_rate)), said)


def check_segments(video: PlannedVideo, segments: Sequence[Path], chunks: Span) -> Iterator[FilmSegment]:
    """Those of `segments` that hold pictures, one segment for each of `chunks`.

    Each is compared with the plan and with the decoder set-up of the first. Raises CorruptArtifact.
    """
    first: MovieTrack | None = None
    for chunk, path in zip(video.chunks[chunks.start : chunks.stop], segments, strict=True):
        if not chunk.owned:
            continue
        track = read_movie(path).track("vide")
        if track is None or track.samples != len(chunk.owned):
            held = track.samples if track else 0
            raise CorruptArtifact(
                f"segment {chunk.index} of {video.name} ({path}) holds {held} frames where the plan has "
                f"{len(chunk.owned)}; void it and render it again"
            )
        first = first or track
        if track.configuration != first.configuration or track.timescale != time_scale(video.frame_rate):
            raise CorruptArtifact(
                f"segment {chunk.index} of {video.name} ({path}) was encoded with other settings "
                "than the first; void it and render it again"
            )
        yield FilmSegment(path, chunk.owned.start, len(chunk.owned))


def write_list(pieces: Sequence[FilmSegment], frame_rate: float, path: Path) -> Path:
    """Playlist for ffmpeg's concat demuxer.

    The demuxer adds durations in whole microseconds. Each is the difference of two rounded absolute times, so
    the error never exceeds half a microsecond however many segments there are; the durations that the
    segments themselves state would add up to a frame in long films.
    """
    rate = exact_rate(frame_rate)
    with path.open("w", encoding="utf-8") as file:
        file.write("ffconcat version 1.0\n")
        for piece in pieces:
            first = pieces[0].start
            start, stop = (_microseconds(f - first, rate) for f in (piece.start, piece.start + piece.frames))
            name = str(piece.path.resolve()).replace("'", r"'\''")
            file.write(f"file '{name}'\nduration {stop - start}us\n")
    return path


def _microseconds(frame: int, rate: Fraction) -> int:
    return round(frame * MICROSECONDS / rate)


def _write(
    video: PlannedVideo,
    pieces: Sequence[FilmSegment],
    container: str,
    out: Path,
    call: Call,
    make: FilmMaker,
) -> tuple[str, ...]:
    """Copy the segments into the film `out`, and read it again. What is to be said of its sound."""
    track: Soundtrack | None = None
    with tempfile.TemporaryDirectory(prefix="farm-film-") as folder:
        playlist = write_list(pieces, video.frame_rate, Path(folder) / "segments.ffconcat")
        if container == PNG_SEQUENCE:
            out.mkdir()
            exchange(sequence_command(playlist, out), call)
        else:
            out.open("xb").close()
            track = segments_soundtrack(video, pieces, make.codec, Path(folder))
            join_sound(video, make.command(playlist, track), call, track)
    if container == PNG_SEQUENCE:
        _verify_sequence(out, video)
    else:
        verify_film(out, video, container)
        sync(out)
    return track.level.said if track else ()


def segments_soundtrack(
    video: PlannedVideo, pieces: Sequence[FilmSegment], codec: str, folder: Path
) -> Soundtrack | None:
    """What is heard in the film of these segments, for `codec`; playlists are written into `folder`."""
    if video.sound is None:
        return None

    def playlist(frames: Span) -> Path:
        shown = [piece for piece in pieces if frames.start <= piece.start < frames.stop]
        return write_list(shown, video.frame_rate, folder / f"{frames.start}-{frames.stop}.ffconcat")

    return soundtrack(video, video.sound, codec, playlist)


def join_sound(video: PlannedVideo, command: list[str], call: Call, track: Soundtrack | None) -> None:
    """Run it. Raises InvalidInput for a soundtrack that the encoder of the film's track refuses."""
    try:
        run(command, call, track.feed() if track else ())
    except StageBug as error:
        path = video.sound.tracks[0].path if video.sound else None
        if NO_NUMBERS not in str(error) or path is None:
            raise
        raise InvalidInput(no_numbers(path)) from error


def film_command(
    video: PlannedVideo,
    playlist: Path,
    track: Soundtrack | None,
    container: str,
    out: Path,
    chapters: bool = False,
) -> list[str]:
    """Command line that copies the listed segments, and encodes the sound, into `out`. `chapters` are written
    beside the playlist."""
    import ffmpeg

    joined = ffmpeg.input(str(playlist), format="concat", safe=0)
    streams = [joined["v:0"]]
    options: Options = {
        "c:v": "copy",
        "f": MUXERS[container],
        "fflags": "+bitexact",
        "map_metadata": -1,
        "map_chapters": -1,
        "max_interleave_delta": 0,
        **_movie_options(video, container, track),
    }
    if track is not None:
        streams.append(track.stream())
        options |= track_options(track.codec, track.mix.channels)
    command = compile_command(ffmpeg.output(*streams, str(out), **options).global_args(*SAME_ON_EVERY_CPU))
    return with_chapters(command, video, playlist.with_name("chapters.txt")) if chapters else command


def _movie_options(video: PlannedVideo, container: str, track: Soundtrack | None) -> Options:
    """mp4 and mov only: index in front, and edit lists that count in samples instead of milliseconds."""
    if container == "mkv":
        return {}
    return {
        "movflags": "+faststart",
        "video_track_timescale": time_scale(video.frame_rate),
        "movie_timescale": track.mix.rate if track else time_scale(video.frame_rate),
    }


def verify_film(path: Path, video: PlannedVideo, container: str) -> None:
    """Read the film again. Raises BadOutput unless it holds exactly the planned frames at constant distance.

    Matroska knows whole milliseconds only, so there a frame may be off by half of one.
    """
    rate = exact_rate(video.frame_rate)
    slack_s = MATROSKA_ROUNDING_S if container == "mkv" else Fraction(0)
    found = 0
    for found, time_s in enumerate(packet_times(path, Call(f"read the film of {video.name} again")), start=1):
        if abs(time_s - (found - 1) / rate) > slack_s:
            raise BadOutput(f"frame {found - 1} of the film of {video.name} is at {time_s} s; report this")
    if found != video.frames:
        raise BadOutput(
            f"the film of {video.name} holds {found} frames and the plan has {video.frames}; "
            "void its segments and render them again"
        )


def sequence_command(playlist: Path, folder: Path) -> list[str]:
    """Command line that copies each picture of the listed segments into a file of its own."""
    import ffmpeg

    pictures = ffmpeg.input(str(playlist), format="concat", safe=0)["v:0"]
    # A percent sign in the folder's name would count as a second frame number.
    pattern = str(folder).replace("%", "%%") + "/%08d.png"
    return compile_command(
        ffmpeg.output(pictures, pattern, **{"c:v": "copy", "f": "image2", "start_number": 0})
    )


def _verify_sequence(folder: Path, video: PlannedVideo) -> None:
    found = sum(1 for _ in folder.iterdir())
    if found != video.frames or not (folder / png_name(video.frames - 1)).exists():
        raise BadOutput(f"{video.name} became {found} pictures and the plan has {video.frames}; report this")
