"""A film to watch while it is still being rendered: the segments that are there, in order, without gaps.

The preview is a fragmented movie: its index stands in front and is never touched again, and each new segment
only adds whole fragments at the end. Players can open it at any moment, and a long film costs one copy of
each segment instead of one of the whole film for every segment.
"""

from __future__ import annotations

import struct
import tempfile
from collections.abc import Sequence
from dataclasses import replace
from pathlib import Path
from typing import TYPE_CHECKING, BinaryIO

from actors.media.boxes import box_header, box_offsets, top_level
from actors.media.codecs import Options, frame_ticks, time_scale
from actors.media.process import Call, compile_command, exchange, refused
from farm.output.stitch import FilmSegment, check_segments, write_list
from jobs.frames import Span
from jobs.scratch import Scratch

if TYPE_CHECKING:
    from farm.output.placing import Screen
    from jobs.planning.planned import PlannedVideo

COPY_BLOCK_BYTES = 1 << 20
WHOLE_FRAGMENTS = "frag_keyframe+empty_moov+default_base_moof+skip_trailer"


class Preview:
    """The growing preview of one video. The first `grow` makes the file anew, later ones append to it.

    It has no sound: the film's only track is encoded when the film is whole.
    """

    def __init__(self, video: PlannedVideo, screen: Screen) -> None:
        self._video, self._screen = video, screen
        self._chunks = 0
        self._frames = 0

    def grow(self, segments: Sequence[Path]) -> int:
        """Show the first `len(segments)` chunks; returns how many frames are seen. `segments` are those of
        the video, in order, from its start.

        Raises CorruptArtifact when a segment is not what the plan says, StorageProblem when the disk
        refuses, a segment's storage went away, or somebody else's file has the preview's name.
        """
        fresh = Span(self._chunks, max(self._chunks, len(segments)))
        call = Call(f"write the preview of {self._video.name}")
        try:
            pieces = tuple(check_segments(self._video, segments[fresh.start :], fresh))
            if pieces:
                self._show(pieces, replace(call, need_bytes=sum(each.path.stat().st_size for each in pieces)))
        except OSError as error:
            raise refused(error, call) from error
        self._chunks = fresh.stop
        return self._frames

    def _show(self, pieces: Sequence[FilmSegment], call: Call) -> None:
        if self._frames:
            self._add(pieces, call)
        else:
            self._screen.show(lambda path: self._write_fragments(pieces, path, call))
        self._frames = pieces[-1].start + pieces[-1].frames

    def _add(self, pieces: Sequence[FilmSegment], call: Call) -> None:
        start_ticks = pieces[0].start * frame_ticks(self._video.frame_rate)
        with Scratch() as folder:
            made = folder / self._screen.name
            self._write_fragments(pieces, made, call)
            self._screen.add(lambda path: append_fragments(made, path, start_ticks))

    def _write_fragments(self, pieces: Sequence[FilmSegment], made: Path, call: Call) -> None:
        """A fragmented movie of `pieces`, counting time from its own start."""
        import ffmpeg

        options: Options = {
            "c": "copy",
            "f": "mp4" if self._screen.name.endswith(".mp4") else "mov",
            "movflags": WHOLE_FRAGMENTS,
            "fflags": "+bitexact",
            "map_metadata": -1,
            "video_track_timescale": time_scale(self._video.frame_rate),
            "fragment_index": pieces[0].start + 1,
        }
        with tempfile.TemporaryDirectory(prefix="farm-preview-") as folder:
            playlist = write_list(pieces, self._video.frame_rate, Path(folder) / "segments.ffconcat")
            joined = ffmpeg.input(str(playlist), format="concat", safe=0)["v:0"]
            written = replace(call, writes=made.with_name(self._screen.name))
            exchange(compile_command(ffmpeg.output(joined, str(made), **options)), written)


def append_fragments(source: Path, target: Path, start_ticks: int) -> None:
    """Add the fragments of `source`, `start_ticks` later, to the end of `target`: all of them or none."""
    whole_bytes = target.stat().st_size
    try:
        with source.open("rb") as reader, target.open("r+b") as writer:
            writer.seek(whole_bytes)
            for kind, size in top_level(reader):
                if kind == b"moof":
                    _write_box(writer, kind, delayed(reader.read(size), start_ticks))
                elif kind == b"mdat":
                    writer.write(box_header(kind, size))
                    _copy(reader, writer, size)
                else:
                    reader.seek(size, 1)
    except OSError:
        with target.open("r+b") as torn:
            torn.truncate(whole_bytes)
        raise


def delayed(fragment: bytes, ticks: int) -> bytes:
    """The content of a `moof` box whose tracks start `ticks` later."""
    moved = bytearray(fragment)
    for at in box_offsets(fragment, b"traf", b"tfdt"):
        layout = ">Q" if fragment[at] == 1 else ">I"
        struct.pack_into(layout, moved, at + 4, struct.unpack_from(layout, fragment, at + 4)[0] + ticks)
    return bytes(moved)


def _write_box(writer: BinaryIO, kind: bytes, content: bytes) -> None:
    writer.write(box_header(kind, len(content)))
    writer.write(content)


def _copy(reader: BinaryIO, writer: BinaryIO, count: int) -> None:
    while count:
        block = reader.read(min(count, COPY_BLOCK_BYTES))
        writer.write(block)
        count -= len(block)
