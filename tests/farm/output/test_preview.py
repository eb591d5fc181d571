from __future__ import annotations

import subprocess
import sys
from pathlib import Path
from typing import TYPE_CHECKING, Any

import fsspec
import pytest

from actors.media.frames import Cut, read_video
from actors.media.listing import packet_times
from actors.media.process import Call
from farm.output.outlets import outlet_of
from farm.output.placing import Placing, Screen
from farm.output.preview import Preview
from jobs.errors import CorruptArtifact, StorageProblem
from jobs.frames import exact_rate
from jobs.store.store import Store

if TYPE_CHECKING:
    from jobs.planning.planned import PlannedVideo
    from tests.conftest import Marks

LENGTHS = (33, 24, 0, 1, 60, 3)


def preview_of(video: PlannedVideo, out: Path) -> Preview:
    """A preview that is shown at `out`, by a driver of its own."""
    return Preview(video, screen_at(out.parent, str(out.parent), out.name))


def screen_at(runs: Path, folder: str, name: str) -> Screen:
    store = Store.open(str(runs / "runs"), "job")
    return Screen(Placing(store, outlet_of(folder), lambda: None), name)


def times_of(preview: Path) -> list[Any]:
    return list(packet_times(preview, Call("read the preview")))


@pytest.mark.parametrize(
    ("codec", "suffix"), [("h264", ".mp4"), ("hevc", ".mp4"), ("prores", ".mov"), ("ffv1", ".mov")]
)
@pytest.mark.parametrize("rate", [23.976, 24.0, 12.5])
def test_it_can_be_watched_after_every_segment(
    codec: str, suffix: str, rate: float, marks: Marks, tmp_path: Path
) -> None:
    segments = marks.segments(tmp_path, codec, LENGTHS, rate)
    out = tmp_path / f"film.preview{suffix}"
    preview = preview_of(marks.video(LENGTHS, rate), out)
    for ready in range(1, len(LENGTHS) + 1):
        frames = preview.grow(segments[:ready])
        assert frames == sum(LENGTHS[:ready])
        assert times_of(out) == [n / exact_rate(rate) for n in range(frames)]
    assert marks.numbers(read_video(out, Cut(64, 64, rate, 121))) == list(range(121))
    assert not list(tmp_path.glob(".*"))


def test_what_is_shown_is_only_added_to(marks: Marks, tmp_path: Path) -> None:
    segments = marks.segments(tmp_path, "h264", LENGTHS, 24.0)
    out = tmp_path / "film.preview.mp4"
    preview = preview_of(marks.video(LENGTHS), out)
    shown = b""
    for ready in (1, 2, 5):
        preview.grow(segments[:ready])
        content = out.read_bytes()
        assert content.startswith(shown)
        assert len(content) > len(shown)
        shown = content


def test_an_object_store_shows_the_same(marks: Marks, tmp_path: Path) -> None:
    segments = marks.segments(tmp_path, "h264", LENGTHS, 24.0)
    here = preview_of(marks.video(LENGTHS), tmp_path / "film.preview.mp4")
    screen = screen_at(tmp_path, "memory://previews", "film.preview.mp4")
    there = Preview(marks.video(LENGTHS), screen)
    for ready in (1, 2, 5, 6):
        assert here.grow(segments[:ready]) == there.grow(segments[:ready])
        content = (tmp_path / "film.preview.mp4").read_bytes()
        assert fsspec.filesystem("memory").find("/previews") == ["/previews/film.preview.mp4"]
        assert fsspec.filesystem("memory").cat_file("/previews/film.preview.mp4") == content
    screen.close()


def test_somebody_elses_file_is_not_added_to(marks: Marks, tmp_path: Path) -> None:
    segments = marks.segments(tmp_path, "h264", (9, 8), 24.0)
    out = tmp_path / "film.preview.mp4"
    preview = preview_of(marks.video((9, 8)), out)
    preview.grow(segments[:1])
    out.unlink()
    out.write_bytes(b"a holiday")
    with pytest.raises(StorageProblem, match="did not write"):
        preview.grow(segments)
    assert out.read_bytes() == b"a holiday"


def test_a_cut_off_end_leaves_the_rest_playable(marks: Marks, tmp_path: Path) -> None:
    """What a player sees that reads while the next fragment is being written."""
    segments = marks.segments(tmp_path, "h264", (24, 24), 24.0)
    out = tmp_path / "film.preview.mp4"
    preview_of(marks.video((24, 24)), out).grow(segments)
    out.write_bytes(out.read_bytes()[:-100])
    assert len(times_of(out)) >= 24


def test_nothing_new_changes_nothing(marks: Marks, tmp_path: Path) -> None:
    segments = marks.segments(tmp_path, "h264", LENGTHS, 24.0)
    out = tmp_path / "film.preview.mp4"
    preview = preview_of(marks.video(LENGTHS), out)
    first = preview.grow(segments[:2])
    stamp = out.stat().st_mtime_ns
    assert preview.grow(segments[:2]) == preview.grow(segments[:1]) == preview.grow(segments[:3]) == first
    assert out.stat().st_mtime_ns == stamp


def test_a_new_driver_starts_anew(marks: Marks, tmp_path: Path) -> None:
    segments = marks.segments(tmp_path, "h264", LENGTHS, 24.0)
    out = tmp_path / "film.preview.mp4"
    preview_of(marks.video(LENGTHS), out).grow(segments)
    assert preview_of(marks.video(LENGTHS), out).grow(segments[:1]) == len(times_of(out)) == LENGTHS[0]


def test_a_preview_can_start_with_an_empty_segment(marks: Marks, tmp_path: Path) -> None:
    segments = marks.segments(tmp_path, "h264", (0, 9), 24.0)
    out = tmp_path / "film.preview.mp4"
    preview = preview_of(marks.video((0, 9)), out)
    assert preview.grow(segments[:1]) == 0
    assert preview.grow(segments) == len(times_of(out)) == 9


def test_a_wrong_segment_is_refused_and_not_shown(marks: Marks, tmp_path: Path) -> None:
    segments = marks.segments(tmp_path, "h264", (9, 8), 24.0)
    out = tmp_path / "film.preview.mp4"
    preview = preview_of(marks.video((9, 16)), out)
    preview.grow(segments[:1])
    with pytest.raises(CorruptArtifact):
        preview.grow(segments)
    assert len(times_of(out)) == 9


def test_segments_whose_storage_went_away_are_a_storage_problem(marks: Marks, tmp_path: Path) -> None:
    """The preview is tried again, and what the storage lost is noticed where it matters."""
    segments = marks.segments(tmp_path, "h264", (9, 8), 24.0)
    preview = preview_of(marks.video((9, 8)), tmp_path / "film.preview.mp4")
    preview.grow(segments[:1])
    segments[1].unlink()
    with pytest.raises(StorageProblem, match="could not write the preview of"):
        preview.grow(segments)


LIMITED = """
import resource, sys
from pathlib import Path
from farm.output.preview import append_fragments
sys.dont_write_bytecode = True
resource.setrlimit(resource.RLIMIT_FSIZE, (int(sys.argv[3]), int(sys.argv[3])))
try:
    append_fragments(Path(sys.argv[1]), Path(sys.argv[2]), 0)
except OSError as error:
    print("refused", error.errno)
"""


def test_a_full_disk_takes_back_what_was_added(marks: Marks, tmp_path: Path) -> None:
    segments = marks.segments(tmp_path, "h264", (24, 24), 24.0)
    out = tmp_path / "film.preview.mp4"
    preview_of(marks.video((24, 24)), out).grow(segments)
    whole = out.read_bytes()
    (tmp_path / "more.mp4").write_bytes(whole)
    command = [sys.executable, "-c", LIMITED, str(tmp_path / "more.mp4"), str(out), str(len(whole) + 700)]
    done = subprocess.run(command, capture_output=True, text=True, check=False)
    assert "refused" in done.stdout, done.stderr
    assert out.read_bytes() == whole


def test_an_unwritable_folder_is_a_storage_problem(marks: Marks, tmp_path: Path) -> None:
    segments = marks.segments(tmp_path, "h264", (9,), 24.0)
    (tmp_path / "blocked").write_bytes(b"a file where a folder is wanted")
    screen = screen_at(tmp_path, str(tmp_path / "blocked"), "film.preview.mp4")
    with pytest.raises(StorageProblem):
        Preview(marks.video((9,)), screen).grow(segments)
