"""Lightricks' retake, as far as it concerns latents."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any


@dataclass(frozen=True)
class Part:
    """What is shown and heard between two moments is made anew; `kept` (`pictures`, `sound` or neither) all
    stays."""

    made_s: tuple[float, float]
    frame_rate: float
    kept: str = ""

    def masked(self, which: str) -> list[Any]:
        from ltx_pipelines.retake import TemporalRegionMask

        moments = (0.0, 0.0) if self.kept == which else self.made_s
        return [TemporalRegionMask(*moments, self.frame_rate)]


def retaken(part: Part, **given: Any) -> None:
    """What `RetakePipeline` of ltx-pipelines does between its encoding and its decoding; takes what
    `denoise_audio_video` does."""
    from ltx_pipelines.utils.helpers import noise_audio_state, noise_video_state

    how = {name: given[name] for name in ("output_shape", "noiser", "components", "dtype", "device")}
    starts = given["initial_video_latent"], given["initial_audio_latent"]
    video, _ = noise_video_state(conditionings=part.masked("pictures"), initial_latent=starts[0], **how)
    audio, _ = noise_audio_state(conditionings=part.masked("sound"), initial_latent=starts[1], **how)
    given["denoising_loop_fn"](given["sigmas"], video, audio, given["stepper"])
