"""Every name that a job gives to what it writes into its output folder, and when two names are one. Pure."""

from __future__ import annotations

import re
import secrets
import unicodedata
from collections.abc import Iterator
from typing import NamedTuple

from jobs.formats import CONTAINERS

PNG_SEQUENCE = "png-sequence"


class OutputName(NamedTuple):
    """One name in the output folder; `what` says for messages whose it is."""

    name: str
    what: str


def film_name(video: str, container: str) -> str:
    """`dawn.mp4`; of a PNG sequence the folder of its pictures, `dawn`."""
    return video + CONTAINERS[container].suffix


def draft_name(video: str, container: str) -> str:
    """`dawn.draft.mp4`: the first pass of a film that nobody has approved yet."""
    return film_name(f"{video}.draft", container)


def preview_name(video: str, container: str) -> str | None:
    """`dawn.preview.mp4`, or `.mov` for films that are not mp4; None where there is no preview."""
    if container == PNG_SEQUENCE:
        return None
    return f"{video}.preview{'.mp4' if container == 'mp4' else '.mov'}"


def output_names(video: str, container: str) -> Iterator[OutputName]:
    """The lasting names of one video: the film and its preview."""
    yield OutputName(film_name(video, container), f"the film of {video}")
    if (preview := preview_name(video, container)) is not None:
        yield OutputName(preview, f"the preview of {video}")


def temporary_name(name: str) -> str:
    """A hidden name for `name` while it is being made, which no video and no other process can have."""
    return f".{name}.{secrets.token_hex(8)}.partial"


def is_temporary(hidden: str, name: str) -> bool:
    """Whether `temporary_name(name)` may have given this name."""
    return re.fullmatch(rf"\.{re.escape(name)}\.[0-9a-f]{{16}}\.partial", hidden) is not None


def same_name(name: str) -> str:
    """Equal for names that some file system takes for one: capitals and Unicode forms do not count."""
    return unicodedata.normalize("NFC", unicodedata.normalize("NFC", name).casefold())
