"""Lightricks' `TI2VidTwoStagesPipeline` as it stands, in float32, on modules of a narrow file."""

from __future__ import annotations

from dataclasses import dataclass, field
from types import SimpleNamespace
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from pathlib import Path

    import pytest

STEPS, SEED = 3, 11
WIDTH = HEIGHT = 128
FRAMES, RATE = 17, 25.0


@dataclass
class Stages:
    """In turn: the noise that was drawn, `[1, N, 128]` of a stage's picture and then of its sound, and what
    each step of a stage made of the tokens of both."""

    noise: list[Any] = field(default_factory=list)
    steps: list[list[Any]] = field(default_factory=list)


class Float32:
    """torch, but that its bfloat16 is float32, and no device is waited for."""

    def __init__(self) -> None:
        import torch

        self.torch = torch
        self.bfloat16 = torch.float32
        self.cuda = SimpleNamespace(synchronize=lambda: None)

    def __getattr__(self, name: str) -> Any:
        return getattr(self.torch, name)


def run(
    monkeypatch: pytest.MonkeyPatch,
    ledger: Any,
    lora: tuple[Path, float],
    words: dict[str, tuple[Any, Any]],
) -> Stages:
    """The pipeline with the recipe's guidance; `ledger` answers with modules, the LoRA merged or not."""
    import torch
    from ltx_core.loader import LTXV_LORA_COMFY_RENAMING_MAP, LoraPathStrengthAndSDOps
    from ltx_pipelines import ti2vid_two_stages as theirs

    found = Stages()
    monkeypatch.setattr(theirs, "torch", Float32())
    monkeypatch.setattr(theirs, "ModelLedger", lambda **_: ledger)
    monkeypatch.setattr(theirs, "cleanup_memory", lambda: None)
    monkeypatch.setattr(theirs, "encode_prompts", lambda *_, **__: [_encoded(words[w]) for w in words])
    monkeypatch.setattr(theirs, "GaussianNoiser", lambda generator: _noiser(generator, found))
    monkeypatch.setattr(theirs, "euler_denoising_loop", _watched(theirs.euler_denoising_loop, found))
    monkeypatch.setattr(theirs, "vae_decode_video", lambda *_: None)
    monkeypatch.setattr(theirs, "vae_decode_audio", lambda *_: None)
    named = LoraPathStrengthAndSDOps(str(lora[0]), lora[1], LTXV_LORA_COMFY_RENAMING_MAP)
    pipeline = theirs.TI2VidTwoStagesPipeline("", [named], "", "", [], device=torch.device("cpu"))
    with torch.inference_mode():
        pipeline("", "", SEED, HEIGHT, WIDTH, FRAMES, RATE, STEPS, *_guiders(), images=[])
    return found


def _encoded(words: tuple[Any, Any]) -> Any:
    return SimpleNamespace(video_encoding=words[0], audio_encoding=words[1])


def _guiders() -> list[Any]:
    from ltx_core.components.guiders import MultiModalGuiderParams

    return [
        MultiModalGuiderParams(
            cfg_scale=cfg, stg_scale=1.0, stg_blocks=[1], rescale_scale=0.7, modality_scale=3.0
        )
        for cfg in (3.0, 7.0)
    ]


def _noiser(generator: Any, found: Stages) -> Any:
    """Lightricks' own, whose draws are kept: of the picture, then of the sound."""
    import torch
    from ltx_core.components.noisers import GaussianNoiser

    class Kept(GaussianNoiser):
        def __call__(self, latent_state: Any, noise_scale: float = 1.0) -> Any:
            before = self.generator.get_state()
            noise = torch.randn(latent_state.latent.shape, generator=self.generator)
            self.generator.set_state(before)
            found.noise.append(noise)
            return super().__call__(latent_state, noise_scale)

    return Kept(generator)


def _watched(loop: Any, found: Stages) -> Any:
    def watched(*, denoise_fn: Any, **rest: Any) -> Any:
        import torch

        made: list[Any] = []
        found.steps.append(made)

        def each(*args: Any) -> Any:
            answer = denoise_fn(*args)
            made.append(torch.cat(answer, dim=1))
            return answer

        return loop(denoise_fn=each, **rest)

    return watched
