"""Every name that a job gives to what it writes into its output folder, and when two names are one. Pure."""

from __future__ import annotations

import re
import secrets
import unicodedata
from collections.abc import Iterator, Sequence
from typing import TYPE_CHECKING, NamedTuple

from jobs.formats import CONTAINERS, SOUND_SUFFIX

if TYPE_CHECKING:
    from jobs.planning.planned import Plan, PlannedVideo
    from jobs.spec.output import FilmFormat, Output

PNG_SEQUENCE = "png-sequence"
TIMELINE_SUFFIX = ".otio"
_SUFFIXES = (*(container.suffix for container in CONTAINERS.values()), SOUND_SUFFIX)


class OutputName(NamedTuple):
    """One name in the output folder; `what` says for messages whose it is."""

    name: str
    what: str


def film_name(form: FilmFormat, video: str, seed: int) -> str:
    """`dawn.mp4`; of a PNG sequence the folder of its pictures, `dawn`. `seed` is the job seed."""
    stem = form.name.replace("{video}", video).replace("{seed}", str(seed))
    return stem + CONTAINERS[form.container].suffix


def sound_name(film: str) -> str:
    """`dawn.wav`, beside the PNG sequence `dawn`."""
    return film + SOUND_SUFFIX


def stem_name(video: str, track: str) -> str:
    """`dawn.score.wav`, a track of the film `dawn`."""
    return f"{video}.{track}{SOUND_SUFFIX}"


def timeline_name(film: str, container: str) -> str:
    """`dawn.otio`, beside the film `dawn.mp4` or the PNG sequence `dawn`."""
    return film.removesuffix(CONTAINERS[container].suffix) + TIMELINE_SUFFIX


def draft_of(film: str) -> str:
    """`dawn.draft`: the video that is the first pass of a film."""
    return f"{film}.draft"


def draft_name(video: str, container: str) -> str:
    """`dawn.draft.mp4`: the first pass of a film that nobody has approved yet."""
    return draft_of(video) + CONTAINERS[container].suffix


def take_name(video: str, shot: str, number: int) -> str:
    """`dawn.pier.take2`: the film of one take."""
    return f"{video}.{shot}.take{number}"


def is_take_name(name: str) -> bool:
    """Whether `take_name` may have made it."""
    return re.search(r"\.take[1-9][0-9]*$", name) is not None


def take_film_name(take: str, container: str) -> str:
    """`dawn.pier.take2.mp4`."""
    return take + CONTAINERS[container].suffix


def shown_format(formats: Sequence[FilmFormat]) -> FilmFormat:
    """Of which delivery previews and takes are: the first mp4, else the first that is a file."""
    files = [form for form in formats if form.container != PNG_SEQUENCE]
    return next((form for form in files if form.container == "mp4"), files[0] if files else formats[0])


def preview_name(video: str, container: str) -> str | None:
    """`dawn.preview.mp4`, or `.mov` for films that are not mp4; None where there is no preview."""
    if container == PNG_SEQUENCE:
        return None
    return f"{video}.preview{'.mp4' if container == 'mp4' else '.mov'}"


def output_names(
    video: str, films: Sequence[str], output: Output, has_sound: bool, stems: Sequence[str] = ()
) -> Iterator[OutputName]:
    """The lasting names of one video: `films`, what lies beside them, and the preview."""
    formats = output.formats
    for film, form in zip(films, formats, strict=False):
        yield OutputName(film, f"the film of {video}")
        if form.container == PNG_SEQUENCE and has_sound:
            yield OutputName(sound_name(film), f"the sound of {video}")
    for stem in stems:
        yield OutputName(stem_name(video, stem), f"track {stem} of {video}")
    if output.timeline is not None:
        yield OutputName(timeline_name(films[0], formats[0].container), f"the timeline of {video}")
    if (preview := preview_name(video, shown_format(formats).container)) is not None:
        yield OutputName(preview, f"the preview of {video}")


def names_of_one(
    video: str, film: str, formats: Sequence[FilmFormat], has_sound: bool
) -> Iterator[OutputName]:
    """The lasting names of a take or a draft: it has one delivery, and no timeline."""
    container = shown_format(formats).container
    yield OutputName(film, f"the film of {video}")
    if container == PNG_SEQUENCE and has_sound:
        yield OutputName(sound_name(film), f"the sound of {video}")
    if (preview := preview_name(video, container)) is not None:
        yield OutputName(preview, f"the preview of {video}")


def planned_names(plan: Plan, video: PlannedVideo) -> Iterator[OutputName]:
    """The lasting names of a video of the plan."""
    if video.take is not None or video.draft:
        return names_of_one(video.name, video.output, plan.output.formats, video.sound is not None)
    return output_names(video.name, video.outputs, plan.output, video.sound is not None, video.stems)


def version_name(film: str, number: int) -> str:
    """`dawn.v3.mp4`: what `dawn.mp4` is called once a newer film has its name."""
    stem, suffix = _split(film)
    return f"{stem}.v{number}{suffix}"


def version_of(film: str, name: str) -> int | None:
    """The number in `version_name(film, number)` where that is `name`."""
    stem, suffix = _split(film)
    found = re.fullmatch(rf"{re.escape(stem)}\.v([1-9][0-9]*){re.escape(suffix)}", name)
    return int(found[1]) if found else None


def _split(film: str) -> tuple[str, str]:
    suffix = next((each for each in _SUFFIXES if each and film.endswith(each)), "")
    return film.removesuffix(suffix), suffix


def temporary_name(name: str) -> str:
    """A hidden name for `name` while it is being made, which no video and no other process can have."""
    return f".{name}.{secrets.token_hex(8)}.partial"


def is_temporary(hidden: str, name: str) -> bool:
    """Whether `temporary_name(name)` may have given this name."""
    return re.fullmatch(rf"\.{re.escape(name)}\.[0-9a-f]{{16}}\.partial", hidden) is not None


def same_name(name: str) -> str:
    """Equal for names that some file system takes for one: capitals and Unicode forms do not count."""
    return unicodedata.normalize("NFC", unicodedata.normalize("NFC", name).casefold())
