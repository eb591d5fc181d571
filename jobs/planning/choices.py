"""What people choose from: drafts of films that they approve, takes of shots of which they pick one.

Both are films of ordinary tasks. A draft stands beside its film and has the first pass alone, at base size:
it samples what the film samples. A take is a film of one shot, made with other seeds: once it is picked, its
tasks are those of the film, with the same digests.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from dataclasses import replace
from fractions import Fraction
from itertools import groupby
from typing import TYPE_CHECKING

from jobs.frames import Span, exact_rate
from jobs.planning.output_names import draft_name, draft_of, take_film_name, take_name
from jobs.planning.planned import PlannedTake
from jobs.planning.seeds import derive_seed
from jobs.planning.windows import shown_again

if TYPE_CHECKING:
    from collections.abc import Collection

    from jobs.planning.planned import Plan, PlannedChunk, PlannedVideo
    from jobs.sound.planned import PlannedSound, PlannedTrack
    from jobs.spec.video import Video
    from jobs.store.chosen import Rewording

Picks = Mapping[tuple[str, str], int]
"""The number of the take that is in the film, by film and name of the shot."""


def with_drafts(plan: Plan, approved: Collection[str]) -> Plan:
    """The plan with a draft behind every film that is not among those `approved`; one without a second pass
    stays as it is. Of takes there is the draft alone: the second pass follows in the film."""
    if plan.upscale is None:
        return plan
    videos = (each for video in plan.videos for each in _with_draft(video, plan, video.name in approved))
    return replace(plan, videos=tuple(videos))


def _with_draft(video: PlannedVideo, plan: Plan, approved: bool) -> Iterator[PlannedVideo]:
    if video.take is None:
        yield video
    if not approved:
        yield _draft(video, plan)


def _draft(video: PlannedVideo, plan: Plan) -> PlannedVideo:
    first = plan.output.formats[0]
    name = video.name if video.take else draft_of(video.name)
    shown = tuple(shown_again(video.chunks, None, plan.decode))
    return replace(
        video,
        name=name,
        chunks=tuple(replace(chunk, video=name) for chunk in shown),
        frames=shown[-1].owned.stop,
        frame_rate=video.base_rate,
        temporal=1,
        sound=_sound_at_base(video, shown),
        width=video.base_width,
        height=video.base_height,
        output=draft_name(video.name, first.container),
        more_outputs=(),
        draft_of=video.name,
    )


def _sound_at_base(video: PlannedVideo, shown: Sequence[PlannedChunk]) -> PlannedSound | None:
    """The sound of a film beside the pictures of its first passes, of which temporal rounds made more."""
    if video.sound is None or video.temporal == 1:
        return video.sound
    frames, film = _frames_of_shots(shown), _frames_of_shots(video.chunks)
    tracks: list[PlannedTrack] = []
    for track in video.sound.tracks:
        if track.shot is None and track.path is not None and len(film) > 1:
            tracks += (_shot_at_base(track, video, film[shot], frames[shot]) for shot in film)
            continue
        here = Span(0, shown[-1].owned.stop) if track.shot is None else frames[track.shot]
        delay_s = float(-_begun_s(track, video, track.start_frame))
        moved = replace(track, start_frame=here.start, stop_frame=here.stop, skip_frames=0, delay_s=delay_s)
        tracks.append(moved)
    return replace(video.sound, tracks=tuple(tracks))


def _frames_of_shots(chunks: Sequence[PlannedChunk]) -> dict[int, Span]:
    shots = ((shot, list(some)) for shot, some in groupby(chunks, key=lambda chunk: chunk.shot))
    return {shot: Span(some[0].owned.start, some[-1].owned.stop) for shot, some in shots}


def _shot_at_base(track: PlannedTrack, video: PlannedVideo, film: Span, frames: Span) -> PlannedTrack:
    """What is heard of a whole film's track with the first pass of one shot, which has these `frames` of the
    draft and those of the `film`. The last frame of a shot is shown for longer in a draft, so each shot hears
    the file from where the film has it."""
    seconds = track.seconds
    if seconds is None and track.fade_out_s:
        # It fades out before the film's end, which is elsewhere in the draft for each shot.
        length_s = (track.stop_frame - track.start_frame) / exact_rate(video.frame_rate)
        seconds = float(length_s + _begun_s(track, video, track.start_frame))
    return replace(
        track,
        start_frame=frames.start,
        stop_frame=frames.stop,
        skip_frames=0,
        delay_s=float(-_begun_s(track, video, film.start)),
        seconds=seconds,
        part=frames,
    )


def _begun_s(track: PlannedTrack, video: PlannedVideo, frame: int) -> Fraction:
    """Seconds of a track's file that are over when a frame of the film is shown."""
    shown = track.skip_frames + frame - track.start_frame
    return shown / exact_rate(video.frame_rate) - Fraction(track.delay_s)


def numbers_of_takes(video: Video) -> tuple[int, ...]:
    """How many takes each shot of a film has, by its number."""
    source = (1,) if video.source is not None else ()
    if video.shots:
        return *source, *(shot.takes for shot in video.shots)
    return *source, *(chunk.generate.takes for chunk in video.chunks if chunk.generate is not None)


def take_films(film: PlannedVideo, numbers: Sequence[int], container: str) -> Iterator[PlannedVideo]:
    """A film of each take of each shot that has several: `numbers` are how many, by shot."""
    for shot, count in enumerate(numbers):
        for number in range(1, count + 1) if count > 1 else ():
            take = PlannedTake(film.name, shot, film.shots[shot], number, picked=number == 1)
            yield _take_film(film, take, container)


def _take_film(film: PlannedVideo, take: PlannedTake, container: str) -> PlannedVideo:
    """The shot alone, with the sound that is its own."""
    chunks = [chunk for chunk in film.chunks if chunk.shot == take.shot]
    frames = Span(chunks[0].owned.start, chunks[-1].owned.stop)
    name = take_name(take.video, take.name, take.number)
    moved = (
        replace(chunk, video=name, index=index, shot=0, owned=chunk.owned.shifted(-frames.start))
        for index, chunk in enumerate(chunks)
    )
    return replace(
        film,
        name=name,
        chunks=tuple(_of_take(chunk, take.number) for chunk in moved),
        frames=len(frames),
        output=take_film_name(name, container),
        more_outputs=(),
        snaps=(),
        shots=(take.name,),
        sound=film.sound.of_shot(take.shot, frames) if film.sound else None,
        take=take,
    )


def _of_take(chunk: PlannedChunk, number: int) -> PlannedChunk:
    """The chunk with the seeds of a take. The first has the shot's own; a source is not sampled."""
    if number == 1 or not chunk.is_sampled:
        return chunk
    return replace(
        chunk,
        seed=derive_seed(chunk.seed, "take", number),
        upscale_seed=derive_seed(chunk.upscale_seed, "take", number),
        decode_seed=derive_seed(chunk.decode_seed, "take", number),
    )


def with_picks(plan: Plan, picks: Picks) -> Plan:
    """The plan with these takes in its films instead of the first ones. A pick of what is not there counts
    for nothing."""
    chosen = {
        (take.video, take.shot): video
        for video in plan.videos
        if (take := video.take) is not None and picks.get((take.video, take.name)) == take.number
    }
    return replace(plan, videos=tuple(_picked(video, chosen) for video in plan.videos)) if chosen else plan


def _picked(video: PlannedVideo, chosen: Mapping[tuple[str, int], PlannedVideo]) -> PlannedVideo:
    take = video.take
    if take is None:
        chunks = (_seeded(chunk, chosen.get((video.name, chunk.shot))) for chunk in video.chunks)
        return replace(video, chunks=tuple(chunks))
    shown = chosen.get((take.video, take.shot))
    return replace(video, take=replace(take, picked=shown is video)) if shown is not None else video


def _seeded(chunk: PlannedChunk, take: PlannedVideo | None) -> PlannedChunk:
    """The chunk of a film with the seeds that it has in this take."""
    if take is None:
        return chunk
    own = take.chunks[chunk.index_in_shot]
    return replace(chunk, seed=own.seed, upscale_seed=own.upscale_seed, decode_seed=own.decode_seed)


def with_overrides(
    plan: Plan, seeds: Mapping[tuple[str, int], int], prompts: Mapping[tuple[str, int], Rewording]
) -> Plan:
    """The plan with other sample seeds and prompts, by `PlannedVideo.film` and `PlannedChunk.decode_seed`:
    that stays with a chunk when others are put before it, and when its take is picked. A prompt that was
    edited in the spec since is as the spec has it."""

    def changed(chunk: PlannedChunk, key: tuple[str, int]) -> PlannedChunk:
        if key not in seeds and key not in prompts:
            return chunk
        other = prompts.get(key)
        prompt = other.prompt if other and other.instead_of == chunk.prompt else chunk.prompt
        return replace(chunk, seed=seeds.get(key, chunk.seed), prompt=prompt)

    videos = tuple(
        replace(video, chunks=tuple(changed(each, (video.film, each.decode_seed)) for each in video.chunks))
        for video in plan.videos
    )
    return replace(plan, videos=videos)


def shots_to_render(plan: Plan) -> Iterator[tuple[PlannedVideo, tuple[PlannedChunk, ...]]]:
    """The shots of every video in order, each behind it as its draft shows it: that is what people wait
    for."""
    drafts = {video.draft_of: video for video in plan.videos if not video.own}
    for video in (each for each in plan.videos if each.own):
        both = [each for each in (video, drafts.get(video.name)) if each is not None]
        ways = ([tuple(shot) for _, shot in groupby(each.chunks, key=lambda c: c.shot)] for each in both)
        for shots in zip(*ways, strict=True):
            yield from zip(both, shots, strict=True)
