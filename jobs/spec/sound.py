"""Sound of a video: its tracks, where and how loud each is heard, and what becomes of their mix."""

from __future__ import annotations

from typing import Annotated, Any, Literal

from pydantic import BeforeValidator, Field, model_validator

from jobs.spec.base import InputPath, Many, Model, Name, refusal

MAX_TIME_S = 86_400.0
Seconds = Annotated[float, Field(ge=0.0, le=MAX_TIME_S)]


class Ducking(Model):
    """How a track makes room for those that do not duck. `duck: true` takes all defaults."""

    by_db: float = Field(12.0, gt=0.0, le=60.0, description="Decibels that it is quieter by meanwhile.")
    threshold_db: float = Field(
        -40.0,
        ge=-80.0,
        le=0.0,
        description="Level from which on the others count as heard: RMS of their sum over 10 ms, dBFS.",
    )
    attack: float = Field(
        0.2, ge=0.01, le=10.0, description="Seconds in which it fades down; they end where the others begin."
    )
    hold: float = Field(0.3, ge=0.0, le=30.0, description="Seconds that it stays down after they ended.")
    release: float = Field(0.6, ge=0.01, le=30.0, description="Seconds in which it comes back then.")


def _named_ducking(value: Any) -> Any:
    return {} if value is True else None if value is False else value


AnyDucking = Annotated[Ducking, BeforeValidator(_named_ducking, json_schema_input_type=Ducking | bool)] | None


def _yes(value: Any) -> Any:
    """1 and 1.0 are no truth value, though Python takes them for one."""
    if not isinstance(value, bool):
        raise refusal("true", "write `generate: true`")
    return value


class SoundTrack(Model):
    """One track: sound that the model makes, or a file. Where and how loud it is heard reaches no sampling;
    what the model makes, and a `condition` track at its place, do."""

    name: Name | None = Field(
        None,
        description="Name of the track, unique in its video. Left out: that of its file or shot.",
    )
    generate: Annotated[Literal[True], BeforeValidator(_yes)] | None = Field(
        None,
        description="The model makes the sound of each chunk with its pictures; it goes on from that of a "
        "source video.",
    )
    file: InputPath | None = Field(
        None,
        description="Audio file, or a video with sound. Where it is the video's own `source`, it is heard "
        "with the frames that it belongs to.",
    )
    mode: Literal["mux", "condition"] = Field(
        "mux",
        description="`mux` lays the file under the film, `condition` also lets each chunk hear its slice, as "
        "the file has it.",
    )
    shot: Name | None = Field(
        None,
        description="The shot that the track belongs to: `at` counts from its start, and the track ends with "
        "it. Left out: the whole film.",
    )
    at: float = Field(
        0.0,
        ge=-MAX_TIME_S,
        le=MAX_TIME_S,
        description="Seconds after the start of the film, or of its shot, at which the file begins. "
        "Negative: before a shot, or its beginning left out where the film has not begun.",
    )
    seconds: float | None = Field(
        None,
        gt=0.0,
        le=MAX_TIME_S,
        description="How long the file is heard, from its start, beyond the end of its shot, too. Left out: "
        "to the end of the file, of its shot, or of the film.",
    )
    gain_db: float = Field(
        0.0, ge=-100.0, le=40.0, description="Louder, or quieter where negative, decibels."
    )
    pan: float = Field(
        0.0,
        ge=-1.0,
        le=1.0,
        description="From left (-1) to right (1), with constant power, as the Web Audio API's "
        "StereoPannerNode.",
    )
    fade_in: Seconds = Field(0.0, description="Seconds of the fade at its beginning.")
    fade_out: Seconds = Field(0.0, description="Seconds of the fade at its end.")
    fade_curve: Literal["linear", "equal-power"] = Field(
        "linear",
        description="Amplitude over a fade: `linear`, or a quarter of a sine (`equal-power`), with which two "
        "tracks that fade into each other stay equally loud.",
    )
    duck: AnyDucking = Field(
        None, description="Quieter while others are heard: `true`, or how. Left out: never."
    )

    @model_validator(mode="after")
    def _one_origin(self) -> SoundTrack:
        if (self.generate is None) == (self.file is None):
            raise refusal("either `generate: true` or a `file`", "keep one of them")
        if self.generate and (self.mode != "mux" or self.at or self.seconds is not None):
            raise refusal(
                "generated sound belongs to its pictures: no `mode`, `at` or `seconds`",
                "leave them out; `shot` says which shot has sound",
            )
        return self

    @property
    def is_sampled(self) -> bool:
        """Whether it reaches the sampling."""
        return self.generate is not None or self.mode == "condition"


class SoundMix(Model):
    """What becomes of the tracks of a video. `{}` takes all defaults."""

    sample_rate: int = Field(
        48_000, ge=8000, le=192_000, description="Samples per second of the film's track."
    )
    loudness: float | None = Field(
        None,
        ge=-40.0,
        le=-5.0,
        description="Integrated loudness to bring the mix to, LUFS by EBU R 128: -23 for broadcast, -14 for "
        "most streams. Left out: as it is, lowered where it would clip.",
    )
    true_peak: float = Field(
        -1.0,
        ge=-9.0,
        le=0.0,
        description="With `loudness`: what no peak passes, dBTP; a limiter holds those that would.",
    )
    stems: bool = Field(
        False,
        description="Deliver each track beside the film, as `NAME.TRACK.wav` (float32), as it is in the mix.",
    )


def _listed(value: Any) -> Any:
    if value == "generate":
        raise refusal("a list of tracks", "write `sound: [{generate: true}]`")
    if isinstance(value, dict):
        raise refusal("a list of tracks", "write `sound: [{...}]`, in brackets")
    return value


SoundTracks = Annotated[
    Many[SoundTrack],
    Field(max_length=1000),
    BeforeValidator(_listed, json_schema_input_type=list[SoundTrack]),
]
