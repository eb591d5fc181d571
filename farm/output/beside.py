"""What lies beside a film: the sound of a PNG sequence, stems, the timeline."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Mapping
from dataclasses import dataclass
from functools import partial
from pathlib import Path
from typing import TYPE_CHECKING

from actors.media.process import sync
from farm.events import MadeWith
from farm.output.placing import Placing
from farm.output.sound_files import moved, write_sound, write_stems
from farm.output.stitch import FilmFacts
from farm.output.timeline import timeline
from farm.state.job_state import FileBeside, FilmState
from jobs.hashing import sha256_of_bytes
from jobs.planning.output_names import PNG_SEQUENCE, sound_name, stem_name, timeline_name
from jobs.planning.planned import Plan, PlannedVideo
from jobs.scratch import Scratch

if TYPE_CHECKING:
    from farm.output.placing import Make
    from jobs.planning.planned import PlannedDelivery

Segments = Callable[[], list[Path]]
"""Brings the segments of a film to this machine."""


@dataclass(frozen=True)
class Beside:
    """Puts in place what lies beside films; `say` hears what is to be said of one, `made_with` knows what
    `FilmState` calls so, by video."""

    plan: Plan
    placing: Placing
    say: Callable[[PlannedVideo, FilmFacts], None]
    made_with: Callable[[str], tuple[MadeWith, ...]]

    def versions(self, video: PlannedVideo) -> int:
        """How many films of one name are kept."""
        return 1 if video.draft or video.take else self.plan.output.versions

    def put(
        self,
        video: PlannedVideo,
        delivery: PlannedDelivery,
        segments: Segments,
        known: FilmState | None = None,
    ) -> Iterator[FileBeside]:
        """The sound of a PNG sequence, and stems and timeline beside the first delivery: what stands there
        with the film that is `known` only where it is another."""
        stands = {file.path: file for file in known.beside} if known else {}
        if delivery.format.container == PNG_SEQUENCE and video.sound is not None:
            yield self._sound(video, sound_name(delivery.name), segments, stands)
        if video.stems and delivery.name == video.output:
            yield from self._stems(video, segments, stands)
        whole = not video.draft and video.take is None
        if self.plan.output.timeline is not None and whole and delivery.name == video.output:
            name = timeline_name(video.output, delivery.format.container)
            yield self._timeline(name, timeline(self.plan, video, self.made_with(video.name)), stands)

    def _sound(
        self, video: PlannedVideo, name: str, segments: Segments, stands: Mapping[str, FileBeside]
    ) -> FileBeside:
        def make(out: Path) -> str:
            made = write_sound(video, segments(), out, name)
            self.say(video, made)
            return made.sha256

        there = stands.get(self.placing.outlet.address(name))
        return there or self._put(name, make, self.versions(video))

    def _stems(
        self, video: PlannedVideo, segments: Segments, stands: Mapping[str, FileBeside]
    ) -> Iterator[FileBeside]:
        names = [stem_name(video.name, track) for track in video.stems]
        there = [stands[at] for at in map(self.placing.outlet.address, names) if at in stands]
        if len(there) == len(names):
            yield from there
            return
        with Scratch() as folder:
            for name, stem in zip(names, write_stems(video, segments(), folder), strict=True):
                yield self._put(name, partial(moved, stem), self.versions(video))

    def _timeline(self, name: str, content: bytes, stands: Mapping[str, FileBeside]) -> FileBeside:
        there = stands.get(self.placing.outlet.address(name))
        same = there is not None and there.sha256 == sha256_of_bytes(content)
        return there if there and same else self._put(name, partial(_write, content))

    def _put(self, name: str, make: Make, versions: int = 1) -> FileBeside:
        made: list[str] = []

        def noted(out: Path) -> str:
            made.append(make(out))
            return made[0]

        self.placing.put(name, noted, versions=versions)
        return FileBeside(self.placing.outlet.address(name), made[0])


def _write(content: bytes, path: Path) -> str:
    path.write_bytes(content)
    sync(path)
    return sha256_of_bytes(content)
