"""What the page may hand out of a job: its films, previews and pictures of them, through its records alone.

No path comes from a browser. A video is looked up in the job's plan, its film in the job's state, and what
stands there has to fit what the job's records say it wrote.
"""

from __future__ import annotations

import threading
from collections import OrderedDict
from pathlib import Path
from typing import TYPE_CHECKING, Generic, TypeVar

from farm.output.outlets import locate, outlet_of
from farm.output.records import OutputRecords
from farm.report.gather import PLAYABLE, current_state
from farm.report.pictures import middle, seam_jpegs, thumb_jpeg
from farm.report.waveform import waveform
from jobs.errors import Problem, UsageError
from jobs.planning.output_names import preview_name, shown_format

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator

    from farm.output.outlet import ExistingOutput
    from farm.page.reading import Reader
    from farm.verbs.run import JobDocuments
    from jobs.planning.planned import PlannedChunk, PlannedVideo
    from jobs.store.store import Store

MOST_PICTURES, MOST_CHECKED = 600, 2000
Key = TypeVar("Key")
Value = TypeVar("Value")
SIDES = ("before", "after", "difference")


class Kept(Generic[Key, Value]):
    """The newest `most` values that were made."""

    def __init__(self, most: int) -> None:
        self._most, self._lock = most, threading.Lock()
        self._values: OrderedDict[Key, Value] = OrderedDict()

    def get(self, key: Key, make: Callable[[], Value]) -> Value:
        """The value of `key`, made where it is not known."""
        with self._lock:
            if key in self._values:
                self._values.move_to_end(key)
                return self._values[key]
        made = make()
        with self._lock:
            self._values[key] = made
            while len(self._values) > self._most:
                self._values.popitem(last=False)
        return made


class JobFiles:
    """Films and their pictures. Methods block; they raise UsageError for what is missing or foreign."""

    def __init__(self, reader: Reader) -> None:
        self._reader = reader
        self._known: Kept[tuple[str, ...], bool] = Kept(MOST_CHECKED)
        self._pictures: Kept[tuple[str, ...], tuple[bytes, ...]] = Kept(MOST_PICTURES)

    def film(self, job: str, video: str) -> Path:
        """The film, or the preview of one that is not finished."""
        run = self._reader.open(job)
        return self._stands(run, _video(run, video))[0]

    def thumb(self, job: str, video: str, chunk: int) -> bytes:
        """A JPEG of the chunk's middle frame."""
        run = self._reader.open(job)
        planned = _video(run, video)
        frame = middle(_chunk(planned, chunk))
        (jpeg,) = self._drawn(
            run, planned, f"thumb {frame}", lambda film: (thumb_jpeg(planned, film, frame),)
        )
        return jpeg

    def seam(self, job: str, video: str, chunk: int, side: str) -> bytes:
        """A JPEG of one of `SIDES` of the seam at the chunk's head."""
        run = self._reader.open(job)
        planned = _video(run, video)
        frame = _chunk(planned, chunk).owned.start
        if frame == 0 or side not in SIDES:
            raise _missing(f"{video}/{chunk}/{side}")
        sides = self._drawn(run, planned, f"seam {frame}", lambda film: seam_jpegs(planned, film, frame)[0])
        return sides[SIDES.index(side)]

    def sound(self, job: str, video: str) -> bytes:
        """An SVG of the film's sound."""
        run = self._reader.open(job)
        planned = _video(run, video)
        return self._drawn(run, planned, "sound", lambda film: (waveform(film, planned.seconds).encode(),))[0]

    def _drawn(
        self, run: JobDocuments, video: PlannedVideo, what: str, draw: Callable[[Path], tuple[bytes, ...]]
    ) -> tuple[bytes, ...]:
        path, stamp = self._stands(run, video)
        return self._pictures.get((str(path), stamp, what), lambda: draw(path))

    def _stands(self, run: JobDocuments, video: PlannedVideo) -> tuple[Path, str]:
        """Where the film or preview stands, and a mark that changes with it."""
        for address in _addresses(run, video):
            outlet, name = locate(address)
            found = outlet.find(name)
            if found is not None and not found.is_folder and self._is_ours(run.store, address, found):
                return Path(address), found.stamp
        raise _missing(video.name)

    def _is_ours(self, store: Store, address: str, found: ExistingOutput) -> bool:
        outlet, name = locate(address)
        return self._known.get(
            (store.url, address, found.stamp),
            lambda: OutputRecords(store).of(name).knows(outlet, name, found),
        )


def _addresses(run: JobDocuments, video: PlannedVideo) -> Iterator[str]:
    """Where something to watch may be: a film that was delivered, else the preview, else the film whose
    delivery `state.json` does not tell yet. Only what a browser plays, in a folder."""
    films = [film.path for film in current_state(run).videos if film.name == video.name]
    outlet = outlet_of(run.plan.output.dir)
    preview = preview_name(video.name, shown_format(run.plan.output.formats).container)
    names = (preview, *video.outputs) if preview else video.outputs
    for address in films or map(outlet.address, names):
        if "://" not in address and Path(address).suffix in PLAYABLE:
            yield address


def _video(run: JobDocuments, name: str) -> PlannedVideo:
    found = next((video for video in run.plan.videos if video.name == name), None)
    if found is None:
        raise _missing(name)
    return found


def _chunk(video: PlannedVideo, number: int) -> PlannedChunk:
    if not 0 <= number < len(video.chunks):
        raise _missing(f"{video.name}/{number}")
    return video.chunks[number]


def _missing(what: str) -> UsageError:
    rule, remedy = "something that this job wrote, and that stands where it put it", "look at the job's page"
    return UsageError([Problem("file", repr(what), rule, remedy)])
