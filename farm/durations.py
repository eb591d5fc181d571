"""How long a stage task is expected to take, seconds, before anything was measured.

The scheduler needs the proportions only; deadlines learn from what tasks really take. The constants are those
of the 2B model in bf16 on one H200: seconds per step and latent token, and per pixel of output.
"""

from __future__ import annotations

from collections.abc import Callable

from jobs.frames import SPATIAL
from jobs.graph import DecodeParams, SampleParams, SegmentParams, Stage, StageTask, UpscaleParams
from jobs.spec import EngineConfig, FakeConfig

STEP_S_PER_TOKEN = 2.0e-5
REFINE_S_PER_TOKEN = 3.2e-5
DECODE_S_PER_PIXEL = 9.0e-9
SEGMENT_S_PER_PIXEL = 6.0e-9
ENCODE_S = 0.2


def expected_s(engine: EngineConfig) -> Callable[[StageTask], float]:
    """The estimate for each task of a job on this engine."""
    if engine.name == "fake":
        return lambda task: _fake_s(task, engine.fake)
    return _model_s


def _fake_s(task: StageTask, fake: FakeConfig) -> float:
    seconds = {
        Stage.ENCODE: fake.encode_s,
        Stage.SAMPLE: fake.sample_s,
        Stage.UPSCALE: fake.upscale_s,
        Stage.DECODE: fake.decode_s,
    }
    return seconds.get(task.stage, 0.0) or 0.02


def _model_s(task: StageTask) -> float:
    params = task.params
    match params:
        case SampleParams():
            return params.sampling.steps * _tokens(params) * STEP_S_PER_TOKEN
        case UpscaleParams():
            return params.sampling.steps * 4 * _tokens(params) * REFINE_S_PER_TOKEN
        case DecodeParams():
            return len(params.window.keep) * params.width * params.height * DECODE_S_PER_PIXEL
        case SegmentParams():
            return params.owned_frames * params.width * params.height * SEGMENT_S_PER_PIXEL
    return ENCODE_S


def _tokens(params: SampleParams | UpscaleParams) -> int:
    return params.span.sampled * (params.width // SPATIAL) * (params.height // SPATIAL)
