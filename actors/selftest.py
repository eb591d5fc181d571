"""Measurements of one LTX-Video model on this machine: is it plausible, and sampled as diffusers samples it?

Everything goes through the engine that renders, but for the judge: diffusers' own pipeline on a transformer
of its own, whose names diffusers' own converter made.
"""

from __future__ import annotations

import gc
import resource
import sys
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass, replace
from typing import Any

import numpy as np
import torch
import torch.nn.functional as F
from torch import Tensor

from actors.engines.base import Arriving
from actors.engines.diffusers.engine import DiffusersEngine
from actors.engines.diffusers.files import find_files
from actors.engines.diffusers.ltx_video.checkpoint import Checkpoint, transformer_component
from actors.engines.diffusers.ltx_video.tokens import tokens_of
from actors.engines.diffusers.samplers import noise_source
from actors.engines.schedule import ltx_sigmas
from actors.payload import Payload, from_torch, to_torch
from jobs.frames import SPATIAL, ChunkSpan, frames_of
from jobs.planning.params import EncodeText, PlannedGuider, SampleParams, Sampling
from jobs.spec.engine import EngineConfig
from jobs.tasks.task import Stage

SEED = 11
FRAME_RATE = 25.0
PROMPT_TOKENS = 128
JUDGED_CFG = 3.0
LEVELS = (1.0, 0.98, 0.95, 0.9, 0.7, 0.4, 0.0)
"""Noise levels of the comparison for models whose first latent counts as one frame: `LTXConditionPipeline`
takes any list."""


class CannotJudge(Exception):
    """Diffusers cannot take the file's weights; the message says why."""


class Subject:
    """The model under test, loaded as a worker loads it. `width` x `height` pixels, `latents` long; `causal`
    tells whether its first latent counts as one frame, `parameters` counts those of its parts."""

    def __init__(self, config: EngineConfig, device: str, threads: int, size: tuple[int, int, int]) -> None:
        self.config, self.device = config, device
        self.width, self.height, self.latents = size
        self.engine = DiffusersEngine(config, device, threads)
        self.engine.setup(frozenset({Stage.SAMPLE, Stage.DECODE}))
        # Read once: asking for a model later brings it back to the device, where the judge may need the room.
        denoising = self._runner.residents.get("denoising")
        self.causal = bool(denoising.causal)
        self.dtype = denoising.transformer.dtype
        self.text_width = int(denoising.transformer.caption_projection.linear_1.in_features)
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
        width = self.text_width
        draw = torch.Generator().manual_seed(SEED)
        mask = torch.ones(1, PROMPT_TOKENS, dtype=torch.bool)
        return from_torch(
            {
                "positive": torch.randn(1, PROMPT_TOKENS, width, generator=draw),
                "positive_mask": mask,
                "negative": torch.randn(1, PROMPT_TOKENS, width, generator=draw),
                "negative_mask": mask,
            }
        )

    def sample(self, words: Payload, sampling: Sampling) -> Tensor:
        """A clip `[1, C, T, h, w]` on the CPU."""
        params = SampleParams(
            kind="generate",
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
        return _landed(self.engine.sample(params, words, [], None, None))

    @torch.inference_mode()
    def encode(self, frames: np.ndarray) -> Tensor:
        """uint8 `[8k+1, H, W, 3]` -> `[1, C, k+1, h, w]` on the CPU."""
        return self.codec.encode(frames).cpu()

    @torch.inference_mode()
    def decode(self, latents: Tensor) -> np.ndarray:
        """`[1, C, T, h, w]` -> uint8 `[8(T-1)+1, H, W, 3]`."""
        torch.manual_seed(SEED)
        frames = self.codec.decode(latents)
        return frames if isinstance(frames, np.ndarray) else frames.send().land()

    def forget(self) -> None:
        """Weights leave the device; the next use brings them back."""
        self.engine.free("resident")

    def close(self) -> None:
        self.engine.close()


def _landed(made: Payload | Arriving) -> Tensor:
    return to_torch(made.land() if isinstance(made, Arriving) else made, "latents").clone()


def moving_ball(width: int, height: int, frames: int) -> np.ndarray:
    """A shaded red ball that crosses a teal background: uint8 `[frames, height, width, 3]`."""
    rows, columns = np.mgrid[0:height, 0:width].astype(np.float32)
    shade = 1.05 - 0.15 * rows / height
    background = np.stack([0.06 * shade, 0.46 * shade, 0.49 * shade], axis=-1)
    radius, made = 0.16 * min(width, height), []
    for frame in range(frames):
        x = width * (0.25 + 0.5 * frame / max(1, frames - 1))
        away = np.hypot(columns - x, rows - height / 2)
        light = np.clip(
            1.0 - np.hypot(columns - x + radius / 3, rows - height / 2 + radius / 3) / (2 * radius), 0, 1
        )
        ball = np.stack([0.55 + 0.4 * light, 0.1 + 0.2 * light, 0.1 + 0.2 * light], axis=-1)
        inside = np.clip(radius - away, 0, 1)[..., None]
        made.append(background * (1 - inside) + ball * inside)
    return (np.stack(made) * 255).round().clip(0, 255).astype(np.uint8)


@dataclass(frozen=True)
class Reconstruction:
    """A synthetic clip, encoded and decoded. `latent_rms` is the root mean square of the normalised latents:
    near 1 where the statistics fit the encoder. `spread` is the largest of a channel over the median one."""

    psnr_db: float
    latent_rms: float
    spread: float


def reconstruct(subject: Subject) -> Reconstruction:
    frames = moving_ball(subject.width, subject.height, frames_of(subject.latents))
    latents = subject.encode(frames)
    error = np.mean((subject.decode(latents).astype(np.float64) - frames) ** 2)
    by_channel = latents.square().mean(dim=(0, 2, 3, 4)).sqrt()
    return Reconstruction(
        psnr_db=float(10 * np.log10(255.0**2 / max(error, 1e-9))),
        latent_rms=float(latents.square().mean().sqrt()),
        spread=float(by_channel.max() / by_channel.median()),
    )


def round_trip(subject: Subject, latents: Tensor) -> float:
    """Correlation of sampled latents `[1, C, T, h, w]` with those of their own decoded frames: 1 where what
    the transformer makes is what the VAE understands."""
    again = subject.encode(subject.decode(latents))
    return float(torch.corrcoef(torch.stack([latents.flatten(), again.flatten()]))[0, 1])


def own_steps(subject: Subject, words: Payload, steps: int) -> list[Tensor]:
    """The clip after each of the first `steps` steps, `[1, C, T, h, w]`: each from a run that stops there,
    whose scaling is undone."""
    sigmas = judged_sigmas(subject)
    cfg = 1.0 if subject.causal else JUDGED_CFG
    sampling = Sampling(steps, cfg, "euler", None, PlannedGuider(), 2.05, 0.95)
    return [
        subject.sample(words, replace(sampling, sigmas=sigmas[: count + 1])) * (1 - sigmas[count])
        for count in range(1, steps + 1)
    ]


def judged_sigmas(subject: Subject) -> tuple[float, ...]:
    if subject.causal:
        return LEVELS
    tokens = subject.latents * (subject.height // SPATIAL) * (subject.width // SPATIAL)
    return tuple(ltx_sigmas(len(LEVELS) - 1, tokens, 2.05, 0.95).tolist())


@torch.inference_mode()
def judged_steps(subject: Subject, words: Payload, steps: int) -> list[Tensor]:
    """The tokens `[1, N, C]` after each step of diffusers' own pipeline, on weights that it renamed itself.

    Raises CannotJudge.
    """
    from diffusers import FlowMatchEulerDiscreteScheduler, LTXConditionPipeline, LTXPipeline

    kind = LTXConditionPipeline if subject.causal else LTXPipeline
    scheduler = FlowMatchEulerDiscreteScheduler(
        use_dynamic_shifting=not subject.causal,
        base_shift=0.95,
        max_shift=2.05,
        base_image_seq_len=1024,
        max_image_seq_len=4096,
        shift_terminal=None if subject.causal else 0.1,
    )
    pipeline = kind(
        scheduler=scheduler,
        vae=subject.codec.vae,
        text_encoder=None,
        tokenizer=None,
        transformer=_judge(subject).to(subject.device),
    )
    pipeline.set_progress_bar_config(disable=True)
    seen: list[Tensor] = []

    def keep(running: Any, step: int, _time: Any, tensors: dict[str, Any]) -> dict[str, Any]:
        seen.append(tensors["latents"].float().cpu())
        running._interrupt = step + 1 >= steps
        return {}

    pipeline(
        **_embeddings(words, subject.device, subject.dtype),
        height=subject.height,
        width=subject.width,
        num_frames=frames_of(subject.latents),
        frame_rate=FRAME_RATE,
        output_type="latent",
        callback_on_step_end=keep,
        return_dict=False,
        **_start(subject),
    )
    del pipeline
    gc.collect()
    torch.cuda.empty_cache()
    return seen[:steps]


def _start(subject: Subject) -> dict[str, Any]:
    """The farm's own noise and noise levels, in the pipeline's arguments."""
    if subject.causal:
        generator = torch.Generator().manual_seed(SEED)
        timesteps = [1000 * sigma for sigma in LEVELS[:-1]]
        return {"timesteps": timesteps, "guidance_scale": 1.0, "generator": generator}
    like = torch.empty(1, 128, subject.latents, subject.height // SPATIAL, subject.width // SPATIAL)
    noise = tokens_of(noise_source(like, SEED)()).to(subject.device)
    return {"latents": noise, "guidance_scale": JUDGED_CFG, "num_inference_steps": len(LEVELS) - 1}


def _embeddings(words: Payload, device: str, dtype: torch.dtype) -> dict[str, Tensor]:
    """Both prompts at one length: the shorter is padded with tokens that nobody sees."""
    names = {"positive": "prompt", "negative": "negative_prompt"}
    longest = max(words[which].shape[1] for which in names)
    given: dict[str, Tensor] = {}
    for which, name in names.items():
        embeds, mask = to_torch(words, which), to_torch(words, f"{which}_mask")
        more = longest - embeds.shape[1]
        given[f"{name}_embeds"] = F.pad(embeds, (0, 0, 0, more)).to(device, dtype)
        given[f"{name}_attention_mask"] = F.pad(mask, (0, more)).to(device)
    return given


def _judge(subject: Subject) -> Any:
    """A transformer of diffusers with the file's weights, in the dtype of the one under test."""
    from diffusers import LTXVideoTransformer3DModel
    from diffusers.loaders.single_file_utils import convert_ltx_transformer_checkpoint_to_diffusers

    files, dtype = find_files(subject.config), subject.dtype
    if files.transformer.is_dir():
        return LTXVideoTransformer3DModel.from_pretrained(files.transformer, torch_dtype=dtype).eval()
    opened, prefix = Checkpoint.open(files.checkpoint), "model.diffusion_model."
    stored = {prefix + name: tensor for name, tensor in opened.state(prefix).items()}
    state = convert_ltx_transformer_checkpoint_to_diffusers(stored)
    with torch.device("meta"):
        judge = transformer_component(opened).build()
    try:
        judge.load_state_dict({name: tensor.to(dtype) for name, tensor in state.items()}, assign=True)
    except RuntimeError as error:
        raise CannotJudge(str(error).splitlines()[0]) from None
    return judge.eval().requires_grad_(False)


def differences(own: list[Tensor], judged: list[Tensor]) -> list[float]:
    """Relative L2 distance of every step."""
    pairs = zip(map(tokens_of, own), judged, strict=True)
    return [float((one - other).norm() / other.norm()) for one, other in pairs]


@contextmanager
def peak_memory(device: str) -> Iterator[Callable[[], float]]:
    """GiB at most in use inside: of the device, or of this process from its start where that is a CPU."""
    on_gpu = device.startswith("cuda")
    if on_gpu:
        torch.cuda.reset_peak_memory_stats(device)

    def peak() -> float:
        if on_gpu:
            return torch.cuda.max_memory_allocated(device) / 2**30
        unit = 1 if sys.platform == "darwin" else 1024
        return resource.getrusage(resource.RUSAGE_SELF).ru_maxrss * unit / 2**30

    yield peak
