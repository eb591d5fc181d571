"""What stage tasks take as far as it is known beforehand: constants of the 2B model in bf16 on one H200.

Seconds per step of two forwards and latent token, and per pixel that a decode makes, its context and sound
counted in; those of segments are one CPU core's, per pixel of output.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping
from pathlib import PurePath
from typing import TYPE_CHECKING

from farm.estimates.encoding import encoding_share
from jobs.frames import frames_of, still_window
from jobs.planning.params import DecodeParams, EncodeText, PassParams, SegmentParams
from jobs.planning.retakes.params import ShowSource
from jobs.planning.rounds.params import CanvasParams, TileParams
from jobs.tasks.task import Stage, StageTask
from jobs.weights.use import TEXT_ENCODER, TRANSFORMER

if TYPE_CHECKING:
    from jobs.planning.sampling import GuiderValue, Sampling
    from jobs.spec.engine import EngineConfig, FakeConfig

STEP_S_PER_TOKEN = 2.0e-5
REFINE_S_PER_TOKEN = 3.2e-5
DECODE_S_PER_PIXEL = 9.0e-9
SHOW_S_PER_PIXEL = 2.7e-8
SKIP_S_PER_PIXEL = 1.3e-9
"""Of ffmpeg: of 768x512 in H.264, 96 frames took 1.02 s at the start of a file, and 1.96 s behind 1,900
others that were decoded, too."""
SKIPPED_S = 20
"""Of a source, what is decoded before the first frame that is shown where reading may begin late: 10
seconds and what is missing to the key frame before them, which encoders set every 10 at the latest, as a
rule."""
INDEXED_SUFFIXES = frozenset({".mp4", ".m4v", ".mov", ".mkv", ".webm"})
"""Of the containers in which reading may begin late; which codec is in them is not known here."""
SEGMENT_S_PER_PIXEL = 7.3e-8
"""H.264, preset medium: docs/benchmarks.md has 6.61 frames of 1920x1080 a second of one core."""
ENCODE_S = SOUND_S = 0.2
PROMPTS = 2
"""What a text encoder reads for each prompt: that, and what is not wanted."""
HOST_GIB_PER_S = 5.9
"""From ordinary host memory to the device: 26.6 GiB of models took 4.5 s on an H200 (docs/gpu.md). That it is
the same for blocks, and on other hosts, is assumed."""
CANVAS_S_PER_TOKEN = 5.0e-7
"""As the upsampler in space: 0.01 s for the 19,968 tokens that it makes for 97 frames of 1536x1024."""


def expected_s(engine: EngineConfig) -> Callable[[StageTask], float]:
    """The estimate for each task of a job on this engine, before anything was measured."""
    if engine.name == "fake":
        return lambda task: _fake_s(task, engine.fake)
    return model_s


def _fake_s(task: StageTask, fake: FakeConfig) -> float:
    if task.without in ("model", "pictures"):
        return model_s(task)
    seconds = {
        Stage.ENCODE: fake.encode_s,
        Stage.SAMPLE: fake.sample_s,
        Stage.UPSCALE: fake.upscale_s,
        Stage.DECODE: fake.decode_s,
    }
    return seconds.get(task.stage, 0.0) or 0.02


def model_s(task: StageTask) -> float:
    """Of a model of 2B. Sizes of tasks differ by it, too."""
    params = task.params
    match params:
        case PassParams():
            each_s = REFINE_S_PER_TOKEN if params.upsampling else STEP_S_PER_TOKEN
            pixels_s = params.width * params.height * DECODE_S_PER_PIXEL
            return _passes(params) * params.tokens * each_s + _still_frames(params) * pixels_s
        case TileParams():
            return _passes(params) * params.tokens * REFINE_S_PER_TOKEN
        case CanvasParams():
            return params.tokens * CANVAS_S_PER_TOKEN
        case DecodeParams():
            if not params.window.keep:
                return SOUND_S
            decoded = frames_of(len(params.window.context))
            return decoded * params.width * params.height * DECODE_S_PER_PIXEL
        case ShowSource():
            each_s = _skipped(params) * SKIP_S_PER_PIXEL + params.frames * SHOW_S_PER_PIXEL
            return each_s * params.width * params.height
        case SegmentParams():
            made = params.framing or params
            pixels = params.owned_frames * made.width * made.height
            return pixels * SEGMENT_S_PER_PIXEL * encoding_share(params)
    return ENCODE_S


def brought_s(task: StageTask, streamed: Mapping[str, float]) -> float:
    """What a task waits for the blocks of a streamed model, `streamed` GiB for each forward; nothing is
    computed meanwhile. Guided forwards of LTX-Video, which come in one batch, count apart."""
    match task.params:
        case EncodeText():
            return PROMPTS * streamed.get(TEXT_ENCODER, 0.0) / HOST_GIB_PER_S
        case PassParams() | TileParams() as params:
            forwards = params.sampling.steps_run * _forwards(params.sampling)
            return forwards * streamed.get(TRANSFORMER, 0.0) / HOST_GIB_PER_S
    return 0.0


def _skipped(params: ShowSource) -> int:
    """Frames that are decoded before the first one that is shown."""
    before = params.skip_frames + params.start
    if PurePath(params.path).suffix.lower() not in INDEXED_SUFFIXES:
        return before
    return min(before, round(SKIPPED_S * params.frame_rate))


def _still_frames(params: PassParams) -> int:
    """Frames that are decoded for the stills of a pass."""
    stills = params.excerpt.stills if params.excerpt else ()
    return sum(frames_of(len(still_window(latent))) for latent in stills)


def _passes(params: PassParams | TileParams) -> float:
    """Steps, in pairs of forwards."""
    return params.sampling.steps_run * _forwards(params.sampling) / 2


def _forwards(sampling: Sampling) -> float:
    """How often the model runs in a step, as the engines' guidance has it; on average where that differs by
    noise level."""
    if sampling.guider.name != "stg":
        return 1.0 if sampling.cfg == 1.0 else 2.0
    params = dict(sampling.guider.params)
    video, sound = (params.get(name, sampling.cfg) for name in ("cfg", "audio_cfg"))
    negative = max(_share(video, idle=1.0), _share(sound, idle=1.0) if "audio_cfg" in params else 0.0)
    perturbed, apart = (
        _share(params.get("stg_scale", 1.0), idle=0.0),
        _share(params.get("modality", 1.0), idle=1.0),
    )
    return 1.0 + negative + perturbed + apart


def _share(scale: GuiderValue, *, idle: float) -> float:
    """Of how many noise levels a scale is another than the one that has no effect."""
    scales = scale if isinstance(scale, tuple) else (scale,)
    return sum(each != idle for each in scales) / len(scales)
