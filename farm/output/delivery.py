"""Films leave as soon as their last segment is committed, beside the rendering: one thread, in order.

A film is named by its key: the segments, the soundtrack, the form and the ffmpeg that joins them. A film
that stands already with its key and its SHA-256 is left alone.
"""

from __future__ import annotations

import time
from collections.abc import Callable, Iterator, Mapping
from concurrent.futures import Future, ThreadPoolExecutor
from concurrent.futures import wait as wait_for
from contextlib import suppress
from dataclasses import dataclass, replace
from functools import partial
from itertools import chain
from pathlib import Path
from typing import TYPE_CHECKING

from actors import interrupts
from actors.media.ffmpeg import find_ffmpeg
from farm.output.beside import Beside
from farm.output.outlets import outlet_of
from farm.output.placing import Placing, Screen
from farm.output.preview import Preview
from farm.output.stitch import FilmFacts, assemble_film
from farm.state.job_state import FilmState, JobState
from jobs.canonical import sha256_of
from jobs.errors import CorruptArtifact, StageError, StorageProblem
from jobs.file_digests import file_digest
from jobs.planning.output_names import (
    draft_name,
    preview_name,
    shown_format,
)
from jobs.planning.planned import Plan, PlannedDelivery, PlannedVideo
from jobs.scratch import Scratch
from jobs.tasks.segments import encoding_of, encodings, segment_id

if TYPE_CHECKING:
    from farm.events import MadeWith
    from jobs.store.commits import Commit
    from jobs.store.store import Store
    from jobs.tasks.task import TaskGraph

PREVIEW_INTERVAL_S = 15.0
PREVIEW_SHARE = 0.02
"""Previews may take this share of the delivery thread's time."""
LOOK_S = 1.0
"""While films are waited for, the job's lock is looked at this often."""


@dataclass
class _Reel:
    """One delivery in the making: its segment tasks in order, and how far they are committed without a gap.

    `copies` are of segments that lie in an object store: the film is made of files.
    """

    video: PlannedVideo
    delivery: PlannedDelivery
    screen: Screen | None
    preview: Preview | None
    segments: tuple[str, ...]
    missing: set[str]
    shown: list[Path]
    copies: Scratch
    prefix: int = 0
    previewed: int = 0
    next_preview_s: float = 0.0
    handed_over: bool = False


class Delivery:
    """Watches commits, assembles films and previews in a thread of its own.

    `confirm` raises JobBusy once the job is another driver's; `tell` takes notices; `made_with` knows what
    `FilmState` calls so, by video.
    """

    def __init__(
        self,
        plan: Plan,
        graph: TaskGraph,
        store: Store,
        confirm: Callable[[], None],
        tell: Callable[[str], None],
        made_with: Callable[[str], tuple[MadeWith, ...]] = lambda _: (),
    ) -> None:
        self.store = store
        self._tell = tell
        self._said: set[tuple[str, str]] = set()
        self._placing = Placing(store, outlet_of(plan.output.dir), confirm)
        self._made_with = made_with
        self._reels: dict[str, tuple[_Reel, ...]] = {}
        self.plan(plan, graph)
        self._thread = ThreadPoolExecutor(max_workers=1, thread_name_prefix="delivery")
        self._running: list[tuple[Future[FilmState | None], bool]] = []
        self._state = JobState(job=store.job_id)

    def plan(self, plan: Plan, graph: TaskGraph) -> None:
        """Begins anew, with the films of another plan; nothing is being delivered."""
        self._forget()
        self._plan = plan
        self._beside = Beside(plan, self._placing, self._say, self._made_with)
        self._reels = {video.name: tuple(self._reels_of(video, graph)) for video in plan.videos}

    def take_over(self) -> None:
        """Clears away what earlier drivers left unfinished; call it once the job's lock is held."""
        self._placing.take_over()

    def start(self, commits: Mapping[str, Commit], state: JobState) -> None:
        """Takes what is committed already; films that are complete are handed over at once."""
        self._state = state
        for reel in chain.from_iterable(self._reels.values()):
            reel.missing = {task for task in reel.segments if task not in commits}
            self._advance(reel, commits)

    def committed(self, task: str, commits: Mapping[str, Commit]) -> None:
        """Takes one more committed task."""
        for reel in self._reels.get(task.partition("/")[0], ()):
            if task in reel.missing:
                reel.missing.discard(task)
                self._advance(reel, commits)

    def reopen(self, task: str) -> None:
        """A segment is lost: its films wait until it is committed again."""
        for reel in self._reels[task.partition("/")[0]]:
            if task in reel.segments:
                reel.missing.add(task)
                reel.prefix = min(reel.prefix, reel.segments.index(task))
                reel.handed_over = False

    def finished(self) -> Iterator[tuple[FilmState, bool]]:
        """Films, and previews (True), that were finished since the last call.

        Raises what assembling raised.
        """
        while self._running and self._running[0][0].done():
            future, preview = self._running.pop(0)
            if (film := future.result()) is not None:
                yield film, preview

    def wait(self, check: Callable[[], None]) -> None:
        """Returns when everything handed over is finished; meanwhile `check` may raise."""
        while wait_for([future for future, _ in self._running], LOOK_S).not_done:
            check()
            interrupts.check()

    def close(self) -> None:
        """Ends the thread; what waits is dropped, what runs is finished."""
        self._thread.shutdown(wait=True, cancel_futures=True)
        self._forget()

    def _forget(self) -> None:
        for reel in chain.from_iterable(self._reels.values()):
            reel.copies.clear()
            if reel.screen is not None:
                reel.screen.close()

    def _advance(self, reel: _Reel, commits: Mapping[str, Commit]) -> None:
        while reel.prefix < len(reel.segments) and reel.segments[reel.prefix] in commits:
            reel.prefix += 1
        if not reel.missing and not reel.handed_over:
            reel.handed_over = True
            found = [commits[task] for task in reel.segments]
            self._running.append((self._thread.submit(self._film, reel, found), False))
        elif self._preview_due(reel):
            found = [commits[task] for task in reel.segments[reel.previewed : reel.prefix]]
            reel.previewed, reel.next_preview_s = reel.prefix, float("inf")
            self._running.append((self._thread.submit(self._preview, reel, found), True))

    def _preview_due(self, reel: _Reel) -> bool:
        grown = reel.previewed < reel.prefix < len(reel.segments)
        return grown and reel.preview is not None and time.monotonic() >= reel.next_preview_s

    def _film(self, reel: _Reel, segments: list[Commit]) -> FilmState:
        video, delivery, key = reel.video, reel.delivery, self._key(reel, segments)
        address = self._placing.outlet.address(delivery.name)
        known = self._state.film(video.name, delivery.name)
        if known and (known.key, known.path) == (key, address) and self._stands(known):
            local = partial(self._local, reel, segments)
            return replace(known, beside=tuple(self._beside.put(video, delivery, local, known)))
        facts: list[FilmFacts] = []

        def make(out: Path) -> str:
            paths, form = self._local(reel, segments), delivery.format
            made = assemble_film(
                video,
                paths,
                form.container,
                out,
                delivery.name,
                sound=form.sound,
                chapters=form.chapters,
            )
            facts.append(made)
            return facts[0].sha256

        beside = tuple(self._beside.put(video, delivery, partial(self._local, reel, segments)))
        self._placing.put(delivery.name, make, versions=self._beside.versions(video))
        reel.copies.clear()
        if reel.screen is not None:
            with suppress(StorageProblem):
                self._placing.remove(reel.screen.name)
        if self._plan.run.approve is not None and not video.draft:
            with suppress(StorageProblem):
                self._placing.remove(draft_name(video.name, self._plan.output.formats[0].container))
        made = facts[0]
        self._say(video, made)
        return FilmState(video.name, address, made.sha256, made.frames, video.frame_rate, key, beside=beside)

    def _local(self, reel: _Reel, segments: list[Commit]) -> list[Path]:
        return [self.store.local(commit, reel.copies) for commit in segments]

    def _say(self, video: PlannedVideo, made: FilmFacts) -> None:
        """Deliveries of one film have one sound, of which the same is said once."""
        for line in made.said:
            if (video.name, line) not in self._said:
                self._said.add((video.name, line))
                self._tell(f"{video.name}: {line}")

    def _stands(self, film: FilmState) -> bool:
        """Whether a film is still there, byte for byte, with all that was delivered beside it."""
        return all(self._placing.stands(file.path.rpartition("/")[2], file.sha256) for file in film.files)

    def _preview(self, reel: _Reel, fresh: list[Commit]) -> FilmState | None:
        """Nothing depends on a preview: one that cannot be written is tried again with the next segments."""
        assert reel.preview is not None
        assert reel.screen is not None
        started = time.monotonic()
        try:
            shown = [*reel.shown, *(self.store.local(commit, reel.copies) for commit in fresh)]
            frames = reel.preview.grow(shown)
            reel.shown = shown
        except CorruptArtifact:
            raise
        except StageError as problem:
            self._tell(f"no preview of {reel.video.name} yet: {problem}")
            return None
        finally:
            reel.previewed = len(reel.shown)
            took = time.monotonic() - started
            reel.next_preview_s = time.monotonic() + max(PREVIEW_INTERVAL_S, took / PREVIEW_SHARE)
        return FilmState(reel.video.name, reel.screen.address, "", frames, reel.video.frame_rate, "")

    def _reels_of(self, video: PlannedVideo, graph: TaskGraph) -> Iterator[_Reel]:
        """One for each delivery of the video; the first of the preview's container has the preview."""
        deliveries = self._plan.deliveries(video)
        labels = encodings(self._plan, video)
        container = shown_format([each.format for each in deliveries]).container
        preview = preview_name(video.name, container)
        for delivery in deliveries:
            label = labels[encoding_of(delivery.format, video.width, video.height)]
            names = (segment_id(video.name, chunk.index, label) for chunk in video.chunks)
            segments = tuple(name for name in names if name in graph.tasks)
            screen = shown = None
            if preview is not None and delivery.format.container == container:
                screen, preview = Screen(self._placing, preview), None
                shown = Preview(video, screen)
            yield _Reel(video, delivery, screen, shown, segments, set(segments), [], Scratch())

    def _key(self, reel: _Reel, segments: list[Commit]) -> str:
        video, form, sound = reel.video, reel.delivery.format, reel.video.sound
        return sha256_of(
            {
                "segments": [commit.sha256 for commit in segments],
                "frames": video.frames,
                "audio": sound.without_paths if sound else None,
                "soundtrack": [file_digest(path) for path in sound.paths] if sound and sound.paths else None,
                "output": [
                    form.container,
                    form.sound,
                    *(["chapters", *video.shots] if form.chapters else ()),
                ],
                "ffmpeg": find_ffmpeg().build_id,
            }
        )
