"""The one engine protocol. An engine makes latents and pixels; it knows nothing of chains, stores or Ray."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any, Literal, Protocol, TypeVar, runtime_checkable

import numpy as np

from actors.payload import Payload

if TYPE_CHECKING:
    from actors.engines.pieces import PassSound, Piece
    from actors.ranks import Ranks
    from jobs.planning.params import (
        DecodeParams,
        EncodeAudio,
        EncodeClip,
        EncodeImage,
        EncodeSource,
        EncodeText,
        PassParams,
        Upsampling,
    )
    from jobs.planning.rounds.params import TileParams
    from jobs.tasks.task import Stage

FreeLevel = Literal["prompts", "cache", "resident", "stream"]
"""How much memory to give back: `prompts` the text encoder, `cache` the allocator's unused blocks, `resident`
also every model that the next stage does not need, `stream` from now on also the model in use, brought over
piece by piece while it runs. None of them changes a byte of any result."""

AUDIO = "audio_latents"
"""Name of a clip's sound beside its `latents`."""

KEYFRAMES = "keyframes"
"""Name of the single frames that the transformer makes beside a clip, `[1, C, K, h, w]`."""


class Landing(Protocol):
    """Frames on their way to host memory."""

    def land(self) -> np.ndarray:
        """Wait for them: uint8 `[F, H, W, 3]`."""


T = TypeVar("T")


@dataclass(frozen=True)
class Arriving:
    """A result on its way to host memory; the device is free for the next step. `land` waits for it."""

    land: Callable[[], Payload]


def landed(made: T | Arriving) -> T | Payload:
    """The result of a step, waited for."""
    return made.land() if isinstance(made, Arriving) else made


def when_landed(made: Payload | Arriving, finish: Callable[[Payload], Payload]) -> Payload | Arriving:
    """What `finish` makes of a result, now or once it has landed."""
    if isinstance(made, Arriving):
        return Arriving(lambda: finish(made.land()))
    return finish(made)


@runtime_checkable
class FramesElsewhere(Protocol):
    """Decoded frames, uint8 `[F, H, W, 3]`, that are still on a device."""

    def __len__(self) -> int: ...

    def __getitem__(self, which: slice) -> FramesElsewhere: ...

    def send(self) -> Landing:
        """Start the copy to host memory; the device is free for the next step."""


def on_host(frames: np.ndarray | FramesElsewhere) -> np.ndarray:
    """The frames in host memory, waited for."""
    return frames if isinstance(frames, np.ndarray) else frames.send().land()


@runtime_checkable
class LatentsElsewhere(Protocol):
    """Latents that are still on a device, for a piece of the same engine's next pass."""

    def __getitem__(self, which: slice) -> LatentsElsewhere:
        """Some of them, counted in time."""

    def send(self) -> Payload | Arriving:
        """Start the copy to host memory; the device is free for the next step."""


@runtime_checkable
class Engine(Protocol):
    """One instance per worker process. The caller has seeded the global RNGs and set thread counts.

    Latents are normalised float32 `[1, C, T, h, w]` under the name `latents`. Any exception that is not a
    `StageError` is reported as a bug of the stage.
    """

    name: str

    def paths(self) -> Sequence[Path]:
        """Every model file and folder that is read, absolute; may be asked before `setup`. Raises as that
        does for one that is not there."""

    def setup(self, stages: frozenset[Stage]) -> None:
        """Load what those stages need. Raises `CannotRun` where this environment cannot."""

    def fingerprint(self) -> dict[str, Any]:
        """JSON-able description of all that can reach the bytes: versions, model digests, compute class,
        dtype and every mode that says `auto`, resolved."""

    def modes(self) -> dict[str, str]:
        """What the spec's `auto` means on this device, by name (`attention_mode`). Asked once per job and
        frozen: every task then names its mode."""

    def sources(self) -> dict[str, dict[str, str]]:
        """What the fingerprint was made from: `packages` by version, `files`, those of `paths` among them, by
        path and SHA-256. A later render trusts the frozen fingerprint while these are unchanged."""

    def encode_text(self, params: EncodeText) -> Payload:
        """`positive` and `negative` `[1, S, D]` with their masks `[1, S]`."""

    def encode_image(self, params: EncodeImage, pixels: np.ndarray) -> Payload:
        """uint8 `[H, W, 3]` -> `latents` `[1, C, 1, h, w]`."""

    def encode_video(self, params: EncodeSource | EncodeClip, frames: np.ndarray) -> Payload:
        """uint8 `[8k+1, H, W, 3]` -> `latents` `[1, C, k+1, h, w]`."""

    def encode_audio(self, params: EncodeAudio, samples: np.ndarray) -> Payload:
        """float32 `[channels, samples]` -> `audio_latents`."""

    def upsample(self, latents: Payload, how: Upsampling) -> Payload | LatentsElsewhere:
        """`latents` `[1, C, T, s h, s w]`, `how.spatial` times as high and wide."""

    def still(self, latents: Payload, frame: int, how: Upsampling) -> Payload | LatentsElsewhere:
        """One frame of the upsampled clip, decoded and encoded again: `[1, C, 1, s h, s w]`."""

    def denoise(
        self, run: PassParams, pieces: Sequence[Piece], sound: PassSound, conditioning: Payload
    ) -> Payload | Arriving:
        """`latents` of the first piece, `run.span.sampled` of them, and `audio_latents` where the model makes
        or hears sound. What of the first piece is held (`hold` 1) comes out bit for bit. The marked pieces,
        where there are some, are the `keyframes`, in order."""

    def decode(self, params: DecodeParams, latents: Payload) -> np.ndarray | FramesElsewhere:
        """`[1, C, T, h, w]` -> uint8 `[8(T-1)+1, H, W, 3]`, the whole context clip, in host memory or still
        on the device."""

    def decode_sound(self, params: DecodeParams, latents: Payload) -> tuple[np.ndarray, int]:
        """The sound of the clip of `params.sound`, float32 `[2, samples]`, and its rate; called where that is
        set. `latents` is the artifact of its chunk, with `audio_latents`."""

    def free(self, level: FreeLevel) -> None:
        """Give memory back."""

    def close(self) -> None:
        """Release the models; the engine is not used again."""


@runtime_checkable
class OwnChoices(Protocol):
    """An engine whose samplers and guiders are known only once it has started."""

    def samplers(self) -> tuple[str, ...]:
        """Every name that `Sampling.sampler` may have."""

    def guiders(self) -> Mapping[str, tuple[str, ...]]:
        """Every name that a guider may have, with its parameters."""


@runtime_checkable
class MakesRounds(Protocol):
    """An engine of models that make temporal rounds."""

    def interpolate(self, latents: Payload) -> Payload | Arriving:
        """`latents` `[1, C, T, h, w]` -> `[1, C, 2 T - 1, h, w]`, twice as many frames in the same time."""

    def refine(
        self, run: TileParams, pieces: Sequence[Piece], sound: PassSound, conditioning: Payload
    ) -> Payload | Arriving:
        """`latents` of the first piece, and as `keyframes` those that are marked, in order. Of `sound` the
        part `run.heard` is heard, and held."""


@runtime_checkable
class SharesSteps(Protocol):
    """An engine whose steps the ranks of a gang share. Every rank calls it with the same values in the same
    order, and each has the whole result."""

    def join(self, ranks: Ranks) -> None:
        """From now on this process is one rank of a gang; called after `setup`."""

    def shares(self, params: DecodeParams) -> bool:
        """Whether the ranks share this decode, too; passes they always do."""

    def difference(self, run: PassParams | TileParams) -> float:
        """The proof of a gang: by how much a step like those of `run` differs from that of one process, on
        one block of the model; 0 where no bit does."""
