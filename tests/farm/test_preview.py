from __future__ import annotations

import subprocess
import sys
from pathlib import Path

import pytest

from actors.media.frames import Cut, read_video
from actors.media.listing import packet_times
from actors.media.process import Call
from farm.preview import Preview, preview_path
from farm.stitch import partial_path
from jobs.errors import CorruptArtifact, StorageProblem
from jobs.frames import exact_rate

LENGTHS = (33, 24, 0, 1, 60, 3)


def times_of(preview: Path) -> list:
    return list(packet_times(preview, Call("read the preview")))


@pytest.mark.parametrize(
    ("codec", "suffix"), [("h264", ".mp4"), ("hevc", ".mp4"), ("prores", ".mov"), ("ffv1", ".mov")]
)
@pytest.mark.parametrize("rate", [23.976, 24.0, 12.5])
def test_it_can_be_watched_after_every_segment(
    codec: str, suffix: str, rate: float, marks, tmp_path: Path
) -> None:
    segments = marks.segments(tmp_path, codec, LENGTHS, rate)
    preview = Preview(marks.video(LENGTHS, rate), tmp_path / f"film.preview{suffix}")
    for ready in range(1, len(LENGTHS) + 1):
        facts = preview.grow(segments[:ready])
        assert facts.frames == sum(LENGTHS[:ready])
        assert times_of(facts.path) == [n / exact_rate(rate) for n in range(facts.frames)]
    assert marks.numbers(read_video(facts.path, Cut(64, 64, rate, 121))) == list(range(121))
    assert not partial_path(facts.path).exists()


def test_what_is_shown_is_only_added_to(marks, tmp_path: Path) -> None:
    segments = marks.segments(tmp_path, "h264", LENGTHS, 24.0)
    preview = Preview(marks.video(LENGTHS), tmp_path / "film.preview.mp4")
    shown = b""
    for ready in (1, 2, 5):
        content = preview.grow(segments[:ready]).path.read_bytes()
        assert content.startswith(shown) and len(content) > len(shown)
        shown = content


def test_a_cut_off_end_leaves_the_rest_playable(marks, tmp_path: Path) -> None:
    """What a player sees that reads while the next fragment is being written."""
    segments = marks.segments(tmp_path, "h264", (24, 24), 24.0)
    out = Preview(marks.video((24, 24)), tmp_path / "film.preview.mp4").grow(segments).path
    out.write_bytes(out.read_bytes()[:-100])
    assert len(times_of(out)) >= 24


def test_nothing_new_changes_nothing(marks, tmp_path: Path) -> None:
    segments = marks.segments(tmp_path, "h264", LENGTHS, 24.0)
    preview = Preview(marks.video(LENGTHS), tmp_path / "film.preview.mp4")
    first = preview.grow(segments[:2])
    stamp = first.path.stat().st_mtime_ns
    assert preview.grow(segments[:2]) == preview.grow(segments[:1]) == preview.grow(segments[:3]) == first
    assert first.path.stat().st_mtime_ns == stamp


def test_a_new_driver_starts_anew(marks, tmp_path: Path) -> None:
    segments = marks.segments(tmp_path, "h264", LENGTHS, 24.0)
    out = tmp_path / "film.preview.mp4"
    Preview(marks.video(LENGTHS), out).grow(segments)
    facts = Preview(marks.video(LENGTHS), out).grow(segments[:1])
    assert facts.frames == len(times_of(out)) == LENGTHS[0]


def test_a_preview_can_start_with_an_empty_segment(marks, tmp_path: Path) -> None:
    segments = marks.segments(tmp_path, "h264", (0, 9), 24.0)
    preview = Preview(marks.video((0, 9)), tmp_path / "film.preview.mp4")
    assert preview.grow(segments[:1]).frames == 0
    assert preview.grow(segments).frames == len(times_of(preview.facts.path)) == 9


def test_a_wrong_segment_is_refused_and_not_shown(marks, tmp_path: Path) -> None:
    segments = marks.segments(tmp_path, "h264", (9, 8), 24.0)
    preview = Preview(marks.video((9, 16)), tmp_path / "film.preview.mp4")
    preview.grow(segments[:1])
    with pytest.raises(CorruptArtifact):
        preview.grow(segments)
    assert len(times_of(preview.facts.path)) == 9


LIMITED = """
import resource, sys
from pathlib import Path
from farm.preview import append_fragments
resource.setrlimit(resource.RLIMIT_FSIZE, (int(sys.argv[3]), int(sys.argv[3])))
try:
    append_fragments(Path(sys.argv[1]), Path(sys.argv[2]), 0)
except OSError as error:
    print("refused", error.errno)
"""


def test_a_full_disk_takes_back_what_was_added(marks, tmp_path: Path) -> None:
    segments = marks.segments(tmp_path, "h264", (24, 24), 24.0)
    out = Preview(marks.video((24, 24)), tmp_path / "film.preview.mp4").grow(segments).path
    whole = out.read_bytes()
    (tmp_path / "more.mp4").write_bytes(whole)
    command = [sys.executable, "-c", LIMITED, str(tmp_path / "more.mp4"), str(out), str(len(whole) + 700)]
    done = subprocess.run(command, capture_output=True, text=True, check=False)
    assert "refused" in done.stdout, done.stderr
    assert out.read_bytes() == whole


def test_an_unwritable_folder_is_a_storage_problem(marks, tmp_path: Path) -> None:
    segments = marks.segments(tmp_path, "h264", (9,), 24.0)
    (tmp_path / "blocked").write_bytes(b"a file where a folder is wanted")
    with pytest.raises(StorageProblem):
        Preview(marks.video((9,)), tmp_path / "blocked" / "film.preview.mp4").grow(segments)


def test_names() -> None:
    assert preview_path(Path("out/dawn.mp4")) == Path("out/dawn.preview.mp4")
    assert preview_path(Path("out/dawn.mkv")) == Path("out/dawn.preview.mov")
    assert preview_path(Path("out/dawn")) == Path("out/dawn.preview.mov")
