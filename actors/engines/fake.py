"""An engine without a model: deterministic patterns, real shapes, chosen durations.

For dry runs, for tests and for measuring the farm itself. Every result depends on every input, so a wrong
guide, a wrong tail, a wrong seed or a wrong decode window changes the film's bytes.
"""

from __future__ import annotations

import hashlib
import json
import time
from collections.abc import Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np

from actors.engines.base import AUDIO, KEYFRAMES, FreeLevel
from actors.engines.faults import PlannedFault, read_script, spoil, strike
from actors.payload import Payload
from jobs.canonical import as_object
from jobs.frames import SPATIAL, TEMPORAL, frames_of

if TYPE_CHECKING:
    from actors.engines.pieces import PassSound, Piece
    from jobs.planning.params import (
        DecodeParams,
        EncodeAudio,
        EncodeClip,
        EncodeImage,
        EncodeSource,
        EncodeText,
        PassParams,
        StageParams,
        Upsampling,
    )
    from jobs.planning.rounds.params import TileParams
    from jobs.spec.engine import FakeConfig
    from jobs.tasks.task import Stage, StageTask

VERSION = 2
CHANNELS = 4
AUDIO_RATE = 16_000
_TEXT_SHAPE = (1, 4, 8)
_TAIL_SHARE = 0.9
"""How much of the tail shows in the guided latents of an extend."""


class FakeEngine:
    """Implements `Engine`; `faults` of the config are acted out."""

    name = "fake"

    def __init__(self, config: FakeConfig) -> None:
        self.config = config
        self._script = read_script(Path(config.faults)) if config.faults else ()
        self._faults: tuple[PlannedFault, ...] = ()

    def paths(self) -> Sequence[Path]:
        return ()

    def setup(self, stages: frozenset[Stage]) -> None:
        """Nothing to load."""

    def fingerprint(self) -> dict[str, Any]:
        return {"engine": self.name, "version": VERSION, "numpy": np.__version__}

    def modes(self) -> dict[str, str]:
        return {}

    def sources(self) -> dict[str, dict[str, str]]:
        return {"packages": {"numpy": np.__version__}, "files": {}}

    def begin(self, task: StageTask, attempt: int) -> None:
        """The worker calls it before each task; failures that strike in mid-stage happen here."""
        self._faults = tuple(fault for fault in self._script if fault.strikes(task.id, attempt))
        strike(self._faults)

    def encode_text(self, params: EncodeText) -> Payload:
        time.sleep(self.config.encode_s)
        mask = np.ones(_TEXT_SHAPE[:2], dtype=np.bool_)
        return Payload(
            {
                "positive": _pattern(_TEXT_SHAPE, params.prompt),
                "positive_mask": mask,
                "negative": _pattern(_TEXT_SHAPE, params.negative),
                "negative_mask": mask,
            }
        )

    def encode_image(self, params: EncodeImage, pixels: np.ndarray) -> Payload:
        time.sleep(self.config.encode_s)
        return self._latents(_pool(pixels[None])[:, :, :1])

    def encode_video(self, params: EncodeSource | EncodeClip, frames: np.ndarray) -> Payload:
        time.sleep(self.config.encode_s)
        return self._latents(_pool(np.concatenate([frames[:1], frames[1:][7::8]])))

    def encode_audio(self, params: EncodeAudio, samples: np.ndarray) -> Payload:
        time.sleep(self.config.encode_s)
        return Payload({AUDIO: _pattern((1, 2, 8, 4), params, samples)})

    def upsample(self, latents: Payload, how: Upsampling) -> Payload:
        time.sleep(self.config.upscale_s)
        return Payload({"latents": _larger(latents["latents"], how.spatial)})

    def still(self, latents: Payload, frame: int, how: Upsampling) -> Payload:
        clip = latents["latents"]
        seen = clip[:, :, [frame // TEMPORAL]] + np.float32(0.05) * clip.mean(axis=2, keepdims=True)
        return Payload({"latents": _larger(seen, how.spatial)})

    def denoise(
        self, run: PassParams, pieces: Sequence[Piece], sound: PassSound, conditioning: Payload
    ) -> Payload:
        """Noise of all inputs, or where there is a start a little of it over that; the chain's end shows."""
        time.sleep(0.0 if run.upsampling else self.config.sample_s)
        start, *beside = pieces
        held = [piece for piece in beside if piece.latents is not None]
        heard = [array for array in (sound.latents, sound.before) if array is not None]
        inputs = [conditioning, *(piece.latents for piece in held), *heard]
        shape = (1, CHANNELS, run.span.sampled, run.height // SPATIAL, run.width // SPATIAL)
        if start.latents is None:
            made = _pattern(shape, run, *inputs)
        else:
            first = start.latents
            made = first["latents"] + np.float32(0.1) * _pattern(shape, run, first, *inputs)
            made = _held(made, first["latents"], np.broadcast_to(start.hold, shape[2]))
        extra = _slots(run, pieces, made, *inputs)
        kept = sound.latents if sound.held else _pattern((1, 2, 8, 4), run, *inputs)
        if kept is not None and sound.made_s is not None:
            at = np.arange(kept.shape[2]) * frames_of(run.span.sampled) / run.frame_rate / kept.shape[2]
            outside = (at < sound.made_s[0]) | (at >= sound.made_s[1])
            kept = _held(_pattern(kept.shape, run, *inputs), kept, outside)
        if run.audio_mode and kept is not None:
            extra[AUDIO] = kept
        return self._latents(_continue(made, held[0].latents if run.span.overlap and held else None), **extra)

    def interpolate(self, latents: Payload) -> Payload:
        """Between every two latents their mean."""
        time.sleep(self.config.upscale_s)
        clip = latents["latents"]
        made = np.empty((*clip.shape[:2], 2 * clip.shape[2] - 1, *clip.shape[3:]), np.float32)
        made[:, :, ::2] = clip
        made[:, :, 1::2] = (clip[:, :, 1:] + clip[:, :, :-1]) / 2
        return self._latents(made)

    def refine(
        self, run: TileParams, pieces: Sequence[Piece], sound: PassSound, conditioning: Payload
    ) -> Payload:
        """A little noise of all inputs over the tile."""
        time.sleep(self.config.upscale_s)
        clip = pieces[0].latents
        heard = [] if sound.latents is None else [sound.latents]
        inputs = [conditioning, *(piece.latents for piece in pieces[1:]), *heard]
        made = clip["latents"] + np.float32(0.1) * _pattern(clip["latents"].shape, run, clip, *inputs)
        return self._latents(made, **_slots(run, pieces, made, *inputs))

    def decode(self, params: DecodeParams, latents: Payload) -> np.ndarray:
        time.sleep(self.config.decode_s)
        clip = latents["latents"]
        # Drawn from the global generator as a real VAE draws its decode noise, to prove that it is seeded.
        grain = np.random.normal(0, 1, (frames_of(clip.shape[2]), *clip.shape[3:], 1))
        colours = np.tanh(_frames(clip) * 0.5 + 0.05 * clip.mean()) * 90 + 128 + 4 * grain
        pixels = np.clip(np.rint(colours), 0, 255).astype(np.uint8)
        rows, columns = params.height // clip.shape[3], params.width // clip.shape[4]
        return spoil(pixels.repeat(rows, axis=1).repeat(columns, axis=2), self._faults, 0)

    def decode_sound(self, params: DecodeParams, latents: Payload) -> tuple[np.ndarray, int]:
        """A hum for as long as the clip: float32 `[2, samples]` and its rate."""
        seconds = frames_of(len(params.sound or ())) / params.frame_rate
        times = np.arange(round(seconds * AUDIO_RATE)) / AUDIO_RATE
        pitch = 200 + 20 * float(np.tanh(latents[AUDIO].mean()))
        hum = (0.1 * np.sin(2 * np.pi * pitch * times)).astype(np.float32)
        return np.stack([hum, hum]), AUDIO_RATE

    def free(self, level: FreeLevel) -> None:
        """Nothing to free."""

    def close(self) -> None:
        """Nothing to release."""

    def _latents(self, latents: np.ndarray, **extra: np.ndarray) -> Payload:
        return Payload({"latents": spoil(latents.astype(np.float32), self._faults, 2), **extra})


def _pattern(shape: tuple[int, ...], *sources: StageParams | Payload | np.ndarray | str) -> np.ndarray:
    """Unit noise that depends on every byte of its sources."""
    seed = hashlib.sha256()
    for source in sources:
        _feed(seed, source)
    generator = np.random.Generator(np.random.PCG64(int.from_bytes(seed.digest()[:16], "little")))
    return generator.standard_normal(shape, dtype=np.float32)


def _slots(
    run: PassParams | TileParams, pieces: Sequence[Piece], clip: np.ndarray, *inputs: Payload | np.ndarray
) -> dict[str, np.ndarray]:
    """The stills that are made beside a clip: what it shows there, and a little of all inputs."""
    frames = [piece.frame for piece in pieces if piece.marked]
    if not frames:
        return {}
    shown = clip[:, :, [frame // TEMPORAL for frame in frames]]
    return {KEYFRAMES: shown + np.float32(0.05) * _pattern(shown.shape, run, "slots", *inputs)}


def _feed(seed: Any, source: StageParams | Payload | np.ndarray | str) -> None:
    if isinstance(source, Payload):
        for name in sorted(source.arrays):
            seed.update(name.encode())
            seed.update(np.ascontiguousarray(source[name]).tobytes())
    elif isinstance(source, np.ndarray):
        seed.update(np.ascontiguousarray(source).tobytes())
    elif isinstance(source, str):
        seed.update(source.encode())
    else:
        seed.update(json.dumps(source, sort_keys=True, default=as_object).encode())


def _held(made: np.ndarray, known: np.ndarray, hold: np.ndarray) -> np.ndarray:
    """What is held along axis 2, of what is known; elsewhere what is made."""
    return np.where(hold[:, None, None] if made.ndim == 5 else hold[:, None], known, made).astype(np.float32)


def _continue(latents: np.ndarray, tail: Payload | None) -> np.ndarray:
    """The clip with its first latents close to the tail that guides it."""
    if tail is None:
        return latents
    guide = tail["latents"]
    overlap = guide.shape[2]
    latents = latents.copy()
    latents[:, :, :overlap] = _TAIL_SHARE * guide + (1 - _TAIL_SHARE) * latents[:, :, :overlap]
    return latents


def _larger(latents: np.ndarray, spatial: float) -> np.ndarray:
    """Each value as often as the size asks for."""
    rows, columns = (np.arange(int(side * spatial)) / spatial for side in latents.shape[3:])
    return latents[:, :, :, rows.astype(int)][..., columns.astype(int)]


def _pool(frames: np.ndarray) -> np.ndarray:
    """Mean colour of each 32 x 32 block: `[T, H, W, 3]` -> `[1, 4, T, h, w]`, the fourth channel the mean."""
    count, height, width, _ = frames.shape
    blocks = frames.reshape(count, height // SPATIAL, SPATIAL, width // SPATIAL, SPATIAL, 3)
    colours = blocks.mean(axis=(2, 4), dtype=np.float64).transpose(3, 0, 1, 2)[None] / 64 - 2
    return np.concatenate([colours, colours.mean(axis=1, keepdims=True)], axis=1)


def _frames(clip: np.ndarray) -> np.ndarray:
    """`[1, C, T, h, w]` -> `[8(T-1)+1, h, w, 3]`: straight lines from latent to latent."""
    keys = clip[0, :3].transpose(1, 2, 3, 0)
    places = np.arange(frames_of(len(keys))) / 8
    low = places.astype(int)
    high = np.minimum(low + 1, len(keys) - 1)
    share = (places - low)[:, None, None, None]
    return keys[low] * (1 - share) + keys[high] * share
