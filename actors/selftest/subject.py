"""The model under test, loaded as a worker loads it."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

import torch
from torch import Tensor

from actors.engines.base import landed, on_host
from actors.engines.diffusers.engine import DiffusersEngine
from actors.engines.diffusers.files import find_files
from actors.engines.pieces import PassSound, Piece
from actors.payload import Payload, from_torch, to_torch
from jobs.frames import ChunkSpan
from jobs.planning.params import EncodeText, PassParams
from jobs.spec.engine import EngineConfig
from jobs.tasks.task import Stage

if TYPE_CHECKING:
    import numpy as np

    from actors.engines.base import Arriving
    from jobs.planning.sampling import Sampling
    from jobs.spec.engine import EngineConfig

SEED = 11


FRAME_RATE = 25.0


PROMPT_TOKENS = 128


SIDES = ("positive", "negative")


class ModelUnderTest:
    """The model under test, loaded as a worker loads it. `width` x `height` pixels, `latents` long;
    `makes_sound` tells whether it is one of LTX-2, `causal` whether its first latent counts as one frame,
    `parameters` counts those of its parts."""

    def __init__(self, config: EngineConfig, device: str, threads: int, size: tuple[int, int, int]) -> None:
        self.config, self.device = config, device
        self.width, self.height, self.latents = size
        self.engine = DiffusersEngine(config, device, threads)
        self.engine.setup(frozenset({Stage.SAMPLE, Stage.DECODE}))
        # Read once: asking for a model later brings it back to the device, where the judge may need the room.
        denoising = self._runner.residents.get("denoising")
        self.makes_sound = find_files(config).makes_sound
        self.causal = self.makes_sound or bool(denoising.causal)
        self.dtype = denoising.transformer.dtype
        self.text_widths = _text_widths(denoising.transformer, self.makes_sound)
        self.parameters = {
            "transformer": sum(each.numel() for each in denoising.transformer.parameters()),
            "vae": sum(each.numel() for each in self.codec.vae.parameters()),
            "layers": len(denoising.transformer.transformer_blocks),
        }

    @property
    def _runner(self) -> Any:
        return self.engine._ready()

    @property
    def codec(self) -> Any:
        return self._runner.residents.get("codec")

    def words(self, prompt: str) -> Payload:
        """The conditioning of a prompt."""
        return self.engine.encode_text(EncodeText(prompt, ""))

    def stand_in_words(self) -> Payload:
        """Conditioning of random numbers, for files without a text encoder."""
        draw = torch.Generator().manual_seed(SEED)
        mask = torch.ones(1, PROMPT_TOKENS, dtype=torch.bool)
        made = {f"{side}_mask": mask for side in SIDES}
        for side in SIDES:
            for what, width in self.text_widths.items():
                made[side + what] = torch.randn(1, PROMPT_TOKENS, width, generator=draw)
        return from_torch(made)

    def sample(self, words: Payload, sampling: Sampling) -> Tensor:
        """A clip `[1, C, T, h, w]` on the CPU."""
        run = PassParams(
            width=self.width,
            height=self.height,
            span=ChunkSpan(0, self.latents, self.latents),
            frame_rate=FRAME_RATE,
            seed=SEED,
            sampling=sampling,
            guides=(),
            overlap_strength=1.0,
            attention_mode="default",
            ffn_chunks=0,
        )
        return _landed(self.engine.denoise(run, [Piece(None)], PassSound(), words))

    @torch.inference_mode()
    def encode(self, frames: np.ndarray) -> Tensor:
        """uint8 `[8k+1, H, W, 3]` -> `[1, C, k+1, h, w]` on the CPU."""
        return self.codec.encode(frames).cpu()

    @torch.inference_mode()
    def decode(self, latents: Tensor) -> np.ndarray:
        """`[1, C, T, h, w]` -> uint8 `[8(T-1)+1, H, W, 3]`."""
        torch.manual_seed(SEED)
        frames = self.codec.decode(latents)
        return on_host(frames)

    def forget(self) -> None:
        """Weights leave the device; the next use brings them back."""
        self.engine.free("resident")

    def close(self) -> None:
        self.engine.close()


def _text_widths(transformer: Any, makes_sound: bool) -> dict[str, int]:
    """How wide what the transformer reads of a prompt is, by the end of its name in a conditioning."""
    if not makes_sound:
        return {"": int(transformer.caption_projection.linear_1.in_features)}
    config = transformer.config
    return {"": config.cross_attention_dim, "_audio": config.audio_cross_attention_dim}


def _landed(made: Payload | Arriving) -> Tensor:
    return to_torch(landed(made), "latents").clone()
