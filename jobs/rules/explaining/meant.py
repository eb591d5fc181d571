"""Fields and values that other tools have, and what says the same here."""

from __future__ import annotations

import json
from typing import TYPE_CHECKING, Any

from jobs.formats import CODECS, CONTAINERS, containers_of

if TYPE_CHECKING:
    from collections.abc import Collection

    from jobs.places import Location

SPOKEN = frozenset({"dialogue", "dialog", "speech", "spoken", "voice", "voiceover", "narration", "lines"})
PICTURES = frozenset({"image", "start_image", "input_image", "init_image"})
SAME_CODEC = {"h265": "hevc", "x265": "hevc", "h.265": "hevc", "x264": "h264", "h.264": "h264", "avc": "h264"}
LONGEST = 80


def meant_elsewhere(location: Location, known: Collection[str], value: Any, document: Any) -> str:
    """What to write instead of a field of the `document` that is none of these `known` ones; empty where
    nothing is known of it."""
    key = str(location[-1]).lower()
    if key in SPOKEN and (len(location) == 1 or location[0] == "videos" or "prompt" in known):
        where = "" if "prompt" in known else f" of a {_unit(location, document)}"
        return (
            f"write what is said into the `prompt`{where}, in quotes, as `Anna says: {quoted(value)}`; sound "
            "that the model makes, or a recording, is a track of the video's `sound`"
        )
    if key in PICTURES and (len(location) == 1 or location[0] in ("videos", "defaults")):
        return _picture(key, known, quoted(value), _unit(location, document))
    return ""


def quoted(value: Any, longest: int = LONGEST) -> str:
    """Text as YAML has it, with a mark where it is cut; three dots for what is no text."""
    text = value if isinstance(value, str) else "..."
    return json.dumps(text if len(text) <= longest else text[: longest - 1] + "…", ensure_ascii=False)


def _picture(key: str, known: Collection[str], name: str, unit: str) -> str:
    if "first_image" in known:
        return f"write `first_image: {name}`, or `images: [{{frame: 40, image: {name}}}]`"
    if "num_new_frames" in known and "images" in known:
        return f"write `images: [{{frame: 40, image: {name}}}]`"
    if "images" in known or unit == "shot":
        here = "" if "images" in known else " in a shot"
        return f"write `images: [{{at: 0, image: {name}}}]`{here}, `at` in seconds"
    if unit == "chunk":
        anywhere = f"`images: [{{frame: 40, image: {name}}}]`"
        return f"write `first_image: {name}` in a `generate`, or {anywhere} in a chunk"
    return f"remove `{key}`: a retake has no guide images"


def _unit(location: Location, document: Any) -> str:
    """What the videos there, or that one, are written in: shots where that is open."""
    videos = document.get("videos") if isinstance(document, dict) else None
    videos = videos if isinstance(videos, list) else []
    if location[0] == "videos":
        videos = [video for number, video in enumerate(videos) if number == location[1]]
    for unit in ("chunk", "retake"):
        if videos and all(isinstance(video, dict) and f"{unit}s" in video for video in videos):
            return unit
    return "shot"


def other_field(location: Location, value: Any) -> str:
    """What to write where a codec is named as container, or the other way round; empty for anything else."""
    name = value.lower() if isinstance(value, str) else ""
    codec = SAME_CODEC.get(name, name)
    if location[-1:] == ("container",) and codec in CODECS:
        return f"write `codec: {codec}` with `container: {_usual_container(codec)}`"
    if location[-1:] == ("codec",) and name in CONTAINERS:
        return f"write `container: {name}`, which takes {', '.join(CONTAINERS[name].codecs)} as `codec`"
    return f"write `{codec}`" if location[-1:] == ("codec",) and codec in CODECS else ""


def _usual_container(codec: str) -> str:
    """Of those that take it, the one that names it first."""
    return min(containers_of(codec), key=lambda name: CONTAINERS[name].codecs.index(codec))
