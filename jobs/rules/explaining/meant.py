"""Fields and values that other tools have, and what says the same here."""

from __future__ import annotations

import json
import re
from typing import TYPE_CHECKING, Any

from jobs.formats import CODECS, CONTAINERS, containers_of
from jobs.places import nearest
from jobs.spec.fields import homes

if TYPE_CHECKING:
    from collections.abc import Collection

    from jobs.places import Location

SPOKEN = frozenset({"dialogue", "dialog", "speech", "spoken", "voice", "voiceover", "narration", "lines"})
PICTURES = frozenset({"image", "start_image", "input_image", "init_image", "image_path", "first_frame"})
SIZES = frozenset({"size", "resolution", "dimensions", "aspect_ratio", "image_size", "video_size"})
LENGTH, FRAMES = ("seconds", "num_frames", "num_new_frames"), ("num_frames", "num_new_frames", "seconds")
FIELDS = {
    **dict.fromkeys(("duration", "length", "duration_seconds", "video_length"), LENGTH),
    **dict.fromkeys(("frames", "n_frames", "frame_count", "number_of_frames"), FRAMES),
    **dict.fromkeys(("fps", "framerate", "frames_per_second"), ("frame_rate",)),
    **dict.fromkeys(("prompt_text", "text", "caption", "description", "positive"), ("prompt",)),
    **dict.fromkeys(("negative_prompt", "neg_prompt", "uncond"), ("negative",)),
    **dict.fromkeys(("num_inference_steps", "inference_steps", "sampling_steps"), ("steps",)),
    **dict.fromkeys(("guidance", "guidance_scale", "cfg_scale"), ("cfg",)),
    **dict.fromkeys(("scheduler", "sampler_name"), ("sampler",)),
    **dict.fromkeys(("noise_seed", "random_seed"), ("seed",)),
    **dict.fromkeys(("denoising_strength", "denoise_strength"), ("denoise",)),
    **dict.fromkeys(("model", "model_path", "model_name", "ckpt", "ckpt_name"), ("checkpoint",)),
    **dict.fromkeys(("audio", "music", "soundtrack"), ("sound",)),
    **dict.fromkeys(("scenes", "clips"), ("shots",)),
    **dict.fromkeys(("batch_size", "num_videos", "num_videos_per_prompt", "variations"), ("takes",)),
    **dict.fromkeys(("out", "output_path", "output_dir", "out_dir", "save_path", "folder"), ("dir",)),
    "format": ("container",),
    "quality": ("crf",),
    "resolution": ("size",),
    "volume": ("gain_db",),
    "weight": ("strength",),
    "path": ("file", "image", "video"),
    "file": ("path", "image", "video"),
    "time": ("at", "start"),
}
"""What other tools call fields of a spec, and those fields: the first one that there is at a place."""
NEAR, NEARER = 0.6, 0.75
"""How alike a field is that was probably meant: more where its name is one of another place."""
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
    return _size(known, value) if key in SIZES and "size" not in known else ""


def meant_field(key: str, known: Collection[str]) -> str | None:
    """Which of these fields a name stands for, by what other tools call it or else by its spelling."""
    word = _word(key)
    if word in FIELDS:
        return next((field for field in FIELDS[word] if field in known), None)
    return nearest(key, known, NEARER if key in homes() else NEAR)


def field_elsewhere(key: str) -> str | None:
    """Which field of any other place it stands for."""
    fields = FIELDS.get(_word(key))
    return fields[0] if fields else nearest(key, homes(), NEARER)


def _word(key: str) -> str:
    return key.lower().replace("-", "_")


def _size(known: Collection[str], value: Any) -> str:
    found = re.fullmatch(r"(\d{1,5}) ?[xX*×:] ?(\d{1,5})", value) if isinstance(value, str) else None
    sides = [int(side) for side in found.groups()] if found else []
    wanted = (
        "`width: {}` and `height: {}`".format(*sides) if sides and min(sides) > 32 else "`width` and `height`"
    )
    return f"write {wanted}" if "width" in known else f"write {wanted} in `defaults`, or of the video"


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
