"""Sound beside a film: that of a film that holds none, and its tracks one by one."""

from __future__ import annotations

import shutil
import tempfile
from collections.abc import Sequence
from pathlib import Path
from typing import TYPE_CHECKING

from actors.media.audio import SAME_ON_EVERY_CPU, track_options
from actors.media.process import Call, compile_command, run, sync
from farm.output.stitch import FilmFacts, check_segments, join_sound, segments_soundtrack
from jobs.frames import Span
from jobs.hashing import sha256_of_file

if TYPE_CHECKING:
    from actors.media.codecs import Options
    from jobs.planning.planned import PlannedVideo

WAV: Options = {"f": "wav", "rf64": "auto", "fflags": "+bitexact", "map_metadata": -1}


def write_sound(video: PlannedVideo, segments: Sequence[Path], out: Path, name: str) -> FilmFacts:
    """Write the sound of a film that holds none as the WAV file `out`, which is going to be called `name`.

    Raises as `assemble_film`.
    """
    import ffmpeg

    call = Call(f"write the sound of {video.name}", writes=out.with_name(name))
    pieces = tuple(check_segments(video, segments, Span(0, len(segments))))
    with tempfile.TemporaryDirectory(prefix="farm-film-") as folder:
        track = segments_soundtrack(video, pieces, "pcm", Path(folder))
        assert track is not None
        options = {**track_options(track.codec, track.mix.channels), **WAV}
        command = ffmpeg.output(track.stream(), str(out), **options).global_args(*SAME_ON_EVERY_CPU)
        join_sound(video, compile_command(command), call, track)
    sync(out)
    return FilmFacts(out, sha256_of_file(out), 0, 0.0, track.level.said)


def moved(made: Path, out: Path) -> str:
    """Moves a file to the path where it is wanted; its SHA-256."""
    shutil.move(made, out)
    sync(out)
    return sha256_of_file(out)


def write_stems(video: PlannedVideo, segments: Sequence[Path], folder: Path) -> tuple[Path, ...]:
    """Write each track of a film as a WAV file of float32 samples into `folder`, as loud as it is in the mix,
    without what a limiter does to that. Raises as `assemble_film`.
    """
    import ffmpeg

    call, stems = Call(f"write the stems of {video.name}", writes=folder / "stem"), []
    pieces = tuple(check_segments(video, segments, Span(0, len(segments))))
    track = segments_soundtrack(video, pieces, "pcm", folder)
    for number, source in enumerate(track.mix.sources if track else ()):
        assert track is not None
        out = folder / f"{source.track.name}.wav"
        options = {"c:a": "pcm_f32le", "flags:a": "+bitexact", **WAV}
        run(compile_command(ffmpeg.output(track.piped(), str(out), **options)), call, track.stem(number))
        stems.append(out)
    return tuple(stems)
