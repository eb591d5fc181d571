"""Generated sound alongside decoded frames: cut to a window, cross-faded at a seam, cut to what a chunk owns.

Samples are counted from the shot's first frame, so that neighbouring chunks agree on every boundary.
"""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np

from actors.payload import Payload
from jobs.frames import Span, audio_sample

RATE_KEY, START_KEY = "audio_rate", "audio_start"


@dataclass(frozen=True)
class SoundSamples:
    """float32 `[2, samples]` at `rate`; the first sample is number `start` of the shot."""

    samples: np.ndarray
    rate: int
    start: int

    @property
    def stop(self) -> int:
        return self.start + self.samples.shape[1]

    @classmethod
    def of_clip(cls, samples: np.ndarray, rate: int, first_frame: int, frame_rate: float) -> SoundSamples:
        """The sound of a clip whose first frame is number `first_frame` of the shot."""
        return cls(samples.astype(np.float32), rate, audio_sample(first_frame, rate, frame_rate))

    @classmethod
    def of_payload(cls, payload: Payload) -> SoundSamples:
        return cls(payload["audio"], int(payload.meta[RATE_KEY]), int(payload.meta[START_KEY]))

    def cut(self, frames: Span, frame_rate: float) -> SoundSamples:
        """The samples of the shot's `frames`, silence where there are none."""
        start = audio_sample(frames.start, self.rate, frame_rate)
        stop = audio_sample(frames.stop, self.rate, frame_rate)
        cut = np.zeros((self.samples.shape[0], stop - start), dtype=np.float32)
        low, high = max(start, self.start), min(stop, self.stop)
        if low < high:
            cut[:, low - start : high - start] = self.samples[:, low - self.start : high - self.start]
        return SoundSamples(cut, self.rate, start)

    def faded_in(self, before: SoundSamples) -> SoundSamples:
        """Linear cross-fade with the end of `before`, over the samples that both have."""
        shared = before.stop - self.start
        if shared <= 0:
            return self
        weights = (np.arange(1, shared + 1, dtype=np.float32) / np.float32(shared + 1))[None]
        samples = self.samples.copy()
        samples[:, :shared] = weights * samples[:, :shared] + (1 - weights) * before.samples[:, -shared:]
        return SoundSamples(samples, self.rate, self.start)

    def add_to(self, payload: Payload) -> Payload:
        """The payload with this sound beside its frames."""
        notes = {RATE_KEY: str(self.rate), START_KEY: str(self.start)}
        return Payload({**payload.arrays, "audio": self.samples}, {**payload.meta, **notes})
