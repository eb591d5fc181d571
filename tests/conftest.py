"""What tests of several folders share.

Films whose frames carry their own number, so that joints, cuts and rates are checked frame by frame; an
S3-compatible server; file systems of a size.
"""

from __future__ import annotations

import gc
import os
import shutil
import subprocess
import tempfile
from collections.abc import Callable, Iterator, Sequence
from functools import cache, partial
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np
import pytest

from actors.media import process
from actors.media.segment import encode_segment
from jobs.formats import CODECS
from jobs.frames import ChunkSpan, DecodeWindow, Span
from jobs.planning.params import SegmentParams
from jobs.planning.planned import PlannedChunk, PlannedVideo
from jobs.planning.sampling import PlannedGuider, Sampling
from tests.encoded_once import encoded_once, joined_once, pictures_once, times_once

if TYPE_CHECKING:
    from jobs.sound.planned import PlannedSound

ROOT = Path(__file__).parents[1]
ON_RAY = Path(__file__).parent / "ray"
ROOM_BYTES = 4 << 30
"""Of a session's temporary files, with what Ray keeps beside them."""


SIDE = 64
CELL = 16
LISTED_ONCE, PICTURED_ONCE = times_once(), pictures_once()
SAMPLING = Sampling(1, 1.0, "euler", None, PlannedGuider(), 2.05, 0.95)


class PlainRoot:
    """The repository's root as a plain folder: pytest would import its `__init__.py`, which is ComfyUI's way
    in, as a package of the folder's name, and some other module may have that name."""

    @pytest.hookimpl(tryfirst=True)
    def pytest_collect_directory(self, path: Path, parent: pytest.Collector) -> pytest.Collector | None:
        return pytest.Dir.from_parent(parent, path=path) if path == ROOT else None


@pytest.hookimpl(tryfirst=True)
def pytest_configure(config: pytest.Config) -> None:
    """One thread for one process: several of them share the cores. Each has temporary files of its own, in
    memory where there is room; the interpreters that tests start compile the farm once."""
    config.pluginmanager.register(PlainRoot())
    os.environ.setdefault("OMP_NUM_THREADS", "1")
    os.environ.pop("PYTHONDONTWRITEBYTECODE", None)
    if name := os.environ.get("PYTEST_XDIST_WORKER"):
        place = tempfile.mkdtemp(prefix=f"farm-{name}-", dir=_memory())
        os.environ["TMPDIR"] = tempfile.tempdir = place
        config.option.basetemp = f"{place}/tests"
        config.add_cleanup(partial(shutil.rmtree, place, ignore_errors=True))


def _memory() -> Path | None:
    """A file system in memory that holds what a session writes, where programs may be started; else None."""
    place = Path("/dev/shm")
    if not place.is_dir() or shutil.disk_usage(place).free < ROOM_BYTES:
        return None
    return None if os.statvfs(place).f_flag & os.ST_NOEXEC else place


def pytest_collection_modifyitems(items: list[pytest.Item]) -> None:
    """Tests on Ray begin first, as they take longest. What a reference or ComfyUI warns of is theirs."""
    items.sort(key=lambda item: not item.path.is_relative_to(ON_RAY))
    for item in items:
        if {"reference", "comfyui"} & {mark.name for mark in item.iter_markers()}:
            item.add_marker(pytest.mark.filterwarnings("default"))


def pytest_collection_finish() -> None:
    """What is loaded by now stays to the end: the garbage collector need not look through it for every test,
    which would take a tenth of the processor."""
    gc.freeze()
    gc.set_threshold(10_000, 20, 50)


@pytest.hookimpl(optionalhook=True)
def pytest_xdist_make_scheduler(config: pytest.Config, log: Any) -> Any:
    """In a parallel run the tests of a file stay in one process, for what they share is made once; those on
    Ray all share one."""
    from xdist.scheduler import LoadScopeScheduling

    class ByFile(LoadScopeScheduling):  # type: ignore[misc]
        def _split_scope(self, nodeid: str) -> str:
            path = nodeid.partition("::")[0]
            return "ray" if (ROOT / path).is_relative_to(ON_RAY) else path

    config.option.loadscopereorder = False
    return ByFile(config, log)


class Marks:
    """Frames of 64x64 pixels that show their number as 16 black or white squares."""

    def frames(self, start: int, count: int) -> np.ndarray:
        """uint8 `[count, 64, 64, 3]`, numbered from `start`."""
        bits = (np.arange(start, start + count)[:, None] >> np.arange(16)) & 1
        cells = (bits * 255).astype(np.uint8).reshape(count, 4, 4, 1, 1)
        squares = np.broadcast_to(cells.transpose(0, 1, 3, 2, 4), (count, 4, CELL, 4, CELL))
        return np.repeat(squares.reshape(count, SIDE, SIDE, 1), 3, axis=3)

    def numbers(self, frames: np.ndarray) -> list[int]:
        """What the frames show."""
        bits = frames[:, CELL // 2 :: CELL, CELL // 2 :: CELL, 1].reshape(len(frames), 16) > 127
        return [int(number) for number in (bits << np.arange(16)).sum(axis=1)]

    def params(self, codec: str, frames: int, frame_rate: float = 24.0, threads: int = 1) -> SegmentParams:
        """Settings of a segment of `frames` frames."""
        return SegmentParams(
            width=SIDE,
            height=SIDE,
            frame_rate=frame_rate,
            fade_frames=0,
            owned_frames=frames,
            codec=codec,
            container="",
            crf=16,
            preset="veryfast",
            pixel_format=CODECS[codec].pixel_format,
            encode_threads=threads,
        )

    def segments(self, folder: Path, codec: str, lengths: Sequence[int], frame_rate: float) -> list[Path]:
        """One segment for each length, numbered through."""
        paths, start = [], 0
        for index, length in enumerate(lengths):
            out = folder / f"{codec}-{frame_rate}-{index}.mov"
            paths.append(
                encode_segment(self.frames(start, length), self.params(codec, length, frame_rate), out)
            )
            start += length
        return paths

    def video(
        self, lengths: Sequence[int], frame_rate: float = 24.0, sound: PlannedSound | None = None
    ) -> PlannedVideo:
        """The plan of a film whose chunks own `lengths` frames."""
        stops = np.cumsum([0, *lengths]).tolist()
        chunks = tuple(_chunk(index, Span(*stops[index : index + 2])) for index in range(len(lengths)))
        return PlannedVideo(
            "film", chunks, stops[-1], SIDE, SIDE, SIDE, SIDE, frame_rate, "film", sound=sound
        )


def _chunk(index: int, owned: Span) -> PlannedChunk:
    return PlannedChunk(
        video="film",
        index=index,
        shot=index,
        index_in_shot=0,
        kind="generate",
        place=f"videos[0].chunks[{index}]",
        span=ChunkSpan(0, 2, 2),
        window=DecodeWindow(Span(0, 2), Span(0, 2), Span(0, 9)),
        owned=owned,
        fade_frames=0,
        prompt="",
        negative="",
        seed=0,
        upscale_seed=0,
        decode_seed=0,
        sampling=SAMPLING,
        guides=(),
        overlap_strength=1.0,
        attention_mode="default",
        ffn_chunks=0,
    )


@pytest.fixture(scope="session")
def small_ltx_video(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """An LTX-Video file with random weights and all its parts."""
    from tests.official.ltx_video_files import write_small

    return write_small(tmp_path_factory.mktemp("ltx-video") / "small.safetensors")


@pytest.fixture(scope="session")
def small_ltx2(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """An LTX-2 file with random weights and all its parts."""
    from tests.official.ltx2_files import write_small

    return write_small(tmp_path_factory.mktemp("ltx2") / "small.safetensors")


@pytest.fixture(scope="session")
def marks() -> Marks:
    """Numbered frames, and segments and plans made of them."""
    return Marks()


@pytest.fixture(scope="session")
def encode_once(tmp_path_factory: pytest.TempPathFactory) -> Iterator[None]:
    """Of equal segments one is encoded; the others are copies (`tests/encoded_once.py`)."""
    with pytest.MonkeyPatch.context() as patch:
        run = encoded_once(process.run, tmp_path_factory.mktemp("encoded"))
        patch.setattr("actors.media.segment.run", run)
        yield


@pytest.fixture
def join_once(kept_films: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """Of films of equal segments one is joined, read again and pictured; the others are copies."""
    monkeypatch.setattr("farm.output.stitch.run", joined_once(process.run, kept_films, b""))
    monkeypatch.setattr("farm.output.preview.exchange", joined_once(process.exchange, kept_films, (b"", "")))
    monkeypatch.setattr("farm.output.stitch.packet_times", LISTED_ONCE)
    monkeypatch.setattr("farm.report.pictures.frame_at", PICTURED_ONCE)


@pytest.fixture(scope="session")
def kept_films(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return tmp_path_factory.mktemp("joined")


@pytest.fixture(scope="session")
def s3_url() -> Iterator[str]:
    """`s3://bucket` on a server of this test session."""
    server_module = pytest.importorskip("moto.server")
    s3fs = pytest.importorskip("s3fs")
    server = server_module.ThreadedMotoServer(ip_address="127.0.0.1", port=0, verbose=False)
    server.start()
    host, port = server.get_host_and_port()
    names = {
        "AWS_ENDPOINT_URL": f"http://{host}:{port}",
        "AWS_ACCESS_KEY_ID": "test",
        "AWS_SECRET_ACCESS_KEY": "test",
        "AWS_DEFAULT_REGION": "us-east-1",
    }
    before = {name: os.environ.get(name) for name in names}
    os.environ.update(names)
    s3fs.S3FileSystem.clear_instance_cache()
    s3fs.S3FileSystem().mkdir("farm-test")
    yield "s3://farm-test"
    s3fs.S3FileSystem.clear_instance_cache()
    server.stop()
    for name, value in before.items():
        os.environ.pop(name) if value is None else os.environ.update({name: value})


@pytest.fixture(scope="session")
def serial_films(tmp_path_factory: pytest.TempPathFactory) -> Callable[..., dict[str, str]]:
    """`serial_films(videos, count)`: SHA-256 of the films of `document(videos=, count=)` by name, as the
    serial reference renders them, once a session."""
    from tests.ray.kit.specs import document, render_alone

    @cache
    def films(videos: int = 2, count: int = 4) -> dict[str, str]:
        folder = tmp_path_factory.mktemp("serial")
        return render_alone(folder / "runs", document(folder / "out", videos, count)).films

    return films


Mount = Callable[..., None]


@pytest.fixture
def mount() -> Iterator[Mount]:
    """`mount(place, *options)` mounts something at `place` until the test is over; skips without the right
    to."""
    places: list[Path] = []

    def begin(place: Path, *options: str) -> None:
        place.mkdir(parents=True, exist_ok=True)
        done = os.geteuid() == 0 and subprocess.run(
            ["mount", *options, str(place)], capture_output=True, check=False
        )
        if not done or done.returncode != 0:
            pytest.skip("needs the right to mount")
        places.append(place)

    yield begin
    for place in reversed(places):
        subprocess.run(["umount", "--lazy", str(place)], capture_output=True, check=False)


@pytest.fixture
def small_disk(mount: Mount) -> Callable[[Path, int], None]:
    """`small_disk(place, mib)` makes a folder a file system of so many MiB."""
    return lambda place, mib: mount(place, "-t", "tmpfs", "-o", f"size={mib}m", "none")
